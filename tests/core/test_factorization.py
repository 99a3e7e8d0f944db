"""factorize: the same function at full rank, the best at a lower one, and the target that was asked for in the file."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import penjing
from penjing.compression.factorization.decompositions import (
    join_groups,
    split_groups,
    svd_energies,
    svd_factors,
    tucker_energies,
    tucker_factors,
)
from penjing.compression.factorization.input_moments import input_moments
from penjing.compression.factorization.layers import make_chain, options_of
from penjing.compression.factorization.low_rank import explain, plan
from penjing.compression.factorization.rank_choice import Option, best_in_total
from penjing.compression.model_tree import count_parameters
from penjing.compression.settings.factorization import FactorizeSettings
from penjing.compression.structure.replacement import Chain, replace_layers, replaceable_layers
from penjing.contract import ExportSettings
from penjing.errors import ModelError, RecipeError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.measure.macs import count_macs
from penjing.recipe import Recipe

layers = keras.layers


def filled(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with random weights everywhere: zero biases would hide mistakes."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(generator.uniform(0.2, 1.0, variable.shape) * generator.choice([-1, 1], variable.shape))
        if "variance" in variable.path:
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return model


def outputs(model: keras.Model, seed: int = 1) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(4, *model.inputs[0].shape[1:])).astype("float32")
    return np.asarray(model(x, training=False))


def macs_in_file(model: keras.Model) -> int:
    return count_macs(FileGraph.from_bytes(to_litert(model, ExportSettings()))).total


def low_rank(*shape: int, rank: int, seed: int = 0, noise: float = 0.01) -> np.ndarray:
    """A matrix, or a kernel with a window, that is a product of thin ones but for a little noise."""
    generator = np.random.default_rng(seed)
    first = generator.normal(size=(*shape[:-1], rank))
    kernel = first @ generator.normal(size=(rank, shape[-1]))
    return (kernel / kernel.std() + noise * generator.normal(size=shape)).astype("float32")


# ---------------------------------------------------------------------------------------------- decompositions


@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.data())
def test_an_svd_loses_just_the_energy_of_the_ranks_that_it_drops(
    groups: int, height: int, width: int, inputs: int, outs: int, data: st.DataObject
) -> None:
    kernel = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(height, width, inputs, groups * outs))
    parts = split_groups(kernel, groups)
    assert np.allclose(join_groups(parts), kernel, atol=1e-6)
    energies = svd_energies(parts)
    assert energies.sum() == pytest.approx((kernel**2).sum())
    rank = data.draw(st.integers(1, len(energies)))
    first, second = svd_factors(parts, rank)
    # The kernel of the two convolutions one after the other.
    product = np.einsum("ghxir,gywro->ghwio", first, second)
    assert ((product - parts) ** 2).sum() == pytest.approx(energies[rank:].sum(), abs=1e-9)


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_tucker_product_loses_no_more_than_foretold_and_nothing_at_full_rank(
    groups: int, window: int, inputs: int, outs: int, data: st.DataObject
) -> None:
    kernel = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(window, window, inputs, groups * outs))
    parts = split_groups(kernel, groups)
    kept = tucker_energies(parts)
    assert kept[-1, -1] == pytest.approx((kernel**2).sum())
    first_rank = data.draw(st.integers(1, kept.shape[0]))
    second_rank = data.draw(st.integers(1, kept.shape[1]))
    first, core, last = tucker_factors(parts, first_rank, second_rank)
    assert core.shape[-2:] == (first_rank, second_rank)
    product = np.einsum("gia,gxyab,gbo->gxyio", first, core, last)
    lost = ((product - parts) ** 2).sum()
    assert lost <= (kernel**2).sum() - kept[first_rank - 1, second_rank - 1] + 1e-9
    if (first_rank, second_rank) == kept.shape:
        assert lost < 1e-9


# ------------------------------------------------------------------------------------------ the same function


@st.composite
def convolutions(draw: st.DrawFn) -> dict:
    """A convolution in all its ways: settings of the layer, with the input's shape."""
    axes = draw(st.sampled_from([1, 2]))
    groups = draw(st.sampled_from([1, 2]))
    # LiteRT and TensorFlow stride both axes alike.
    strides, dilation = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2)]))
    return {
        "input": (*(draw(st.integers(6, 9)) for _ in range(axes)), 3 * groups),
        "filters": 4 * groups,
        "kernel_size": tuple(draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))),
        "strides": (strides,) * axes,
        "dilation_rate": (dilation,) * axes,
        "groups": groups,
        "padding": draw(st.sampled_from(["same", "valid", *(["causal"] if axes == 1 else [])])),
        "use_bias": draw(st.booleans()),
        "activation": draw(st.sampled_from(["linear", "tanh"])),
    }


