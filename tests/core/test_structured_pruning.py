"""prune-weights end to end: every criterion resumes to equal weights, patterns hold in later steps and in the file."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import penjing
from penjing.compression.matrix_layout import input_axes
from penjing.compression.model_tree import weight_matrices
from penjing.compression.pruning.structured_mask import StructuredMask
from penjing.contract import ExportSettings
from penjing.errors import ModelError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe


@pytest.fixture(scope="module")
def small() -> dict[str, np.ndarray]:
    """Sequences of 6 steps with 8 channels; the class is the channel with the highest mean of four."""
    generator = np.random.default_rng(2)
    x = generator.normal(size=(240, 6, 8)).astype("float32")
    return {"x": x, "y": x[..., :4].mean(axis=1).argmax(axis=1)}


def network(kind: str = "conv"):
    import keras

    keras.utils.set_random_seed(6)
    layers = keras.layers
    inputs = keras.Input((6, 8))
    if kind == "lstm":
        x = layers.LSTM(8, name="memory")(inputs)
    else:
        x = layers.Conv1D(32, 3, activation="relu", name="wide")(inputs)
        x = layers.DepthwiseConv1D(2, name="depthwise")(x)
        x = layers.Conv1D(26, 1, activation="relu", name="mix")(x)
        x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="head")(x))


def recipe(*steps: str) -> Recipe:
    return Recipe.from_toml("".join(f"[[steps]]\n{step}\n" for step in steps))


def prune(more: str = "", epochs: int = 2) -> str:
    return f'technique = "prune-weights"\nepochs = {epochs}\nbatch_size = 24\nfrequency = 2\n{more}'


FINETUNE = 'technique = "finetune"\nepochs = 1\nlearning_rate = 0.01'
QUANTIZE = 'technique = "quantize"\nmode = "{}"'


def model_after(run: Path, step: str):
    import keras

    return keras.models.load_model(run / "steps" / step / "model.keras", compile=False)


@pytest.mark.parametrize("mode", ["int8", "float16"])
def test_two_of_four_stand_along_the_files_innermost_axis(small: dict, tmp_path: Path, mode: str) -> None:
    result = penjing.compress(
        network(),
        recipe=recipe(prune('n_m = "2:4"'), FINETUNE, QUANTIZE.format(mode)),
        data=small,
        output=tmp_path / "run",
    )
    # Counted without the code that promised it.
    constants = FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes()).constants()
    for shape in ((32, 1, 3, 8), (26, 1, 1, 32), (4, 26)):
        (tensor,) = [t for t in constants if t.shape == shape]
        groups = [(tensor.values[..., i : i + 4] != 0).sum(axis=-1) for i in range(0, shape[-1], 4)]
        assert max(int(group.max()) for group in groups) == 2
    after = model_after(tmp_path / "run", "02-finetune")
    assert np.count_nonzero(np.asarray(after.get_layer("wide").kernel)) == 3 * 8 * 32 // 2
    # Each of its outputs has one input: nothing to group.
    assert np.count_nonzero(np.asarray(after.get_layer("depthwise").kernel)) == 2 * 32


def test_blocks_are_zero_as_a_whole_in_the_file(small: dict, tmp_path: Path) -> None:
    result = penjing.compress(
        network(),
        recipe=recipe(prune('block = [4, 2]\nsparsity = 0.5\nscope = "layer"'), FINETUNE, QUANTIZE.format("int8")),
        data=small,
        output=tmp_path / "run",
    )
    constants = FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes()).constants()
    (tensor,) = [t for t in constants if t.shape == (32, 1, 3, 8)]
    blocks = tensor.values.reshape(16, 2, 3, 2, 4)  # outputs in pairs, taps, inputs in fours
    assert (~blocks.any(axis=(1, 4))).sum() == 48


def step(model, small: dict, folder: Path, **settings):
    """The step alone, on a workbench of its own."""
    from penjing.compression.determinism import seed_everything
    from penjing.compression.pruning.weights import apply
    from penjing.compression.settings.weight_pruning import PruneWeightsSettings
    from penjing.compression.workbench import Workbench
    from penjing.contract import StepContext
    from penjing.metrics import FUNCTIONS, named_metric
    from penjing.reporting import SilentReporter
    from penjing.runner.arrays import load_arrays

    splits = load_arrays(small, seed=0)
    bench = Workbench(
        task="classification",
        metric=named_metric("accuracy"),
        metric_function=FUNCTIONS["accuracy"],
        train=splits.train,
        validation=splits.validation,
        labels=splits.labels,
        extra={},
        seed=0,
        data_sha256=splits.sha256,
        reporter=SilentReporter(),
    )
    seed = seed_everything(0, "step")
    context = StepContext(
        model=model,
        train=bench.train,
        validation=bench.validation,
        splits_extra={},
        task=bench.task,
        labels=bench.labels,
        metric=bench.metric,
        seed=seed,
        folder=folder,
        invariants=settings.pop("invariants", ()),
        fit=bench.trainer(seed, folder, "step").fit,
        evaluate=bench.evaluate,
        teacher=bench.teacher,
        progress=print,
    )
    return apply(context, PruneWeightsSettings(**{"batch_size": 26, "learning_rate": 0.02, **settings}))


def matrices(model) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in weight_matrices(model).values()]


@pytest.mark.parametrize(
    ("criterion", "shape"),
    [
        ("magnitude", "polynomial"),
        ("magnitude", "one-shot"),
        ("movement", "polynomial"),
        ("movement", "iterative"),
        ("taylor", "constant"),
        ("taylor", "one-shot"),
    ],
)
def test_a_training_that_is_cut_off_goes_on_to_the_same_weights(
    small: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, criterion: str, shape: str
) -> None:
    """Cut between two changes of the mask: 7 updates an epoch, a change every 4."""
    from penjing.compression import finetuning, workbench

    monkeypatch.setattr(finetuning, "CHECKPOINT_SECONDS", 0.0)
    begin = 0.2 if shape != "one-shot" else 0.0
    settings = {"criterion": criterion, "schedule_shape": shape, "begin": begin, "end": 0.9, "sparsity": 0.6}
    settings |= {"epochs": 3, "frequency": 4}

    def run(name: str):
        return step(network(), small, tmp_path / name, **settings).model

    whole = run("whole")
    epoch = workbench.EpochProgress.epoch

    def interrupt(self, number: int, figures: dict) -> None:
        epoch(self, number, figures)
        if number == 2:
            raise InterruptedError

    with monkeypatch.context() as cutting:
        cutting.setattr(workbench.EpochProgress, "epoch", interrupt)
        with pytest.raises(InterruptedError):
            run("cut")
    resumed = run("cut")
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))
    zeros = sum(int((value == 0).sum()) for value in matrices(whole))
    assert zeros == round(0.6 * sum(value.size for value in matrices(whole)))


def test_a_later_pruning_keeps_the_zeros_of_an_earlier_one(small: dict, tmp_path: Path) -> None:
    first = step(network(), small, tmp_path / "1", sparsity=0.4, epochs=0)
    zero = [value == 0 for value in matrices(first.model)]
    more = {"criterion": "movement", "sparsity": 0.6, "epochs": 1, "frequency": 2}
    second = step(first.model, small, tmp_path / "2", invariants=first.invariants, **more)
    for before, after in zip(zero, matrices(second.model), strict=True):
        assert not np.any(after[before])
    assert second.figures["sparsity"] == pytest.approx(0.6, abs=0.001)


def test_movement_brings_weights_back_and_magnitude_does_not(
    small: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first masks go by the first scores; later ones by more of them."""
    from penjing.compression.pruning.weight_scores import WeightScores

    change = WeightScores.change_masks
    seen: dict[str, list[np.ndarray]] = {"movement": [], "magnitude": []}

    def watch(self, masks) -> None:
        seen[self.criterion].append(np.concatenate([mask.ravel() for mask in masks.values()]))
        change(self, masks)

    monkeypatch.setattr(WeightScores, "change_masks", watch)
    for criterion in seen:
        settings = {"criterion": criterion, "schedule_shape": "constant", "begin": 0.1, "end": 0.9}
        step(network(), small, tmp_path / criterion, epochs=2, frequency=2, **settings)
    came_back = {
        criterion: any(np.any(later & ~earlier) for earlier, later in itertools.pairwise(masks))
        for criterion, masks in seen.items()
    }
    assert came_back == {"movement": True, "magnitude": False}


