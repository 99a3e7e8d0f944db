"""remove-dead: what is planted is found, what is removed is not missed, and what lives stays as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penjing
from penjing.compression.bounds.propagation import UNBOUNDED
from penjing.compression.model_tree import count_parameters
from penjing.compression.pruning.dead.removal import remove_dead
from penjing.compression.pruning.dead.technique import apply, explain, preview
from penjing.compression.pruning.sparsity_mask import SparsityMask
from penjing.compression.settings.dead_channels import RemoveDeadSettings
from penjing.errors import CheckFailedError, DataError, ModelError
from penjing.recipe import Recipe
from removing import UNIT, assert_same_outputs, conv_pair, make_constant, randomize, removal_context

L = keras.layers

# -------------------------------------------------------------------------------- what is planted in a chain is found

PLANTS = ("negative", "gamma zero", "kernel zero", "unread")


class Draw:
    """Random choices from a seed. Keras draws names and seeds of its own while a graph is built, which a strategy of
    Hypothesis must not do; so only the seed is Hypothesis' choice."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.generator.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        return int(self.generator.integers(low, high + 1))

    def subset(self, size: int, largest: int) -> list[int]:
        return sorted(self.generator.permutation(size)[: self.number(0, largest)].tolist())


seeds = st.integers(0, 2**31)


def chain(draw: Draw) -> tuple[keras.Model, dict[str, int]]:
    """A chain of layers with dead channels planted in it, and how many must be found in each layer."""
    one_d = draw.one_of(True, False)
    conv, pool, depthwise = (
        (L.Conv1D, L.MaxPooling1D, L.DepthwiseConv1D) if one_d else (L.Conv2D, L.MaxPooling2D, L.DepthwiseConv2D)
    )
    x = inputs = keras.Input((12, 2) if one_d else (9, 8, 2))
    blocks = draw.number(1, 3)
    readers = []
    for number in range(blocks):
        padding = draw.one_of("same", "valid") if number else "same"
        with_norm = draw.one_of(True, False)
        layer = conv(draw.number(3, 5), 2, padding=padding, use_bias=not with_norm, name=f"conv{number}")
        readers.append(layer)
        x = layer(x)
        if with_norm:
            x = L.BatchNormalization(name=f"norm{number}")(x)
        x = draw.one_of(L.ReLU, lambda: L.ReLU(6.0), lambda: L.Activation("hard_silu"))()(x)
        between = draw.one_of("nothing", "pool", "depthwise", "dropout")
        if between == "pool":
            x = pool(2, padding="same")(x)
        elif between == "depthwise":
            x = depthwise(2, padding="valid" if x.shape[1] > 2 else "same", name=f"depthwise{number}")(x)
        elif between == "dropout":
            x = L.Dropout(0.3)(x)
    if draw.one_of(True, False):
        x = L.Flatten()(x)
    else:
        x = (L.GlobalAveragePooling1D if one_d else L.GlobalAveragePooling2D)()(x)
    head = L.Dense(3, activation="softmax", name="head")
    model = keras.Model(inputs, head(x))
    randomize(model, draw.number(0, 1000))
    readers.append(head)
    expected = {}
    for number in range(blocks):
        layer, reader = readers[number], readers[number + 1]
        channels = draw.subset(layer.filters, layer.filters - 1)
        padded = getattr(reader, "padding", "valid") == "same"
        positions = reader.kernel.shape[-2] // layer.filters if reader is head else 1
        found = 0
        for channel in channels:
            plant = draw.one_of(*PLANTS)
            zero = _plant(model, number, channel, plant, reader, positions)
            found += zero or not padded
        if found:
            expected[layer.name] = found
    return model, expected