def full_rank(layer: keras.layers.Layer, method: str) -> Option:
    parts = split_groups(np.asarray(layer.kernel), getattr(layer, "groups", 1))
    if method == "svd":
        ranks: tuple[int, ...] = (len(svd_energies(parts)),)
    else:
        ranks = tucker_energies(parts).shape
    return Option(method=method, ranks=ranks, parameters=0, macs=0, loss=0.0)


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(["svd", "tucker-2"]))
def test_at_full_rank_a_convolution_stays_the_same_function(case: dict, method: str) -> None:
    case = dict(case)
    inputs = keras.Input(case.pop("input"))
    assume(method == "svd" or prod(case["kernel_size"]) > 1)
    layer = (layers.Conv1D if len(case["kernel_size"]) == 1 else layers.Conv2D)(**case, name="it")
    model = filled(keras.Model(inputs, layer(inputs)))
    rebuilt = replace_layers(model, {"it": make_chain(layer, full_rank(layer, method), ["it"])})
    assert rebuilt.output_shape == model.output_shape
    assert np.allclose(outputs(rebuilt), outputs(model), atol=2e-4)
    assert rebuilt.get_layer("it").activation is layer.activation
    assert rebuilt.get_layer("it").use_bias == layer.use_bias


@pytest.mark.parametrize("shape", [(7,), (3, 7)])
def test_at_full_rank_a_dense_layer_stays_the_same_function(shape: tuple[int, ...]) -> None:
    inputs = keras.Input(shape)
    model = filled(keras.Model(inputs, layers.Dense(5, activation="relu", name="it")(inputs)))
    layer = model.get_layer("it")
    rebuilt = replace_layers(model, {"it": make_chain(layer, full_rank(layer, "svd"), ["it"])})
    assert np.allclose(outputs(rebuilt), outputs(model), atol=1e-5)
    assert [layer.name for layer in rebuilt.layers][1:] == ["it_factor1", "it"]