def test_recurrent_kernels_are_pruned_and_stay_so_in_the_file(small: dict, tmp_path: Path) -> None:
    penjing.compress(
        network("lstm"),
        recipe=recipe(prune('n_m = "1:4"', epochs=1), FINETUNE),
        data=small,
        output=tmp_path / "run",
    )
    after = model_after(tmp_path / "run", "02-finetune")
    cell = after.get_layer("memory").cell
    for kernel in (cell.kernel, cell.recurrent_kernel):
        assert (np.asarray(kernel).reshape(2, 4, 32) != 0).sum(axis=1).max() == 1
    # Each of the four gates has a tensor of its own in the file's operator; where every time step is written out, both
    # kernels stand there whole, and once.
    for calibration, shape, count in (("min-max", (8, 8), 8), ("mse", (32, 8), 2)):
        export = ExportSettings(mode="int8", calibration=calibration, calibration_examples=9)
        content = to_litert(after, export, small["x"][:9])
        tensors = [t for t in FileGraph.from_bytes(content).constants() if t.shape == shape]
        assert len(tensors) == count
        for tensor in tensors:
            assert (tensor.values.reshape(shape[0], 2, 4) != 0).sum(axis=-1).max() == 1


def test_patterns_of_layers_get_their_own_shares(small: dict, tmp_path: Path) -> None:
    own = {"head*": 0.3, "depthwise": 0.0}
    after = step(network(), small, tmp_path, sparsity=0.75, layer_sparsity=own, epochs=0).model
    zeros = {name: int((np.asarray(after.get_layer(name).kernel) == 0).sum()) for name in ("head", "depthwise")}
    assert zeros == {"head": 31, "depthwise": 0}
    rest = [np.asarray(after.get_layer(name).kernel) for name in ("wide", "mix")]
    assert sum(int((kernel == 0).sum()) for kernel in rest) == round(0.75 * sum(kernel.size for kernel in rest))


