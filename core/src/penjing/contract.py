"""What a plugin hands to penjing, and what penjing hands to a plugin.

Only frozen, keyword-only dataclasses and the standard library live here: a plugin declares itself without importing
anything heavy. Code is named by import strings, "package.module:function", and imported when it is first needed.
Arrays are numpy arrays, models are `keras.Model`; both are typed `Any` so that this module stays light.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

CONTRACT_VERSION = 1
"""The version of this contract, apart from the version of the package. A plugin states the one it was written for: a
domain in `contract_version`, any plugin by the keyword 'penjing-contract-1' of its distribution, which is read before
anything of it is imported.

It is raised where a plugin that was right becomes wrong: a field or hook goes or changes its meaning. A new field with
a default does not raise it. What is to go is first said to be, for one release, by a DeprecationWarning that names the
plugin and what to write instead, which `penjing plugins list`, `info` and `check` show, too; the release after that
raises the version."""
OLDEST_CONTRACT_VERSION = 1
"""The oldest version that this penjing still understands."""

Task = Literal["classification", "binary", "multilabel", "ordinal", "regression", "forecast", "ranking"]
Direction = Literal["higher", "lower"]

PARTS = ("train", "validation", "test")
"""Names of the splits, as fields of `Splits` and in the names of arrays."""


# --------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """What a domain's `load_data` is asked for."""

    path: Path | None = None
    """The user's data: a file or folder. None asks for the built-in sample, which works offline."""
    seed: int = 0
    """Decides the split and the sample: the same seed gives the same data."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The `[data]` table of the recipe. Unknown keys must be refused with a `DataError`."""
    progress: Callable[[str, int, int], None] | None = None
    """Call it with (what, done, total) during long reading. May be None."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One part of the data: training, validation or test."""

    x: Any
    """Model inputs: one float32 array of shape (n, *input_shape), or a dict of arrays by input name. int32 for numbers
    that the model looks up (items, words)."""
    y: Any
    """Targets: int64 class numbers of shape (n,), or float32 of shape (n, *output_shape)."""
    ids: Sequence[str]
    """A stable, unique name of each example; no id stands in two splits."""
    groups: Any = None
    """What must not be split apart (speaker, patient, card): array of str, shape (n,). None where nothing is known."""
    slices: Mapping[str, Any] = field(default_factory=dict)
    """Columns for the audit, each an array of shape (n,): the metrics are also given per value of each."""
    raw: Any = None
    """What augmentation starts from (waveforms, images), length n. None where the domain does not augment."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """All of the data, as a domain's `load_data` returns it."""

    train: Split
    validation: Split
    test: Split
    source: str
    """Where the data came from, in words for a person: 'Speech Commands v0.02 subset' or 'synthetic sample'."""
    sha256: str
    """Hash of the content that was read, so that a result can be tied to its data."""
    synthetic: bool = False
    """True for generated data: every table then says so."""
    labels: tuple[str, ...] = ()
    """Class names in the order of the model's outputs; empty for regression."""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that turn a raw input into `x`. JSON values only; they go into the bundle for `preprocess`."""
    input_meaning: str = ""
    """What one input is, with shape and unit: 'log-mel spectrogram, 49 frames x 40 bands'."""
    output_meaning: str = ""
    """What one output is: 'probability of each word'."""
    notes: tuple[str, ...] = ()
    """What was skipped, repaired or assumed while reading, counted, one sentence each."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever the domain's own augmentation and system metrics need (background noise, adjacency). Where a finished
    bundle is evaluated on this data, "measured" holds the figures that it states by name: thresholds, for instance,
    which are not to be chosen anew."""
    task: Task | None = None
    """What this data's targets are, where a domain takes several kinds; None where they are the domain's."""
    slices: tuple[str, ...] = ()
    """Slice columns for the audit beside the domain's own, where the data brings them."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """More files for the bundle, by plain name, where JSON values are too clumsy (a list of titles); on the device they
    are `LoadedBundle.files`."""


# ------------------------------------------------------------------------------------------------------- domain


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What a domain's `build_model` and `build_teacher` are asked for."""

    splits: Splits
    """For shapes, labels and statistics of the training part (normalisation). The test part must not be read."""
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """The `[model]` or `[teacher]` table of the recipe. Unknown keys must be refused with a `RecipeError`."""