@pytest.mark.parametrize("method", ["svd", "tucker-2"])
@pytest.mark.parametrize(("strides", "groups"), [(1, 1), (2, 1), (2, 2)])
def test_what_an_option_costs_is_what_the_file_of_its_chain_costs(method: str, strides: int, groups: int) -> None:
    inputs = keras.Input((9, 7, 8))
    model = filled(keras.Model(inputs, layers.Conv2D(12, 3, strides=strides, groups=groups, name="it")(inputs)))
    ((_, layer, uses),) = [found for found in replaceable_layers(model) if found[0] == "it"]
    whole, options = options_of(layer, uses, method)
    assert whole.macs == macs_in_file(model)
    assert {option.method for option in options} == {method}
    for option in (options[0], options[len(options) // 2], options[-1]):
        rebuilt = replace_layers(model, {"it": make_chain(layer, option, ["it"])})
        assert macs_in_file(rebuilt) == option.macs < whole.macs
        kernels = [np.asarray(layer.kernel).size for layer in rebuilt.layers[1:]]
        assert sum(kernels) == option.parameters < whole.parameters


def test_a_basis_that_is_whole_needs_no_layer() -> None:
    """A stem with one input channel has nothing to reduce before its window."""
    inputs = keras.Input((9, 9, 1))
    model = filled(keras.Model(inputs, layers.Conv2D(16, 5, activation="relu", name="it")(inputs)))
    ((_, layer, uses),) = [found for found in replaceable_layers(model) if found[0] == "it"]
    option = next(option for option in options_of(layer, uses, "tucker-2")[1] if option.ranks == (1, 3))
    rebuilt = replace_layers(model, {"it": make_chain(layer, option, ["it"])})
    assert [layer.kernel_size for layer in rebuilt.layers[1:]] == [(5, 5), (1, 1)]
    assert [layer.activation.__name__ for layer in rebuilt.layers[1:]] == ["linear", "relu"]


# ---------------------------------------------------------------------------------------- by what layers read


def squared_error(model: keras.Model, moments: np.ndarray | None, rank: int, x: np.ndarray) -> float:
    layer = model.get_layer("it")
    option = Option(method="svd", ranks=(rank,), parameters=0, macs=0, loss=0.0)
    rebuilt = replace_layers(model, {"it": make_chain(layer, option, ["it"], moments)})
    difference = np.asarray(rebuilt(x), np.float64) - np.asarray(model(x), np.float64)
    return float((difference**2).sum())


def test_weighed_by_its_inputs_a_dense_layer_loses_the_least_of_its_outputs() -> None:
    """Held against the best product that there is: reduced-rank regression, the SVD of the outputs themselves."""
    generator = np.random.default_rng(0)
    x = (generator.normal(size=(400, 12)) @ generator.normal(size=(12, 12)) * np.geomspace(1, 30, 12)).astype("float32")
    model = filled(keras.Sequential([keras.Input((12,)), layers.Dense(9, use_bias=False, name="it")]))
    moments = input_moments(model, x, 400)["it"]
    assert np.allclose(moments, x.T.astype(float) @ x / 400, rtol=1e-5)
    given_outputs = np.asarray(model(x), np.float64)
    for rank in (2, 5):
        least = float((np.linalg.svd(given_outputs, compute_uv=False)[rank:] ** 2).sum())
        assert squared_error(model, moments, rank, x) == pytest.approx(least, rel=0.01)
        assert squared_error(model, None, rank, x) > 1.2 * least
    ((_, layer, uses),) = replaceable_layers(model)
    option = options_of(layer, uses, "svd", moments)[1][1]
    lost = squared_error(model, moments, 2, x) / (given_outputs**2).sum()
    assert option.loss == pytest.approx(lost, rel=0.02)


@pytest.mark.parametrize("method", ["svd", "tucker-2"])
@pytest.mark.parametrize("groups", [1, 2])
def test_at_full_rank_weighing_changes_nothing(method: str, groups: int) -> None:
    inputs = keras.Input((7, 7, 6))
    model = filled(keras.Model(inputs, layers.Conv2D(8, 3, groups=groups, name="it")(inputs)))
    moments = input_moments(model, np.random.default_rng(2).normal(size=(5, 7, 7, 6)).astype("float32"), 5)["it"]
    layer = model.get_layer("it")
    rebuilt = replace_layers(model, {"it": make_chain(layer, full_rank(layer, method), ["it"], moments)})
    assert np.allclose(outputs(rebuilt), outputs(model), atol=2e-4)


def test_what_layers_read_is_found_in_nested_and_shared_models_and_with_several_inputs() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(20, 6)).astype("float32")
    found = input_moments(nested(), x, 20)
    assert found.keys() == {"block/inner", "head"}
    twice = {"left": x, "right": 2 * x}
    # It reads the left input once and the right one, of four times the square, twice.
    both = input_moments(shared(), twice, 20)["twin"]
    assert np.allclose(both, x.T.astype(float) @ x / 20 * (1 + 4 + 4) / 3, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ surgery


def chain_for(model: keras.Model, path: str) -> dict[str, Chain]:
    layer = {found: layer for found, layer, _ in replaceable_layers(model)}[path]
    return {path: make_chain(layer, full_rank(layer, "svd"), [])}


def nested() -> keras.Model:
    inner_input = keras.Input((6,))
    x = layers.Dense(6, activation="tanh", name="inner")(inner_input)
    block = keras.Model(inner_input, layers.Add(name="sum")([x, inner_input]), name="block")
    inputs = keras.Input((6,))
    x = block(block(inputs))
    x = layers.BatchNormalization(name="norm")(x)
    return filled(keras.Model(inputs, layers.Dense(3, name="head")(x)))


def shared() -> keras.Model:
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    twin = layers.Dense(5, activation="relu", name="twin")
    x = layers.Concatenate(name="both")([twin(left), layers.Dropout(0.5, seed=3, name="drop")(twin(right))])
    return filled(keras.Model([left, right], [layers.Dense(3, name="head")(x), twin(right)]))


def stacked() -> keras.Model:
    return filled(
        keras.Sequential(
            [
                keras.Input((8, 3)),
                keras.Sequential([layers.Conv1D(6, 3, activation="relu", name="inner")], name="block"),
                layers.LSTM(4, name="lstm"),
                layers.Dense(3, name="head"),
            ]
        )
    )


@pytest.mark.parametrize(
    ("build", "paths"), [(nested, ["block/inner", "head"]), (shared, ["twin"]), (stacked, ["block/inner", "head"])]
)
def test_layers_are_replaced_wherever_they_stand_and_all_else_is_kept(build, paths: list[str], tmp_path: Path) -> None:
    model = build()
    chains: dict[str, Chain] = {}
    for path in paths:
        chains |= chain_for(model, path)
    rebuilt = replace_layers(model, chains)
    rebuilt.save(tmp_path / "model.keras")
    rebuilt = keras.models.load_model(tmp_path / "model.keras", compile=False)
    generator = np.random.default_rng(0)
    x = [generator.normal(size=(4, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]
    ours, theirs = model(x, training=False), rebuilt(x, training=False)
    for our, their in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        assert np.allclose(our, their, atol=1e-5)
    assert {path for path, _, _ in replaceable_layers(model)} <= {path for path, _, _ in replaceable_layers(rebuilt)}
    assert [path for path, _, _ in replaceable_layers(rebuilt) if path.endswith("_factor1")] == [
        f"{path}_factor1" for path in paths
    ]
    last = {tensor._keras_history.operation.name for tensor in rebuilt.outputs}
    assert last == {tensor._keras_history.operation.name for tensor in model.outputs}


def test_the_given_model_is_not_changed() -> None:
    model = nested()
    before = [np.array(weight) for weight in model.get_weights()]
    replace_layers(model, chain_for(model, "head"))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert len(model.layers) == len(nested().layers)


class OwnClass(keras.Model):
    def train_step(self, data):  # what a rebuilt model would silently lose
        return super().train_step(data)


def test_a_model_with_a_class_of_its_own_is_refused() -> None:
    inputs = keras.Input((6,))
    model = OwnClass(inputs, layers.Dense(40, name="it")(inputs))
    with pytest.raises(ModelError, match="cannot be rebuilt"):
        replace_layers(model, {})
    (change,) = explain(model, FactorizeSettings(energy=0.5))
    assert change.change == "left alone: stands inside a wrapper or a model with a class of its own"


# ------------------------------------------------------------------------------------------------------ choices


@settings(max_examples=50)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 20), st.floats(0.01, 1)), min_size=1, max_size=5), min_size=1, max_size=3
    ),
    st.floats(0, 1),
)
def test_a_budget_is_kept_and_spent_well(table: list[list[tuple[int, float]]], share: float) -> None:
    import itertools

    options = {
        f"layer{number}": [
            Option(method="svd", ranks=(1,), parameters=cost, macs=cost, loss=loss) for cost, loss in rows
        ]
        for number, rows in enumerate(table)
    }
    costs = {layer: [float(option.macs) for option in found] for layer, found in options.items()}
    least, most = (sum(choose(row) for row in costs.values()) for choose in (min, max))
    budget = least + share * (most - least)
    assert best_in_total(options, costs, least - 1) is None
    chosen = best_in_total(options, costs, budget)
    assert chosen is not None
    spent = sum(option.macs for option in chosen.values())
    assert spent <= budget
    loss = sum(option.loss for option in chosen.values())
    # No single layer could still be had better for what is left, and the relaxed optimum bounds the loss: it is at most
    # one layer's step above the best of all combinations.
    for layer, option in chosen.items():
        for other in options[layer]:
            assert other.loss >= option.loss or spent - option.macs + other.macs > budget
    best = min(
        sum(option.loss for option in combination)
        for combination in itertools.product(*options.values())
        if sum(option.macs for option in combination) <= budget
    )
    largest_step = max(max(o.loss for o in found) - min(o.loss for o in found) for found in options.values())
    assert best <= loss + 1e-12 <= best + largest_step + 1e-9