def _plant(model: keras.Model, number: int, channel: int, plant: str, reader: Any, positions: int) -> bool:
    """Make a channel dead; returns whether what its reader sees is zero, or not read at all."""
    names = {layer.name: layer for layer in model.layers}
    layer, norm, depthwise = (names.get(f"{stem}{number}") for stem in ("conv", "norm", "depthwise"))

    def put(variable: Any, index: Any, value: float) -> None:
        values = np.array(variable)
        values[index] = value
        variable.assign(values)

    if plant == "unread":
        for position in range(positions):
            put(reader.kernel, (..., position * layer.filters + channel, slice(None)), 0.0)
        return True
    bias = layer.bias if norm is None else norm.beta
    value = -60.0
    if plant == "gamma zero" and norm is not None:
        put(norm.gamma, channel, 0.0)
        value = 0.7
    elif plant == "kernel zero" and norm is None:
        put(layer.kernel, (..., channel), 0.0)
        value = 0.7
    put(bias, channel, value)
    return value < 0 and (depthwise is None or float(np.asarray(depthwise.bias)[channel]) == 0.0)


@settings(max_examples=15)
@given(seeds)
def test_planted_dead_channels_are_found_and_not_missed(seed: int) -> None:
    model, expected = chain(Draw(seed))
    removal = remove_dead(model, UNIT)
    for name, count in expected.items():
        layer = model.get_layer(name)
        left = removal.model.get_layer(name).filters
        assert left <= layer.filters - count, (name, removal.dead)
    if not removal.dead and not removal.idle:
        assert removal.model is model
    assert_same_outputs(model, removal.model)


# --------------------------------------------------------------------------------------- any graph keeps its outputs


def graph(draw: Draw) -> keras.Model:
    """Small graphs with branches, gates and concatenations, in which all kinds of weights are zero or extreme."""
    x = inputs = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    for _ in range(draw.number(1, 3)):
        channels = x.shape[-1]
        part = draw.one_of("residual", "gate", "concatenate", "depthwise", "norm", "maximum", "operation")
        if part == "residual":
            y = L.Conv2D(3, 1, activation=draw.one_of("relu", "tanh"))(x)
            y = L.Conv2D(channels, 3, padding="same", use_bias=draw.one_of(True, False))(y)
            x = L.Add()([x, L.BatchNormalization()(y)])
        elif part == "gate":
            y = L.Dense(2, activation="relu")(L.GlobalAveragePooling2D(keepdims=True)(x))
            x = L.Multiply()([x, L.Dense(channels, activation="hard_sigmoid")(y)])
        elif part == "concatenate":
            y = L.Conv2D(2, 3, padding="same", activation="relu6")(x)
            x = L.Concatenate()([x, y])
        elif part == "depthwise":
            x = L.ReLU()(L.DepthwiseConv2D(3, padding="same", depth_multiplier=draw.number(1, 2))(x))
        elif part == "norm":
            x = L.LeakyReLU()(L.BatchNormalization()(x))
        elif part == "maximum":
            x = L.Maximum()([x, L.SeparableConv2D(channels, 3, padding="same", activation="gelu")(x)])
        else:
            x = keras.ops.relu(x * 0.5 - 0.25)
    x = draw.one_of(L.Flatten, L.GlobalMaxPooling2D)()(x)
    x = L.Dense(5, activation="relu")(x)
    model = keras.Model(inputs, [L.Dense(2)(x), L.Dense(1, activation="tanh")(x)])
    seed = draw.number(0, 10_000)
    randomize(model, seed)
    generator = np.random.default_rng(seed)
    share = draw.one_of(0.1, 0.4, 0.7)
    for variable in model.weights:
        hit = generator.random(variable.shape[-1]) < share
        values = np.array(variable)
        if variable.name in ("kernel", "gamma"):
            values[..., hit] = 0.0
        elif variable.name in ("bias", "beta"):
            values[hit] = generator.choice([-20.0, 0.0, 5.0])
        variable.assign(values)
    return model


@settings(max_examples=15)
@given(seeds)
def test_whatever_is_removed_the_outputs_stay(seed: int) -> None:
    model = graph(Draw(seed))
    weights = model.get_weights()
    removal = remove_dead(model, UNIT)
    assert_same_outputs(model, removal.model)
    assert count_parameters(removal.model) <= count_parameters(model)
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    again = remove_dead(removal.model, UNIT)
    assert not again.dead, "a second run finds nothing that the first left"