def test_a_pattern_that_does_not_fit_a_layer_is_explained(small: dict) -> None:
    from penjing.compression.pruning.weights import explain
    from penjing.compression.settings.weight_pruning import PruneWeightsSettings

    said = {row.layer: row.change for row in explain(network(), PruneWeightsSettings(n_m="5:10"))}
    assert said["wide"] == "left alone: it has 8 inputs, fewer than a group of 5:10"
    assert "no sums over inputs" in said["depthwise"]
    # 26 inputs: two groups of 10 keep 5 each, and so does the shorter one at the end.
    assert said["head"] == "44 of 104 weights zero (42.3%)"
    said = {row.layer: row.change for row in explain(network(), PruneWeightsSettings(criterion="taylor"))}
    assert "decided by taylor" in said["mix"]
    with pytest.raises(ModelError, match="no layer fits 'haed'"):
        explain(network(), PruneWeightsSettings(layer_sparsity={"haed": 0.3}))
    with pytest.raises(ModelError, match="no weights to prune"):
        explain(network(), PruneWeightsSettings(n_m="2:40"))


def promise_of(model, kind: str) -> StructuredMask:
    """2:4 or 2x2 blocks in the layer 'wide', set in the model."""
    kernel = model.get_layer("wide").kernel
    mask = np.ones(kernel.shape, bool)
    if kind == "2:4":
        mask[:, 0::4] = mask[:, 3::4] = False
    else:
        mask[:, 0:2, 4:6] = False  # one block at each tap
    kernel.assign(np.asarray(kernel) * mask)
    how = {"n_m": (2, 4)} if kind == "2:4" else {"block": (2, 2)}
    return StructuredMask(masks={"wide": mask}, axes={"wide": input_axes(model)["wide"]}, **how)


@pytest.mark.parametrize("kind", ["2:4", "2x2 blocks"])
def test_a_broken_pattern_is_found_in_model_and_file(kind: str) -> None:
    model = network()
    promise = promise_of(model, kind)
    promise = StructuredMask.from_state({name: np.asarray(value) for name, value in promise.to_state().items()})
    assert kind in promise.summary
    assert promise.check(model) == []
    assert promise.check_file(to_litert(model, ExportSettings())) == []
    kernel = model.get_layer("wide").kernel
    values = np.asarray(kernel).copy()
    values[1, 0, 4] = 0.5
    kernel.assign(values)
    assert {violation.layer for violation in promise.check(model)} == {"wide"}
    assert any("neighbours" in v.detail or "blocks" in v.detail for v in promise.check(model))
    assert [violation.layer for violation in promise.check_file(to_litert(model, ExportSettings()))] == ["wide"]