@dataclass(frozen=True, kw_only=True)
class FittedBaseline:
    """A simple thing to beat, fitted on the training part."""

    name: str
    """What it is, in words: 'logistic regression on mean log-mel'."""
    predict: Callable[[Any], Any]
    """Takes `Split.x`, returns outputs of the shape that the model returns."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure that a metric gives with its own interval, where the bootstrap over examples is not the right one."""

    value: float
    low: float
    high: float
    method: str
    """How the interval was made, for the report: 'DeLong, 95 %', 'bootstrap of 7 days, percentile, 95 %'."""
    n: int
    """What was counted: examples, days."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of merit.

    `function` names one of two kinds of callable, chosen by `kind`:

    - "examples": `f(targets, outputs) -> float | Mapping[str, float]`; has an interval by bootstrap when it returns
      a float. A mapping is written as `name[key]` for each key; an int key is a class number and becomes its label.
      In place of a float may stand an `Estimate` with its own interval, but in the primary metric.
      A function that sorts all examples may carry an attribute `prepare`, `f(targets, outputs) -> g(counts) -> float`
      with how often each example counts: the bootstrap then sorts once and not once a resample.
    - "system": `f(predict, split, splits) -> float | Mapping[str, float]`, for what is more than a sum over examples
      (false accepts an hour on a continuous stream). `predict` takes inputs like `split.x` and returns outputs.
    """

    name: str
    function: str
    direction: Direction
    primary: bool = False
    """Exactly one metric of a domain is primary: the budget's `drop` and the verdict speak of it."""
    kind: Literal["examples", "system"] = "examples"
    unit: str = ""
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class PredictOption:
    """An option that a domain adds to its `predict` command."""

    flag: str
    """As typed: '--stream'."""
    help: str
    kind: Literal["flag", "text", "integer", "number", "path"] = "flag"
    default: Any = None
    live: bool = False
    """True where the rows come one by one and perhaps without end, from a microphone say: each is printed as it comes,
    with `--json` as a line of its own, and Ctrl-C is the usual end."""


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What a domain's `predict` is asked for. It runs on the device: numpy/scipy-class packages only."""

    bundle: Any
    """A `penjing.runtime.LoadedBundle`: `.predict(x)`, `.labels`, `.preprocessing`."""
    inputs: tuple[str, ...]
    """The arguments of the command: files, mostly."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Values of the domain's `predict_options`, by flag without dashes, '-' as '_'."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What a domain plugin contributes. All callables are import strings "package.module:function"."""

    name: str
    """Lower case words joined by '-': it is the command, 'keyword-spotting'."""
    summary: str
    """One line for help and tables."""
    task: Task
    """What the targets are; `Splits.task` may say otherwise for given data."""
    load_data: str
    """`f(DataRequest) -> Splits`."""
    build_model: str
    """`f(ModelRequest) -> keras.Model`: the small model, not compiled."""
    metrics: tuple[Metric, ...]
    recipes: Mapping[str, str]
    """Recipe files by name, as 'package:path/to/file.toml'; one is called 'default'."""
    build_teacher: str | None = None
    """`f(ModelRequest) -> keras.Model`: a bigger model with the same inputs and outputs."""
    baselines: tuple[str, ...] = ()
    """Simple things to beat, each `f(Splits, seed) -> FittedBaseline`, which reads the training part only. The best of
    them stands beside the model in the table, all of them in the report; the first is the simplest, which a model must
    beat. One that raises `MissingExtraError` is left out, and the run says so."""
    augment: str | None = None
    """`f(train: Split, splits: Splits, *, epoch: int, seed: int, options: Mapping) -> (x, y)`: one epoch of augmented
    inputs in any order. Equal arguments give equal arrays: a resumed run depends on it. `options` is the recipe's
    `[augment]` table."""
    loss: str | None = None
    """`f(targets, outputs) -> per-example loss` in Keras ops; None takes the task's usual loss."""
    decision_threshold: float = 0.5
    """Tasks "binary" and "multilabel": an output above it means yes when decisions are compared. 0.0 for logits."""
    budget: Mapping[str, Any] = field(default_factory=dict)
    """Default limits, as the command line spells them: {"flash": "40KB", "drop": "0.02"}."""
    split_by: str | None = None
    """What keeps the splits apart: 'speaker', 'patient', 'time'."""
    slices: tuple[str, ...] = ()
    """Names of the slice columns that `load_data` fills."""
    preprocess: str | None = None
    """`f(raw, parameters) -> x`, on the device: numpy/scipy-class packages only."""
    predict: str | None = None
    """`f(PredictRequest) -> Iterable[Mapping[str, Any]]`: rows of JSON values, on the device."""
    predict_options: tuple[PredictOption, ...] = ()
    predict_example: str | None = None
    """`f(folder: Path, seed: int) -> Sequence[str]`: writes something into the folder that `predict` can be tried on,
    and returns the command's arguments. On the device, like `predict`."""
    pretrained: str | None = None
    """A bundle that the distribution ships, as 'package:folder': `predict` takes it where the caller has no other."""
    data_license: str = ""
    intended_use: str = ""
    contract_version: int = CONTRACT_VERSION