def wide(rank: int = 6) -> keras.Model:
    """A model whose layers are nearly of a low rank."""
    inputs = keras.Input((10, 10, 8))
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.Conv2D(48, 1, use_bias=False, name="point")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    model = filled(keras.Model(inputs, layers.Dense(4, name="head")(x)))
    for name in ("conv", "point", "hidden"):
        kernel = model.get_layer(name).kernel
        kernel.assign(low_rank(*kernel.shape, rank=rank))
    return model


def test_energy_takes_the_smallest_rank_that_keeps_it() -> None:
    model = wide()
    made = plan(model, FactorizeSettings(energy=0.98), {})
    hidden = np.asarray(model.get_layer("hidden").kernel, np.float64)
    shares = np.cumsum(np.linalg.svd(hidden, compute_uv=False) ** 2) / (hidden**2).sum()
    assert made.chosen["hidden"].ranks == (int(np.argmax(shares >= 0.98)) + 1,)
    assert made.figures["least_energy_kept"] >= 0.98
    assert made.figures["macs_after"] == macs_in_file(made.model) < macs_in_file(model)
    changes = {change.layer: change.change for change in made.changes}
    assert changes["depthwise"] == "left alone: DepthwiseConv2D is neither Dense, Conv1D nor Conv2D"
    assert changes["head"].startswith("left alone: products that are smaller keep at most")
    assert explain(model, FactorizeSettings(energy=0.98)) == list(made.changes)
    # Little is lost, so the function is nearly the same.
    assert np.corrcoef(outputs(made.model).ravel(), outputs(model).ravel())[0, 1] > 0.98


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_a_share_of_the_models_macs_is_met_in_the_file_and_nearly_used_up(share: float) -> None:
    model = wide()
    made = plan(model, FactorizeSettings(macs=share), {})
    assert share - 0.03 < macs_in_file(made.model) / macs_in_file(model) <= share
    assert made.figures["macs_target"] == pytest.approx(share * macs_in_file(model))