@pytest.mark.parametrize("kind", ["2:4", "2x2 blocks"])
def test_a_pattern_is_given_up_only_where_removed_channels_tear_it(kind: str) -> None:
    promise = promise_of(network(), kind)
    # A whole group of inputs, and whole blocks of outputs, leave the pattern as it was.
    whole = promise.resized({"wide": [None, np.array([0, 1, 2, 3]), np.array([2, 3, 4, 5, 8, 9])]})
    assert set(whole.axes) == {"wide"}
    assert whole.given_up == ()
    # One output channel of a group of four inputs does not touch 2:4; one input does.
    torn = promise.resized({"wide": [None, np.array([1, 2, 4, 5, 6, 7]), np.array([0, 1, 2, 4, 5, 6])]})
    assert torn.axes == {}
    assert torn.given_up == ("wide",)
    assert "given up where channels were removed (wide)" in torn.summary
    assert torn.masks["wide"].shape == (3, 6, 6)


def test_after_channel_pruning_the_zeros_are_promised_and_the_report_says_what_became_of_the_pattern(
    small: dict, tmp_path: Path
) -> None:
    steps = [prune('n_m = "2:4"', epochs=1), 'technique = "prune-channels"\nratio = 0.3\nepochs = 1', FINETUNE]
    result = penjing.compress(network(), recipe=recipe(*steps), data=small, output=tmp_path / "run")
    after = model_after(tmp_path / "run", "03-finetune")
    kernel = np.asarray(after.get_layer("mix").kernel)
    assert kernel.shape[-2] < 32
    outcome = json.loads((tmp_path / "run/steps/02-prune-channels/outcome.json").read_text())
    (row,) = [row for row in outcome["layers"] if row["layer"] == "an earlier promise"]
    given_up = [name for name in ("wide", "mix", "head") if f"{name}" in row["change"].partition("removed (")[2]]
    assert given_up == ["mix", "head"]  # whose inputs are fewer; those of 'wide' are the model's own
    assert row["change"].startswith("is now: ") and "2:4 in 1 of 3 matrices" in row["change"]
    assert result.report is not None and "2:4 in 1 of 3 matrices" in result.report.read_text()


def deep_network():
    """Layers with several matrices behind a convolution that loses channels."""
    import keras

    keras.utils.set_random_seed(6)
    layers = keras.layers
    inputs = keras.Input((6, 8))
    first = layers.Conv1D(16, 3, padding="same", name="first")(inputs)
    second = layers.Conv1D(16, 3, padding="same", name="second")(inputs)
    x = layers.MultiHeadAttention(4, 4, name="attention")(first, second)
    x = layers.SeparableConv1D(16, 3, padding="same", name="separable")(x)
    x = layers.TimeDistributed(layers.Dense(16, name="dense"), name="each")(x)
    x = layers.Bidirectional(layers.LSTM(8, name="lstm"), name="ways")(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="head")(x))


def test_masks_of_every_kind_of_matrix_follow_removed_channels(tmp_path: Path, small: dict) -> None:
    from penjing.compression.structure.graph import ChannelGraph
    from penjing.compression.structure.surgery import remove_atoms

    model = deep_network()
    outcome = step(model, small, tmp_path, sparsity=0.5, scope="layer", epochs=0)
    (promise,) = outcome.invariants
    graph = ChannelGraph.from_model(outcome.model)
    free = [a for group in graph.groups for a in group.atoms.tolist()[::3] if graph.why_protected(a) is None]
    smaller, kept = remove_atoms(graph, free)
    changed = {
        key
        for key, variable in weight_matrices(smaller).items()
        if tuple(variable.shape) != tuple(weight_matrices(model)[key].shape)
    }
    assert {"attention/key", "separable/pointwise_kernel", "each/dense", "ways/backward_lstm/kernel"} <= changed
    assert promise.check(smaller) != []
    assert promise.resized(kept).check(smaller) == []
    assert promise.resized(kept).check_file(to_litert(smaller, ExportSettings())) == []