# ---------------------------------------------------------------------------------------------------- technique


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One broken promise, found by checking an invariant."""

    layer: str
    """The layer or tensor at fault."""
    detail: str
    """What was promised and what was found, in numbers."""


KeptAxes = Mapping[str, Sequence[Any]]
"""What structured pruning left of the kernels: by layer path, one entry per axis of the kernel, each the kept indices
(integers, ascending) or None where the axis is whole. Layers that lost nothing are absent."""


class Invariant(Protocol):
    """What a step promises stays true. Implementations are named in `Technique.invariants` and must survive
    `to_state` / `from_state`, since a resumed run rebuilds them from the run folder."""

    @property
    def summary(self) -> str:
        """The promise in one line."""

    def hold(self, model: Any) -> None:
        """Make later training keep the promise (a constraint on a variable). Called before each later step."""

    def check(self, model: Any) -> Sequence[Violation]:
        """Violations in a Keras model; empty when the promise holds."""

    def check_file(self, content: bytes) -> Sequence[Violation]:
        """Violations in an exported .tflite file; empty when the promise holds."""

    def resized(self, kept: KeptAxes) -> Invariant:
        """The promise about the smaller model, after a later step has removed channels (`StepOutcome.kept`)."""

    def to_state(self) -> Mapping[str, Any]:
        """numpy arrays by name; JSON values under other names."""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Invariant:
        """The inverse of `to_state`."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How the model is to be written as .tflite; a step such as `quantize` decides it."""

    mode: Literal[
        "float32", "float16", "dynamic", "int8", "int16x8", "weight-only-int8", "weight-only-int4", "aware"
    ] = "float32"
    """"aware": the model simulates quantization and carries its ranges (`quantize-aware-training`)."""
    calibration_examples: int = 0
    """How many training examples set the ranges of activations (int8 and int16x8 only)."""
    seed: int = 0
    """Chooses the calibration examples."""
    calibration: Literal["min-max", "percentile", "mse", "entropy"] = "min-max"
    """How a range is chosen from the values that were seen."""
    percentile: float = 99.99
    """Of `calibration="percentile"`: what part of the values stays below the range's top, and above its bottom."""
    layers: Mapping[str, str] = field(default_factory=dict)
    """Precision by layer path ("float", "float16", "int16x8", "int8", "int4"); empty where all follow the mode."""
    compact_biases: bool = False
    """Leave out the quantization parameters of biases, which microcontrollers do not read (int8, int16x8)."""