def test_a_share_of_every_layers_macs_is_met_in_every_layer() -> None:
    model = wide()
    made = plan(model, FactorizeSettings(macs=0.4, macs_scope="layer"), {})
    assert set(made.chosen) == {"conv", "point", "hidden", "head"}
    for path, layer, uses in replaceable_layers(model):
        if path in made.chosen:
            assert made.chosen[path].macs <= 0.4 * options_of(layer, uses, "best")[0].macs


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_bytes_of_flash_are_solved_for_in_the_file(mode: str) -> None:
    model = wide()
    before = len(to_litert(model, ExportSettings(mode=mode), np.zeros((4, 10, 10, 8)) if mode == "int8" else None))
    target = int(0.75 * before)
    made = plan(model, FactorizeSettings(flash=target, flash_format=mode), {})
    calibration = np.random.default_rng(7).normal(size=(4, 10, 10, 8)) if mode == "int8" else None
    reached = len(to_litert(made.model, ExportSettings(mode=mode), calibration))
    assert 0.9 * target < reached <= target
    assert made.figures["flash_bytes_after"] == pytest.approx(reached, abs=16)
    assert made.figures["flash_bytes_target"] == target


def test_a_target_that_is_reached_already_changes_nothing() -> None:
    model = wide()
    made = plan(model, FactorizeSettings(flash=10**6), {})
    assert made.model is model
    assert made.chosen == {}


