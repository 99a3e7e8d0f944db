"""prune-weights: exact counts, smallest first, held through every later step and found again in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import penjing
from penjing.compression.pruning.schedules import polynomial_sparsity
from penjing.compression.pruning.sparsity_mask import SparsityMask
from penjing.compression.pruning.weights import smallest_masked
from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe

arrays = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5),
    elements=st.floats(-3, 3, width=32),
)


@given(st.lists(arrays, min_size=1, max_size=4), st.floats(0.05, 0.95))
def test_a_global_mask_drops_exactly_the_share_and_the_smallest(weights: list[np.ndarray], sparsity: float) -> None:
    layers = {f"layer{i}": values for i, values in enumerate(weights)}
    masks = smallest_masked(layers, sparsity, "global")
    total = sum(values.size for values in weights)
    most = total - len(weights)  # each layer keeps one weight
    dropped = sum(int((~mask).sum()) for mask in masks.values())
    assert dropped == min(round(sparsity * total), most)
    assert all(mask.any() for mask in masks.values())
    kept = np.concatenate([np.abs(layers[name][mask]) for name, mask in masks.items()])
    gone = np.concatenate([np.abs(layers[name][~mask]) for name, mask in masks.items()])
    largest_of_each = {float(np.abs(values).max()) for values in weights}
    if gone.size:
        assert all(value >= gone.max() or float(value) in largest_of_each for value in kept)


@given(arrays, st.floats(0.05, 0.95))
def test_a_layer_mask_drops_its_share_in_every_layer(values: np.ndarray, sparsity: float) -> None:
    masks = smallest_masked({"a": values, "b": values * 100}, sparsity, "layer")
    assert np.array_equal(masks["a"], masks["b"])
    assert (~masks["a"]).sum() == min(round(sparsity * values.size), values.size - 1)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_schedule_rises_from_nothing_to_the_target(first: float, second: float) -> None:
    def at(progress: float) -> float:
        return polynomial_sparsity(progress, initial=0.1, final=0.9, begin=0.2, end=0.8)

    low, high = sorted((first, second))
    assert at(low) <= at(high) + 1e-12
    assert at(0.0) == 0.0
    assert at(0.2) == pytest.approx(0.1)
    assert at(0.8) == at(1.0) == 0.9
    # Zhu and Gupta's equation 1 half-way: 0.9 - 0.8 * 0.5^3.
    assert at(0.5) == pytest.approx(0.8)


RECIPE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.7
scope = "{scope}"
epochs = 3
frequency = 3
exclude = ["quarter"]
[[steps]]
technique = "finetune"
epochs = 2
learning_rate = 0.01
[[steps]]
technique = "quantize"
mode = "{mode}"
"""


@pytest.mark.parametrize(("scope", "mode"), [("global", "int8"), ("layer", "float16"), ("global", "dynamic")])
def test_zeros_survive_fine_tuning_and_stand_in_the_file(
    toy_model: Path, toy_data: Path, tmp_path: Path, scope: str, mode: str
) -> None:
    import keras

    result = penjing.compress(
        toy_model,
        recipe=Recipe.from_toml(RECIPE.format(scope=scope, mode=mode)),
        data=toy_data,
        output=tmp_path / "run",
    )
    after = keras.models.load_model(tmp_path / "run/steps/02-finetune/model.keras", compile=False)
    kernels = [np.asarray(after.get_layer(name).kernel) for name in ("stem", "depthwise", "hidden")]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    total = sum(kernel.size for kernel in kernels)
    assert zeros == pytest.approx(0.7 * total, abs=2)
    # The excluded layer is untouched by pruning.
    assert np.count_nonzero(np.asarray(after.get_layer("quarter").kernel)) == 160
    # Counted in the file itself, without the invariant's own code.
    in_file = FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes())
    hidden = [t for t in in_file.constants() if sorted(t.shape) == [40, 192]]
    assert len(hidden) == 1
    assert (hidden[0].values == 0).sum() >= (kernels[2] == 0).sum() > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_a_broken_promise_is_found_in_model_and_file(seed: int) -> None:
    import keras

    from penjing.contract import ExportSettings
    from penjing.export.litert import to_litert

    generator = np.random.default_rng(seed)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, name="only")])
    values = generator.normal(size=(6, 5)).astype("float32") + 3.0
    mask = generator.random((6, 5)) < 0.5
    mask[0, 0] = False
    model.get_layer("only").set_weights([values * mask, np.zeros(5, "float32")])
    promise = SparsityMask(masks={"only": mask})
    assert promise.check(model) == []
    assert promise.check_file(to_litert(model, ExportSettings())) == []
    model.get_layer("only").set_weights([values, np.zeros(5, "float32")])
    assert [violation.layer for violation in promise.check(model)] == ["only"]
    assert [violation.layer for violation in promise.check_file(to_litert(model, ExportSettings()))] == ["only"]
    assert promise.check_file(to_litert(model, ExportSettings()))[0].detail.startswith("no weight tensor")
    model.get_layer("only").set_weights([values * mask, np.zeros(5, "float32")])
    promise.hold(model)
    assert SparsityMask.from_state(promise.to_state()).masks["only"].tolist() == mask.tolist()