@dataclass(frozen=True, kw_only=True)
class LayerChange:
    """What a step did to one layer, or why it did nothing."""

    layer: str
    change: str
    """'1,024 of 2,048 weights zero', 'left alone: protected by pattern'."""
    before: float | None = None
    after: float | None = None
    unit: str = ""
    """What the two numbers count, where the change has any: 'channels', 'MACs'. The report draws them."""


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """What a technique's `apply` gets. The test part is not in it, so no step can select on it."""

    model: Any
    """The Keras model as the last step left it. The step may change it in place or return another."""
    train: Split
    validation: Split
    splits_extra: Mapping[str, Any]
    task: Task
    labels: tuple[str, ...]
    metric: Metric
    """The primary metric."""
    seed: int
    """The run's seed mixed with the step's number."""
    folder: Path
    """The step's own folder; what is written here survives an interruption."""
    invariants: Sequence[Invariant]
    """The promises of earlier steps; `fit` keeps them."""
    fit: Callable[..., Mapping[str, Sequence[float]]]
    """`fit(model, training, *, loss=None, wrap=None, on_update=None, state=(), label="", invariants=None, signals=None)
    -> history`: the engine's training loop (checkpointed, seeded, holding all invariants); see
    `penjing.compression.finetuning.Trainer.fit`."""
    evaluate: Callable[..., float]
    """`evaluate(model, rows=None)`: the primary metric of a Keras model on the validation part, or on these rows of it
    (integers of shape (n,))."""
    teacher: Callable[..., Any]
    """`teacher(training, *, member=0, augment_options=None) -> keras.Model`: the domain's teacher, trained with a
    `TrainingSettings`, or from the cache where it was trained before; each member is one of another seed, the options
    stand over those of the recipe's `[augment]`. Where the caller has given a teacher, it is that one: a `keras.Model`,
    or a scikit-learn estimator."""
    progress: Callable[[str], None]
    """A line for the person who waits."""
    reference: Callable[[], Any] | None = None
    """`reference() -> keras.Model`: a copy of the trained model before compression."""
    augmented: bool = False
    """Whether `fit` draws new inputs each epoch (where its settings do not switch that off)."""


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """What a technique's `apply` returns."""

    model: Any
    summary: str
    """One line for the report, with numbers."""
    invariants: tuple[Invariant, ...] = ()
    layers: tuple[LayerChange, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Training curves, one value per epoch."""
    export: ExportSettings | None = None
    """Set by a step that decides how the file is written."""
    kept: KeptAxes = field(default_factory=dict)
    """Set by a step that removes channels, so that earlier promises follow (`Invariant.resized`)."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a dry run of a step leaves for the next: sizes that are right, values that need not be."""

    model: Any
    export: ExportSettings | None = None
    """Set where the step decides how the file is written."""


@dataclass(frozen=True, kw_only=True)
class Technique:
    """One way to make a model smaller."""

    name: str
    """The word in recipes: 'prune-weights'."""
    summary: str
    settings: str
    """Import string of a pydantic model with `extra="forbid"`, every field with a default or a description."""
    apply: str
    """`f(StepContext, settings) -> StepOutcome`."""
    invariants: tuple[str, ...] = ()
    """Import strings of the `Invariant` classes that the step may promise."""
    explain: str | None = None
    """`f(model, settings) -> Sequence[LayerChange]`: what it would do, before any training."""
    preview: str | None = None
    """`f(model, settings) -> Preview`, for steps that change sizes or the file's form: `penjing explain` goes on from
    it. None where a step changes values only."""
    search_space: str | None = None
    """`f() -> Mapping[str, Sequence]`: settings worth trying, by name."""
    ends_recipe: bool = False
    """True where no other technique may follow (the step decides how the file is written)."""
    changes_structure: bool = False
    """True where the step removes or replaces layers or channels."""
    freezes_structure: bool = False
    """True where only training may follow: the step has put something into the layers (simulated quantization) that no
    change of structure survives, and that fixes which weights the file can have."""
    not_after: tuple[str, ...] = ()
    """Techniques whose promise this one would break, so that they may not stand before it."""
    not_before: tuple[str, ...] = ()
    """Techniques that would break what this one promises, so that they may not stand after it: for a plugin whose
    promise the others cannot know."""
    conflict: str | None = None
    """`f(settings, earlier: str) -> str | None`: why the step, with these settings, would break what the technique
    `earlier` promises, naming the setting; None where it would not. For what `not_after` is too coarse for."""


# --------------------------------------------------------------------------------- exporters, targets, the rest


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """Another form of the artefact, written beside `model.tflite` from a finished bundle."""

    name: str
    summary: str
    export: str
    """`f(bundle: LoadedBundle, folder: Path) -> Sequence[Path]`: writes files into the folder, returns them."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A device: what fits on it. Sizes in bytes."""

    name: str
    summary: str
    flash_bytes: int
    ram_bytes: int
    supported_ops: tuple[str, ...] = ()
    """Names of the LiteRT operators that its runtime has; empty for all."""


@dataclass(frozen=True, kw_only=True)
class ReportSection:
    """A part of report.html. `html` is a fragment without scripts from elsewhere; `title` becomes its heading."""

    title: str
    html: str


@dataclass(frozen=True, kw_only=True)
class HealthResult:
    ok: bool
    message: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """A line of `penjing doctor`."""

    name: str
    check: str
    """`f() -> HealthResult`."""


# ------------------------------------------------------------------------------------------- what observers see


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run, as observers and report sections see it."""

    domain: str
    """The domain's name, or 'model' for `penjing compress`."""
    folder: Path
    seed: int
    recipe: str
    """The recipe's name."""
    steps: tuple[str, ...]
    """Technique names in order."""
    data_source: str
    state: Literal["running", "finished", "failed"] = "running"
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """The content of metrics.json once the run has finished; empty before."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was seen on the test part, for sections of the report; nothing may be chosen on it any more."""

    splits: Splits
    outputs: Mapping[str, Any]
    """Outputs on the test part by model: 'reference', 'compressed', and each baseline by its name. float32, in the
    order of `splits.test`."""
    predict: Mapping[str, Callable[[Any], Any]]
    """The same models as functions of inputs like `splits.test.x`."""
    reference: Any
    """The trained `keras.Model` before compression."""
    content: bytes
    """The compressed .tflite file."""


@dataclass(frozen=True, kw_only=True)
class StepInfo:
    number: int
    """From 1."""
    technique: str
    settings: Mapping[str, Any]
    plugin: str
    """The distribution that contributed the technique, with its version."""


@dataclass(frozen=True, kw_only=True)
class OutcomeInfo:
    """A step's result, as observers see it. Metric values are of the validation part."""

    summary: str
    metric: str
    value: float
    flash_bytes: int
    seconds: float
    resumed: bool
    """True where the step was not run again but taken from its checkpoint."""
    figures: Mapping[str, float] = field(default_factory=dict)