@pytest.mark.parametrize("chosen", [{"macs": 0.01}, {"flash": 2000}])
def test_a_target_that_no_rank_reaches_is_refused_with_what_can_be_reached(chosen: dict[str, float]) -> None:
    with pytest.raises(ModelError) as caught:
        plan(wide(), FactorizeSettings(**chosen), {})
    assert any(character.isdigit() for character in caught.value.why or "")


def test_excluded_and_promised_layers_are_left_alone() -> None:
    chosen = FactorizeSettings(energy=0.5, exclude=("conv",))
    made = plan(wide(), chosen, {"hidden": "12 weights in 1 layers stay zero"})
    changes = {change.layer: change.change for change in made.changes}
    assert set(made.chosen) == {"point", "head"}
    assert changes["conv"] == "left alone: fits 'exclude'"
    assert changes["hidden"] == ("left alone: carries a promise of an earlier step (12 weights in 1 layers stay zero)")
    with pytest.raises(ModelError, match="no layer fits 'hiden'"):
        plan(wide(), FactorizeSettings(exclude=("hiden",)), {})


# ---------------------------------------------------------------------------------------------------- technique

RECIPE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.5
epochs = 0
exclude = ["hidden"]
[[steps]]
technique = "factorize"
{target}
epochs = 3
[[steps]]
technique = "cluster-weights"
epochs = 1
[[steps]]
technique = "prune-channels"
macs = 0.8
epochs = 1
[[steps]]
technique = "quantize"
"""


def test_a_recipe_factorizes_trains_and_keeps_earlier_promises(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    text = RECIPE.format(target='macs = 0.6\nenergy_of = "outputs"')
    result = penjing.compress(toy_model, recipe=Recipe.from_toml(text), data=toy_data, output=tmp_path / "run")
    step = json.loads((tmp_path / "run/steps/02-factorize/outcome.json").read_text())
    changes = {change["layer"]: change["change"] for change in step["layers"]}
    assert changes["stem"].startswith("left alone: carries a promise of an earlier step")
    assert changes["hidden"].startswith("svd, rank")
    assert step["figures"]["macs_after"] <= step["figures"]["macs_target"]
    assert len(step["history"]["loss"]) == 3
    assert step["validation"] > step["figures"]["validation_before_training"] - 0.1
    # What comes after treats the factors as any other layer: it clusters them, takes channels away, quantizes.
    left = keras.models.load_model(tmp_path / "run/steps/04-prune-channels/model.keras", compile=False)
    assert np.asarray(left.get_layer("hidden_factor1").kernel).shape[0] < 192
    assert count_parameters(left) < step["figures"]["parameters_after"]
    for name in ("hidden_factor1", "hidden"):
        assert 2 < len(np.unique(np.asarray(left.get_layer(name).kernel))) <= 16
    file = FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes())
    assert file.operator_counts()["FULLY_CONNECTED"] == 3


@pytest.mark.parametrize(
    "wrong",
    ["energy = 0.5\nmacs = 0.5", 'macs = 1.5\nmacs_scope = "layer"', 'flash = "a lot"', "energy = 0", 'method = "cp"'],
)
def test_settings_that_make_no_sense_are_refused_before_work_starts(
    toy_model: Path, toy_data: Path, tmp_path: Path, wrong: str
) -> None:
    with pytest.raises(RecipeError):
        penjing.compress(
            toy_model, recipe=Recipe.from_toml(RECIPE.format(target=wrong)), data=toy_data, output=tmp_path / "run"
        )