@pytest.mark.parametrize("activation", ["tanh", "silu", "leaky_relu", "softplus"])
def test_a_model_with_nothing_dead_is_unchanged_to_the_bit(activation: str, tmp_path: Path) -> None:
    inputs = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, padding="same", activation=activation)(inputs)
    x = L.Add()([x, L.BatchNormalization()(L.Conv2D(4, 1)(x))])
    model = keras.Model(inputs, L.Dense(3, activation="softmax")(L.Flatten()(L.MaxPooling2D()(x))))
    randomize(model, 4)
    weights = model.get_weights()
    outcome = apply(removal_context(model, tmp_path), RemoveDeadSettings())
    assert outcome.summary == "nothing dead: the model is unchanged"
    assert outcome.model is model
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert not outcome.kept
    assert outcome.figures["largest_difference_on_random_inputs"] == 0


def test_a_published_architecture_keeps_its_outputs(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, weights=None, classes=7)
    removal = remove_dead(model, UNIT)
    assert_same_outputs(model, removal.model)
    # Depthwise kernels of nine negative weights after a ReLU6 occur by chance: one in 512.
    assert set(removal.dead) and all(set(rules) == {"relu never positive"} for rules in removal.dead.values())
    assert count_parameters(removal.model) < count_parameters(model)


# ------------------------------------------------------------------------------- range, evidence, certificate


def _threshold_model() -> keras.Model:
    """relu(x - 2): dead for inputs up to 2, alive beyond. Channel 1 is always alive."""
    inputs = keras.Input((1,), name="x")
    dense = L.Dense(2, activation="relu", name="hidden")
    model = keras.Model(inputs, L.Dense(1, name="out")(dense(inputs)))
    randomize(model, 0)
    dense.set_weights([np.array([[1.0, 1.0]]), np.array([-2.0, 3.0])])
    return model


@pytest.mark.parametrize(("range_", "left"), [([-1, 1.9], 1), ([-1, 2.1], 2), ({"x": [0, 1]}, 1)])
def test_the_proof_is_relative_to_the_declared_range(range_: Any, left: int, tmp_path: Path) -> None:
    x = np.linspace(0, 1, 50, dtype="float32")[:, None]
    chosen = RemoveDeadSettings(input_range=range_)
    outcome = apply(removal_context(_threshold_model(), tmp_path, x), chosen)
    assert outcome.model.get_layer("hidden").units == left
    assert json.loads((tmp_path / "certificate.json").read_text())["input_range_from"] == "declared"


def test_without_a_declared_range_it_is_that_of_the_data_widened(tmp_path: Path) -> None:
    x = np.linspace(0, 1.9, 50, dtype="float32")[:, None]
    for widen, left in ((0.0, 1), (0.1, 2)):  # 1.9 + 0.19 is more than 2
        outcome = apply(removal_context(_threshold_model(), tmp_path, x), RemoveDeadSettings(widen=widen))
        assert outcome.model.get_layer("hidden").units == left


def test_data_outside_of_the_declared_range_is_refused(tmp_path: Path) -> None:
    x = np.linspace(0, 3, 50, dtype="float32")[:, None]
    with pytest.raises(DataError, match=r"(?s)0 to 3.*input 'x'"):
        apply(removal_context(_threshold_model(), tmp_path, x), RemoveDeadSettings(input_range=(-1, 2)))
    with pytest.raises(ModelError, match="no input 'y'"):
        explain(_threshold_model(), RemoveDeadSettings(input_range={"y": (-1, 2)}))


@pytest.mark.parametrize("bad", [[1, 0], [0, float("inf")], {"x": [2, 1]}])
def test_a_range_upside_down_or_endless_is_refused_in_the_recipe(bad: Any) -> None:
    with pytest.raises(ValueError, match="both finite and low not above high"):
        RemoveDeadSettings(input_range=bad)


