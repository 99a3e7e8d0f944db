"""Equalization, learned rounding and bias correction: on the Keras model, and found again in the file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penjing.compression.quantization.adaround import learn_rounding
from penjing.compression.quantization.bias_correction import correct_biases
from penjing.compression.quantization.chains import find_pairs
from penjing.compression.quantization.channel_grid import kernel_scales, nearest
from penjing.compression.quantization.equalization import equalize, equalizing_factors
from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.runtime import LiteRTModel

KERNEL_LAYERS = ("stem", "depthwise", "wide", "hidden", "head")


def build() -> keras.Model:
    """All that weights are prepared for: convolution with BatchNormalization, depthwise, Flatten, Dense, nesting."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((10, 10, 3))
    x = layers.Conv2D(12, 3, use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="wide")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(24, activation="relu", name="hidden")(x)
    model = keras.Model(inputs, layers.Dense(5, name="head")(x))
    generator = np.random.default_rng(2)
    norm = model.get_layer("norm")
    norm.gamma.assign(generator.uniform(-1.5, 1.5, 12))
    norm.beta.assign(generator.normal(size=12) * 0.2)
    norm.moving_mean.assign(generator.normal(size=12) * 0.2)
    norm.moving_variance.assign(generator.uniform(0.3, 2, 12))
    return model


