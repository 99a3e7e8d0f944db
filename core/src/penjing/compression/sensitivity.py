"""How much each weight matrix matters: the metric when it alone is rounded, thinned out or loses channels.

Nothing is trained: each change is made to one matrix of the trained model, the primary metric is taken on validation
data, and the matrix is put back. The idea is that of Li et al. 2017, "Pruning filters for efficient ConvNets", section
3.2, for pruning, and of mixed-precision quantization for bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from penjing.bundle.atomic import write_json_atomically
from penjing.compression.determinism import fingerprint, mix_seed
from penjing.compression.matrix_layout import input_axes
from penjing.compression.model_tree import check_finite, walk_matrices
from penjing.compression.settings.sensitivity import SensitivitySettings
from penjing.compression.weight_changes import Kind, changed, has_channels
from penjing.contract import Split
from penjing.errors import ModelError
from penjing.html_table import html_table

Evaluate = Callable[..., float]
"""(model, rows of the validation part or None) -> the primary metric."""

_VERSION = "1"
"""Counts changes of what is measured, so that an older cache is not read."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One change of one matrix."""

    matrix: str
    """Its key, as in `weight_matrices`."""
    kind: Kind
    level: float
    """Bits, or the share that became zero."""
    value: float
    """The metric with it."""
    drop: float
    """How much worse than unchanged: positive is worse, whichever way the metric points."""


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What an analysis found."""

    metric: str
    higher_is_better: bool
    baseline: float
    """The metric of the unchanged model on the same examples."""
    examples: int
    weights: Mapping[str, int]
    """Number of weights of each matrix, in the model's order."""
    trials: tuple[Trial, ...]

    def drops(self, kind: Kind) -> dict[str, dict[float, float]]:
        """Drop by matrix and level."""
        table: dict[str, dict[float, float]] = {}
        for trial in self.trials:
            if trial.kind == kind:
                table.setdefault(trial.matrix, {})[trial.level] = trial.drop
        return table

    def _repr_html_(self) -> str:
        tried = list(dict.fromkeys((trial.kind, trial.level) for trial in self.trials))
        drops = {(trial.matrix, trial.kind, trial.level): trial.drop for trial in self.trials}
        heads = [f"{level:g} bits" if kind == "bits" else f"{level:.0%} {kind}" for kind, level in tried]
        rows = [
            (name, f"{count:,}", *(f"{drops[name, *at]:+.4f}" if (name, *at) in drops else "" for at in tried))
            for name, count in self.weights.items()
        ]
        caption = f"loss of {self.metric} (unchanged {self.baseline:.4f}) on {self.examples:,} validation examples"
        return html_table(caption, ("layer", "weights", *heads), rows)

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` is the inverse."""
        return {
            "schema_version": 1,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "baseline": self.baseline,
            "examples": self.examples,
            "weights": dict(self.weights),
            "trials": [asdict(trial) for trial in self.trials],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Sensitivity:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: The document is something else.
        """
        if document["schema_version"] != 1:
            raise ValueError("another version of the analysis")
        return cls(
            metric=document["metric"],
            higher_is_better=document["higher_is_better"],
            baseline=document["baseline"],
            examples=document["examples"],
            weights=dict(document["weights"]),
            trials=tuple(Trial(**trial) for trial in document["trials"]),
        )


def measure_sensitivity(
    model: keras.Model,
    evaluate: Evaluate,
    available: int,
    *,
    metric: str,
    higher_is_better: bool,
    settings: SensitivitySettings | None = None,
    seed: int = 0,
    only: Collection[str] | None = None,
    cache: Path | None = None,
    data_key: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Try every change on every weight matrix. The model is afterwards as it was.

    Args:
        evaluate: `evaluate(model, rows)`: the primary metric on these rows of the validation part.
        available: Number of validation examples. More than `settings.examples` are sampled by the seed.
        only: Keys of the matrices to look at; None takes all.
        cache: Folder of earlier analyses: the same model, data, metric and settings are not measured again. The
            unchanged model is, since a metric of a caller's or a plugin's is known by its name only.
        data_key: Hash of the validation data (`hash_split`), for the cache. Without it nothing is cached.
        progress: Called with (changes tried, changes in all).

    Raises:
        ModelError: The model has no weight matrix, or a metric is not finite.
    """
    settings = settings or SensitivitySettings()
    check_finite(model)
    rows = None
    if available > settings.examples:
        chosen = np.random.default_rng(mix_seed(seed, "sensitivity")).permutation(available)[: settings.examples]
        rows = np.sort(chosen)
    every = list(walk_matrices(model))
    matrices = [entry for entry in every if only is None or entry[0] in only]
    if not matrices:
        raise ModelError("the model has no weight matrix to analyse", hint="see docs/sensitivity.md for the layers")
    baseline = _finite(evaluate(model, rows), metric)
    path = None
    if cache is not None and data_key:
        asked = [metric, repr(baseline), settings.model_dump_json(), f"{seed}/{available}", data_key]
        path = cache / f"{_key(model, [*asked, *(key for key, *_ in matrices)])}.json"
        known = _read(path)
        if known is not None:
            return known
    axes = input_axes(model)
    last = every[-1][0]  # as a rule the layer of the outputs, which cannot lose any
    changes = [
        (key, layer, variable, change)
        for key, layer, variable in matrices
        for change in _changes(settings, channels=has_channels(key, layer) and key != last)
    ]
    trials = []
    for number, (key, layer, variable, (kind, level)) in enumerate(changes):
        with changed(variable, layer, axes[key], kind, level):
            value = _finite(evaluate(model, rows), metric)
        drop = baseline - value if higher_is_better else value - baseline
        trials.append(Trial(matrix=key, kind=kind, level=level, value=value, drop=drop))
        if progress is not None:
            progress(number + 1, len(changes))
    result = Sensitivity(
        metric=metric,
        higher_is_better=higher_is_better,
        baseline=baseline,
        examples=available if rows is None else len(rows),
        weights={key: int(np.prod(variable.shape)) for key, _, variable in matrices},
        trials=tuple(trials),
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(path, result.to_json())
    return result


def _changes(settings: SensitivitySettings, *, channels: bool) -> Iterator[tuple[Kind, float]]:
    for count in settings.bits:
        yield "bits", float(count)
    for share in settings.sparsity:
        yield "sparsity", share
    for share in settings.channels if channels else ():
        yield "channels", share


def _finite(value: float, metric: str) -> float:
    if not np.isfinite(value):
        raise ModelError(
            f"the metric '{metric}' is {value} on the validation examples",
            why="too few examples, or only one class among them",
            hint="raise the number of examples, or choose another metric",
        )
    return float(value)


def hash_split(split: Split) -> str:
    """A hash of inputs and targets: 64 hexadecimal digits."""
    parts = dict(split.x) if isinstance(split.x, Mapping) else {"x": split.x}
    return _hash({**{f"x/{name}": value for name, value in parts.items()}, "y": split.y})


def _hash(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, value in arrays.items():
        array = np.ascontiguousarray(value)
        digest.update(f"{name}/{array.dtype}/{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _key(model: keras.Model, asked: Sequence[str]) -> str:
    return fingerprint(
        [
            _VERSION,
            keras.__version__,
            json.dumps(model.get_config(), sort_keys=True, default=str),
            _hash({str(number): value for number, value in enumerate(model.get_weights())}),
            *asked,
        ]
    )[:32]


def _read(path: Path) -> Sensitivity | None:
    """An earlier analysis; None where there is none, or the file is damaged: it is then measured again."""
    try:
        return Sensitivity.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