def test_the_data_as_evidence_removes_more_and_says_that_it_is_no_proof(tmp_path: Path) -> None:
    """A range over which nothing can be proven, and data that never leaves the dead part."""
    x = np.linspace(0, 1.5, 50, dtype="float32")[:, None]
    proof = apply(removal_context(_threshold_model(), tmp_path, x), RemoveDeadSettings(input_range=(-1, 4)))
    assert proof.model.get_layer("hidden").units == 2
    chosen = RemoveDeadSettings(input_range=(-1, 4), evidence="data")
    seen = apply(removal_context(_threshold_model(), tmp_path, x), chosen)
    assert seen.model.get_layer("hidden").units == 1
    assert "not proven" in seen.summary
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    assert certificate["channels_by_rule"] == {"constant on all data (not proven)": 1}
    assert certificate["largest_difference_on_data"] <= 1e-5
    assert certificate["largest_difference_on_random_inputs"] > 0.01, "beyond the data it does change"
    assert "no proof" in certificate["statement"]


def test_a_difference_at_the_outputs_stops_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that forgets to put the constant into the bias must not get through."""
    from penjing.compression.pruning.dead.readers import Reader

    model, one, _ = conv_pair({}, {"padding": "valid"})
    make_constant(one, 1, 1.25)
    weights = model.get_weights()
    monkeypatch.setattr(Reader, "fold", lambda self, removed: None)
    with pytest.raises(CheckFailedError, match="nothing was removed"):
        apply(removal_context(model, tmp_path), RemoveDeadSettings())
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert not (tmp_path / "certificate.json").exists()


def test_the_certificate_counts_channels_parameters_and_rules(tmp_path: Path) -> None:
    model, one, _ = conv_pair({}, {"padding": "valid"})
    make_constant(one, 1, 1.25)
    outcome = apply(removal_context(model, tmp_path), RemoveDeadSettings(input_range=(-1, 1), examples=20))
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    # A filter of one weight and one bias; nine weights in each of two filters behind it.
    assert certificate["parameters_removed"] == 1 + 1 + 2 * 9
    assert certificate["bytes_removed_float32"] == 80
    assert certificate["channels_by_rule"] == {"kernel zero": 1}
    assert certificate["examples_of_data"] == 40
    by_layer = {layer["layer"]: layer for layer in certificate["layers"]}
    assert by_layer["one"]["channels_removed"] == 1
    assert by_layer["two"]["parameters_removed"] == 18
    assert outcome.figures["channels_removed"] == 1
    assert {change.layer: change.change for change in outcome.layers} == {
        "one": "1 of 3 channels dead (1 kernel zero), 2 parameters less",
        "two": "18 parameters less",
    }


def test_outputs_that_are_no_numbers_count_as_they_are(tmp_path: Path) -> None:
    """The logarithm of what may be negative: the same before and after."""
    inputs = keras.Input((6,))
    dense = L.Dense(4, activation="relu", name="dense")
    model = keras.Model(inputs, keras.ops.log(L.Dense(2)(dense(inputs))))
    randomize(model, 2)
    for bias, removed in (0.0, 0), (-40.0, 1):
        dense.bias.assign([bias, 0.0, 0.0, 0.0])
        outcome = apply(removal_context(model, tmp_path), RemoveDeadSettings(input_range=(-1, 1)))
        assert outcome.figures["channels_removed"] == removed
        certificate = json.loads((tmp_path / "certificate.json").read_text())
        assert np.isfinite(certificate["output_ranges"]).all()
    assert np.isnan(np.asarray(model(np.random.default_rng(2).uniform(-1, 1, (60, 6))))).any()


def test_explain_says_what_is_dead_before_anything_is_changed() -> None:
    model = _threshold_model()
    declared = {c.layer: c.change for c in explain(model, RemoveDeadSettings(input_range=(0, 1)))}
    assert declared["hidden"] == "1 of 2 channels dead (1 relu never positive)"
    unknown = explain(model, RemoveDeadSettings())
    assert "range will come from the data" in unknown[0].change
    assert {c.layer: c.change for c in unknown}["hidden"] == "none of 2 channels dead"
    assert model.get_layer("hidden").units == 2


def test_an_unbounded_range_is_no_error() -> None:
    model, one, _ = conv_pair({}, {"padding": "valid"})
    make_constant(one, 1, 1.25)
    assert remove_dead(model, [UNBOUNDED]).dead == {"one": {"kernel zero": 1}}


def test_several_inputs_each_have_a_range(tmp_path: Path) -> None:
    first, second = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    hidden = L.Dense(3, activation="relu", name="hidden")
    model = keras.Model({"a": first, "b": second}, L.Dense(2)(hidden(L.Concatenate()([first, second]))))
    randomize(model, 0)
    kernel = np.ones((5, 3))
    hidden.set_weights([kernel, np.array([-30.0, 0.0, 0.0])])
    generator = np.random.default_rng(0)
    x = {"a": generator.uniform(0, 9, (30, 2)), "b": generator.uniform(0, 1, (30, 3))}
    x = {name: array.astype("float32") for name, array in x.items()}
    ranges = {"a": (0, 10), "b": (0, 3)}  # at most 20 + 9 - 30
    outcome = apply(removal_context(model, tmp_path, x), RemoveDeadSettings(input_range=ranges))
    assert outcome.model.get_layer("hidden").units == 2
    assert json.loads((tmp_path / "certificate.json").read_text())["input_range"] == {"a": [0.0, 10.0], "b": [0.0, 3.0]}


# ----------------------------------------------------------------------------------------- in a recipe

RECIPE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.3
epochs = 0
[[steps]]
technique = "remove-dead"
[[steps]]
technique = "quantize"
mode = "int8"
"""