@pytest.fixture
def model() -> keras.Model:
    return build()


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Inputs whose neighbours are alike, as in images: the errors of weights then add up or cancel."""
    generator = np.random.default_rng(0)
    small = generator.normal(0.5, 1.0, size=(60, 5, 5, 3))
    return small.repeat(2, axis=1).repeat(2, axis=2).astype("float32")


def plant_bad_scales(model: keras.Model, first: str, second: str) -> None:
    """Multiply channels of one layer by 0.02 to 50 and divide the next by the same: the function stays."""
    factors = 10 ** np.random.default_rng(3).uniform(-1.7, 1.7, model.get_layer(first).kernel.shape[-1])
    one, two = model.get_layer(first), model.get_layer(second)
    one.kernel.assign(one.kernel * factors)
    one.bias.assign(one.bias * factors)
    two.kernel.assign(two.kernel / np.tile(factors, two.kernel.shape[0] // len(factors))[:, None])


def error_of(content: bytes, expected: np.ndarray, x: np.ndarray) -> float:
    return float(np.abs(LiteRTModel(content, kernels="reference").predict(x) - expected).mean())


def int8_error(model: keras.Model, expected: np.ndarray, x: np.ndarray) -> float:
    return error_of(to_litert(model, ExportSettings(mode="int8"), x), expected, x)


# ---------------------------------------------------------------------------------------------- equalization


positive = hnp.arrays(np.float64, 6, elements=st.floats(1e-3, 1e3))


@given(positive, positive)
def test_equalized_channels_have_equal_ranges(first: np.ndarray, second: np.ndarray) -> None:
    factors = equalizing_factors(first, second)
    assert np.allclose(first / factors, second * factors)
    assert np.allclose(first / factors, np.sqrt(first * second))  # Nagel et al. 2019, equation 11


def test_a_dead_channel_is_left_as_it_is() -> None:
    assert equalizing_factors(np.array([0.0, 4.0]), np.array([3.0, 0.0])).tolist() == [1.0, 1.0]


def test_equalization_keeps_the_function(model: keras.Model, x: np.ndarray) -> None:
    before = model.predict(x, verbose=0)
    kernels = {name: np.array(model.get_layer(name).kernel) for name in KERNEL_LAYERS}
    notes = equalize(model, replace_relu6=False)
    assert np.abs(model.predict(x, verbose=0) - before).max() < 1e-5 * max(1, np.abs(before).max())
    changed = {name for name in KERNEL_LAYERS if not np.allclose(kernels[name], model.get_layer(name).kernel)}
    assert changed >= {"depthwise", "wide", "hidden", "head"}
    assert "not equalized" in notes["head"]


def test_every_pair_has_equal_ranges_afterwards(model: keras.Model) -> None:
    equalize(model, replace_relu6=False)
    pairs, _ = find_pairs(model, through_relu6=False)
    assert set(pairs) == {"stem", "depthwise", "wide", "hidden"}
    for pair in pairs.values():
        assert np.allclose(pair.first_ranges(), pair.second_ranges(), rtol=0.02)


def test_equalization_undoes_badly_scaled_channels(model: keras.Model, x: np.ndarray) -> None:
    expected = model.predict(x, verbose=0)
    plant_bad_scales(model, "wide", "hidden")
    assert np.abs(model.predict(x, verbose=0) - expected).max() < 1e-4
    planted = int8_error(model, expected, x)
    equalize(model, replace_relu6=False)
    assert int8_error(model, expected, x) < planted / 4


def chain(between: list, **first) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((6, 6, 2)), layers.Conv2D(4, 3, name="first", **first), *between, layers.Conv2D(3, 1, name="next")]
    )


@pytest.mark.parametrize(
    ("between", "first", "why"),
    [
        ([], {"activation": "sigmoid"}, "not a ReLU"),
        ([keras.layers.ReLU(6.0, name="six")], {}, "ReLU6 in 'six'"),
        ([keras.layers.BatchNormalization(scale=False, name="norm")], {}, "'norm' has no scale"),
        ([keras.layers.LayerNormalization(name="norm")], {}, "'norm' stands between"),
        ([keras.layers.Activation("tanh", name="tanh")], {}, "'tanh' stands between"),
    ],
)
def test_layers_that_cannot_be_equalized_are_left_and_say_why(between: list, first: dict, why: str) -> None:
    model = chain(between, **first)
    kernel = np.array(model.get_layer("first").kernel)
    assert why in equalize(model, replace_relu6=False)["first"]
    assert np.array_equal(kernel, model.get_layer("first").kernel)


def test_a_layer_that_two_read_is_left_alone() -> None:
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(4, name="first")(inputs)
    two = [keras.layers.Dense(4, name=name)(hidden) for name in ("left", "right")]
    model = keras.Model(inputs, keras.layers.Add()(two))
    assert "more than one layer reads" in equalize(model, replace_relu6=False)["first"]


def test_relu6_becomes_relu_where_that_is_asked_for(x: np.ndarray) -> None:
    model = chain([keras.layers.ReLU(6.0, name="six")])
    small = x[:, :6, :6, :2]
    before = model.predict(small, verbose=0)  # nothing reaches 6 here
    assert "equalized with 'next'" in equalize(model, replace_relu6=True)["first"]
    assert model.get_layer("six").max_value is None
    assert np.abs(model.predict(small, verbose=0) - before).max() < 1e-5


def test_layers_inside_a_nested_model_are_equalized(x: np.ndarray) -> None:
    inner = chain([keras.layers.ReLU()])
    inputs = keras.Input((6, 6, 2))
    model = keras.Model(inputs, inner(inputs))
    assert f"{inner.name}/first" in {
        path for path, note in equalize(model, replace_relu6=False).items() if "not" not in note
    }


# --------------------------------------------------------------------------------------- weights on their grid


@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(-5, 5, width=32)), st.sampled_from([4, 8]))
def test_a_rounded_kernel_keeps_its_scale_and_stays_where_it_is(values: np.ndarray, bits: int) -> None:
    layer = keras.layers.Dense(3)
    scales = kernel_scales(layer, values, bits)
    rounded = nearest(layer, values, bits)
    assert np.all(np.abs(rounded - values) <= scales * 0.5001)
    assert np.allclose(kernel_scales(layer, rounded, bits), scales, rtol=1e-6)
    assert np.allclose(nearest(layer, rounded, bits), rounded, rtol=1e-6)


def int4_file(model: keras.Model, x: np.ndarray) -> bytes:
    """All kernels of 4 bits, activations of 8."""
    precisions = {layer.name: "int4" if layer.name in KERNEL_LAYERS else "int8" for layer in model.layers}
    return to_litert(model, ExportSettings(mode="int8", layers=precisions), x)


def layer_errors(model: keras.Model, exact: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Mean squared error of each layer's output, both models run from the inputs."""
    names = list(KERNEL_LAYERS)
    outputs = [
        keras.Model(one.inputs, [one.get_layer(name).output for name in names]).predict(x, verbose=0)
        for one in (model, exact)
    ]
    return {name: float(np.mean((a - b) ** 2)) for name, a, b in zip(names, *outputs, strict=True)}


