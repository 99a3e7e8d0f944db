"""prune-weights end to end: every criterion resumes to equal weights, patterns hold in later steps and in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import penjing
from penjing.compression.matrix_layout import input_axes
from penjing.compression.pruning.structured_mask import StructuredMask
from penjing.contract import ExportSettings
from penjing.errors import ModelError, PluginError
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


@pytest.mark.parametrize(
    ("criterion", "shape"),
    [
        ("movement", "polynomial"),
        ("movement", "iterative"),
        ("taylor", "polynomial"),
        ("taylor", "one-shot"),
    ],
)
def test_a_training_that_is_cut_off_goes_on_to_the_same_weights(
    small: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, criterion: str, shape: str
) -> None:
    """Cut between two changes of the mask (5 updates an epoch, a change every 4)."""
    from penjing.compression import finetuning, workbench

    monkeypatch.setattr(finetuning, "CHECKPOINT_SECONDS", 0.0)
    arrays = {"x": small["x"][:180], "y": small["y"][:180]}
    begin = "begin = 0.2" if shape != "one-shot" else ""
    steps = recipe(
        'technique = "prune-weights"\nepochs = 3\nbatch_size = 26\nfrequency = 4\nlearning_rate = 0.02\n'
        "sparsity = 0.6\n"
        f'criterion = "{criterion}"\nschedule_shape = "{shape}"\n{begin}\nend = 0.9'
    )

    def run(name: str, resume: bool = False) -> list:
        penjing.compress(network(), recipe=steps, data=arrays, output=tmp_path / name, resume=resume)
        return model_after(tmp_path / name, "01-prune-weights").get_weights()

    whole = run("whole")
    epoch = workbench.EpochProgress.epoch

    def interrupt(self, number: int, figures: dict) -> None:
        epoch(self, number, figures)
        if number == 2:
            raise RuntimeError("cut off")

    monkeypatch.setattr(workbench.EpochProgress, "epoch", interrupt)
    with pytest.raises(PluginError):
        run("cut")
    monkeypatch.setattr(workbench.EpochProgress, "epoch", epoch)
    resumed = run("cut", resume=True)
    assert all(np.array_equal(first, second) for first, second in zip(whole, resumed, strict=True))
    zeros = sum(int((value == 0).sum()) for value in whole if value.ndim > 1)
    assert zeros == round(0.6 * sum(value.size for value in whole if value.ndim > 1))


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
    # An int8 file writes every time step out; the tensors are still there once.
    content = to_litert(after, ExportSettings(mode="int8", calibration_examples=9), small["x"][:9])
    tensors = [t for t in FileGraph.from_bytes(content).constants() if t.shape == (32, 8)]
    assert len(tensors) == 2
    for tensor in tensors:
        assert (tensor.values.reshape(32, 2, 4) != 0).sum(axis=-1).max() == 1


def test_patterns_of_layers_get_their_own_shares(small: dict, tmp_path: Path) -> None:
    result = penjing.compress(
        network(),
        recipe=recipe(prune('sparsity = 0.75\nlayer_sparsity = { "head*" = 0.3, depthwise = 0.0 }', epochs=0)),
        data=small,
        output=tmp_path / "run",
    )
    assert result.bundle is not None
    after = model_after(tmp_path / "run", "01-prune-weights")
    zeros = {name: int((np.asarray(after.get_layer(name).kernel) == 0).sum()) for name in ("head", "depthwise")}
    assert zeros == {"head": 31, "depthwise": 0}
    rest = [np.asarray(after.get_layer(name).kernel) for name in ("wide", "mix")]
    assert sum(int((kernel == 0).sum()) for kernel in rest) == round(0.75 * sum(kernel.size for kernel in rest))


def test_a_later_pruning_keeps_the_zeros_of_an_earlier_one(small: dict, tmp_path: Path) -> None:
    more = 'criterion = "movement"\nsparsity = 0.6\nlearning_rate = 0.02'
    penjing.compress(
        network(), recipe=recipe(prune("sparsity = 0.4", epochs=0), prune(more)), data=small, output=tmp_path / "run"
    )
    first = model_after(tmp_path / "run", "01-prune-weights").get_weights()
    second = model_after(tmp_path / "run", "02-prune-weights").get_weights()
    for before, after in zip(first, second, strict=True):
        if before.ndim > 1:
            assert not np.any(after[before == 0])


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


def test_after_channel_pruning_the_zeros_are_still_promised_and_the_run_says_what_became_of_the_pattern(
    small: dict, tmp_path: Path
) -> None:
    result = penjing.compress(
        network(),
        recipe=recipe(
            prune('n_m = "2:4"', epochs=1), 'technique = "prune-channels"\nratio = 0.3\nepochs = 1', FINETUNE
        ),
        data=small,
        output=tmp_path / "run",
    )
    assert result.bundle is not None
    after = model_after(tmp_path / "run", "03-finetune")
    kernel = np.asarray(after.get_layer("mix").kernel)
    assert kernel.shape[-2] < 32
    assert (kernel == 0).mean() > 0.3