def test_in_a_recipe_it_keeps_earlier_promises_and_shrinks_the_file(
    toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    model = keras.models.load_model(toy_model, compile=False)
    gamma = np.array(model.get_layer("norm").gamma)
    gamma[:5] = 0.0
    model.get_layer("norm").gamma.assign(gamma)
    model.get_layer("norm").beta.assign(np.where(np.arange(12) < 5, -0.1, np.asarray(model.get_layer("norm").beta)))
    model.save(tmp_path / "planted.keras")
    result = penjing.compress(
        tmp_path / "planted.keras", recipe=Recipe.from_toml(RECIPE), data=toy_data, output=tmp_path / "run"
    )
    step = tmp_path / "run/steps/02-remove-dead"
    certificate = json.loads((step / "certificate.json").read_text())
    assert certificate["channels_by_rule"]["gamma zero"] >= 5
    smaller = keras.models.load_model(step / "model.keras", compile=False)
    assert smaller.get_layer("stem").filters <= 7
    before = (tmp_path / "run/steps/01-prune-weights/model.tflite").stat().st_size
    assert (step / "model.tflite").stat().st_size < before - 4 * 0.5 * certificate["parameters_removed"]
    # The masks of the first step hold for what is left.
    kernel = np.asarray(smaller.get_layer("hidden").kernel)
    assert (kernel == 0).mean() > 0.1
    assert result.bundle.is_dir()


def test_promises_follow_the_channels_that_are_left(tmp_path: Path) -> None:
    model, one, two = conv_pair({}, {"padding": "valid"})
    make_constant(one, 1, 1.25)
    mask = np.ones(two.kernel.shape, bool)
    mask[0, 0, 2, 1] = False
    two.kernel.assign(np.where(mask, np.asarray(two.kernel), 0.0))
    promise = SparsityMask(masks={"two": mask})
    outcome = apply(removal_context(model, tmp_path, invariants=[promise]), RemoveDeadSettings())
    assert not promise.resized(outcome.kept).check(outcome.model)
    wrong = SparsityMask(masks={"two": ~mask}).resized(outcome.kept)
    assert wrong.check(outcome.model)


def test_the_page_has_a_recipe_that_runs_and_every_setting(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/techniques/remove-dead.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (step,) = Recipe.from_toml(text).steps
    assert step.technique == "remove-dead"
    chosen = RemoveDeadSettings(**step.settings)
    model, one, _ = conv_pair({}, {"padding": "valid"})
    make_constant(one, 1, 1.25)
    assert apply(removal_context(model, tmp_path), chosen).figures["channels_removed"] == 1
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(RemoveDeadSettings.model_fields)


def test_the_next_step_is_previewed_on_the_smaller_model() -> None:
    chosen = RemoveDeadSettings(input_range=(0, 1))
    assert preview(_threshold_model(), chosen).model.get_layer("hidden").units == 1
    assert preview(_threshold_model(), RemoveDeadSettings()).model.get_layer("hidden").units == 2