def test_learned_rounding_beats_nearest_rounding_and_stands_in_the_file(model: keras.Model, x: np.ndarray) -> None:
    bits = dict.fromkeys(KERNEL_LAYERS, 4)
    exact, plain = build(), build()
    for name in KERNEL_LAYERS:
        layer = plain.get_layer(name)
        layer.kernel.assign(nearest(layer, np.asarray(layer.kernel), 4))
    gains = learn_rounding(model, bits, x, updates=200, seed=0)
    assert all(learned <= near for near, learned in gains.values())
    rounded, learned = layer_errors(plain, exact, x), layer_errors(model, exact, x)
    assert learned["head"] < 0.7 * rounded["head"]
    assert learned["hidden"] < 0.7 * rounded["hidden"]
    # In the file, integer for integer.
    content = int4_file(model, x)
    constants = FileGraph.from_bytes(content).constants()
    for name in KERNEL_LAYERS:
        layer, before = model.get_layer(name), np.asarray(exact.get_layer(name).kernel)
        scales = kernel_scales(layer, before, 4)
        steps = np.rint(np.asarray(layer.kernel) / scales)
        assert np.all(np.abs(steps - before / scales) < 1 + 1e-3)  # up or down, no further
        if name == "stem":
            steps = steps * np.sign(np.asarray(model.get_layer("norm").gamma))
        wanted = {
            "stem": (3, 0, 1, 2),
            "wide": (3, 0, 1, 2),
            "depthwise": (3, 0, 1, 2),
            "hidden": (1, 0),
            "head": (1, 0),
        }[name]
        steps = steps.reshape(3, 3, 12, 1) if name == "depthwise" else steps
        wanted_steps = np.transpose(steps, wanted)
        assert any(t.dtype == "int4" and np.array_equal(t.values, wanted_steps) for t in constants), name
    expected = exact.predict(x, verbose=0)
    assert error_of(content, expected, x) < error_of(int4_file(plain, x), expected, x)


def test_learned_rounding_leaves_zeros_zero_and_is_the_same_every_time(x: np.ndarray) -> None:
    kernels = []
    for _ in range(2):
        model = build()
        layer = model.get_layer("head")
        mask = np.random.default_rng(0).random(layer.kernel.shape) < 0.5
        layer.kernel.assign(np.asarray(layer.kernel) * mask)
        learn_rounding(model, {"head": 4}, x, updates=40, seed=5)
        assert np.all(np.asarray(layer.kernel)[~mask] == 0)
        kernels.append(np.array(layer.kernel))
    assert np.array_equal(*kernels)


def test_bias_correction_removes_the_mean_error_of_the_outputs(model: keras.Model, x: np.ndarray) -> None:
    bits = dict.fromkeys(KERNEL_LAYERS, 4)
    exact = build()
    expected = exact.predict(x, verbose=0)

    def mean_error(one: keras.Model) -> float:
        """With weights rounded as the file will have them."""
        kernels = {name: np.array(one.get_layer(name).kernel) for name in bits}
        for name in bits:
            one.get_layer(name).kernel.assign(nearest(one.get_layer(name), kernels[name], 4))
        shift = np.abs((one.predict(x, verbose=0) - expected).mean(axis=0)).mean()
        for name in bits:
            one.get_layer(name).kernel.assign(kernels[name])
        return float(shift)

    before = mean_error(model)
    shifts = correct_biases(model, bits, x)
    assert set(shifts) == set(KERNEL_LAYERS)
    assert mean_error(model) < before / 50
    for name in KERNEL_LAYERS:
        assert np.array_equal(model.get_layer(name).kernel, exact.get_layer(name).kernel)
    # stem has no bias: BatchNormalization behind it takes the shift.
    assert not np.allclose(model.get_layer("norm").moving_mean, exact.get_layer("norm").moving_mean)


def test_bias_correction_lowers_the_mean_error_of_the_file(model: keras.Model, x: np.ndarray) -> None:
    bits = dict.fromkeys(KERNEL_LAYERS, 4)
    expected = model.predict(x, verbose=0)

    def shift() -> float:
        outputs = LiteRTModel(int4_file(model, x), kernels="reference").predict(x)
        return float(np.abs((outputs - expected).mean(axis=0)).mean())

    before = shift()
    correct_biases(model, bits, x)
    assert shift() < before / 2


def test_after_learned_rounding_biases_are_corrected_against_the_exact_kernels(
    model: keras.Model, x: np.ndarray
) -> None:
    bits = {"hidden": 4, "head": 4}
    kernels = {name: np.array(model.get_layer(name).kernel) for name in bits}
    expected = model.predict(x, verbose=0).mean(axis=0)
    learn_rounding(model, bits, x, updates=20, seed=0)
    correct_biases(model, bits, x, kernels)
    assert np.abs(model.predict(x, verbose=0).mean(axis=0) - expected).max() < 1e-4


def test_a_layer_with_neither_bias_nor_normalization_is_left(x: np.ndarray) -> None:
    model = keras.Sequential([keras.Input((10, 10, 3)), keras.layers.Conv2D(4, 3, use_bias=False, name="bare")])
    assert correct_biases(model, {"bare": 4}, x) == {}


def test_layers_call_what_they_called_before(model: keras.Model, x: np.ndarray) -> None:
    correct_biases(model, {"hidden": 4}, x)
    learn_rounding(model, {"hidden": 4}, x, updates=10, seed=0)
    for layer in model.layers:
        assert "call" not in vars(layer)
    assert model.get_layer("hidden").activation is keras.activations.relu
