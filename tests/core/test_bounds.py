"""Interval bounds: whatever a layer computes from inputs within the declared range lies within them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penjing.compression.bounds.calls import CallGraph
from penjing.compression.bounds.intervals import Interval
from penjing.compression.bounds.propagation import UNBOUNDED, ModelBounds, model_bounds

layers = keras.layers
IMAGE, SERIES, TABLE = (6, 5, 3), (7, 3), (4,)


def _randomized(model: keras.Model, seed: int) -> keras.Model:
    """Weights of every kind away from their initial values; variances stay positive."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        values = generator.normal(0, 0.7, variable.shape)
        positive = "variance" in variable.name
        if variable.dtype.startswith("float"):
            variable.assign(np.abs(values) + 0.05 if positive else values)
    return model


def _inputs(model: keras.Model, low: float, high: float, seed: int, examples: int = 48) -> list[np.ndarray]:
    """Random inputs, half of them made of the range's ends alone."""
    generator = np.random.default_rng(seed)
    inputs = []
    for tensor in model.inputs:
        shape = (examples, *(size or 7 for size in tensor.shape[1:]))
        values = generator.uniform(low, high, shape)
        values[::2] = np.where(generator.random(values[::2].shape) < 0.5, low, high)
        inputs.append(np.clip(values, low, high).astype("float32"))
    return inputs


def _assert_sound(bounds: ModelBounds, inputs: Sequence[np.ndarray]) -> None:
    """Every value of every layer, channel by channel, is within its bounds, and constants are constant."""
    names = {value: call.path for call in bounds.graph.calls for value in call.outputs}
    for value, output in bounds.graph.run(inputs):
        name = names.pop(value)
        seen = np.asarray(output, np.float64)
        seen = seen.reshape(-1, seen.shape[-1])
        interval = bounds[value]
        assert (interval.low <= seen.min(axis=0)).all(), name
        assert (seen.max(axis=0) <= interval.high).all(), name
        size = np.abs(seen).max(initial=1.0)
        same = np.broadcast_to(interval.constant, seen.shape[1:])
        assert np.allclose(seen[:, same], np.broadcast_to(interval.value, seen.shape[1:])[same], atol=1e-5 * size), name
    assert not names


def _bounds(model: keras.Model, low: float, high: float) -> ModelBounds:
    graph = CallGraph.from_model(model)
    return model_bounds(graph, [(low, high)] * len(graph.inputs))


ONE_INPUT: dict[str, tuple[tuple[int | None, ...], Callable[[Any], Any]]] = {
    "dense": (TABLE, layers.Dense(5, activation="relu")),
    "dense on positions": (SERIES, layers.Dense(4)),
    "conv valid": (IMAGE, layers.Conv2D(4, 3, activation="tanh")),
    "conv same": (IMAGE, layers.Conv2D(4, 3, padding="same")),
    "conv strided, dilated": (IMAGE, layers.Conv2D(4, 2, strides=2, padding="same", use_bias=False)),
    "conv grouped": (SERIES, layers.Conv1D(6, 3, groups=3, padding="same")),
    "conv causal": (SERIES, layers.Conv1D(4, 3, padding="causal", dilation_rate=2)),
    "conv of any size": ((None, None, 3), layers.Conv2D(4, 3, padding="same")),
    "transposed": (IMAGE, layers.Conv2DTranspose(4, 3, strides=2, padding="same")),
    "depthwise": (IMAGE, layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu6")),
    "depthwise in time": (SERIES, layers.DepthwiseConv1D(3, strides=2)),
    "separable": (IMAGE, layers.SeparableConv2D(5, 3, depth_multiplier=2, padding="same")),
    "batch normalization": (IMAGE, layers.BatchNormalization()),
    "batch normalization of positions": (IMAGE, layers.BatchNormalization(axis=1)),
    "layer normalization": (SERIES, layers.LayerNormalization()),
    "layer normalization, rms": (SERIES, layers.LayerNormalization(rms_scaling=True)),
    "unit normalization": (SERIES, layers.UnitNormalization()),
    "normalization": (SERIES, layers.Normalization(mean=[1.0, -2.0, 0.0], variance=[2.0, 0.1, 0.0])),
    "normalization inverted": (SERIES, layers.Normalization(mean=1.0, variance=2.0, invert=True)),
    "rescaling": (IMAGE, layers.Rescaling(1 / 255, offset=-0.5)),
    "rescaling by channel": (IMAGE, layers.Rescaling([0.1, -2.0, 0.0], offset=[0.0, 1.0, 3.0])),
    "max pooling": (IMAGE, layers.MaxPooling2D(2, padding="same")),
    "average pooling": (IMAGE, layers.AveragePooling2D(2, padding="same")),
    "global average": (IMAGE, layers.GlobalAveragePooling2D()),
    "global average of any length": ((None, 3), layers.GlobalAveragePooling1D()),
    "global maximum": (SERIES, layers.GlobalMaxPooling1D(keepdims=True)),
    "zero padding": (IMAGE, layers.ZeroPadding2D(1)),
    "cropping": (IMAGE, layers.Cropping2D(1)),
    "up-sampling nearest": (IMAGE, layers.UpSampling2D(2)),
    "up-sampling bilinear": (IMAGE, layers.UpSampling2D(3, interpolation="bilinear")),
    "up-sampling bicubic": (IMAGE, layers.UpSampling2D(2, interpolation="bicubic")),
    "flatten": (IMAGE, layers.Flatten()),
    "reshape": (IMAGE, layers.Reshape((3, 30))),
    "reshape of unknown length": ((None, 4), layers.Reshape((-1, 2))),
    "permute": (IMAGE, layers.Permute((3, 1, 2))),
    "repeat": (TABLE, layers.RepeatVector(3)),
    "dropout": (TABLE, layers.Dropout(0.5)),
    "noise": (TABLE, layers.GaussianNoise(0.5)),
    "masking": (SERIES, layers.Masking(0.0)),
    "softmax": (TABLE, layers.Softmax()),
    "relu layer": (TABLE, layers.ReLU(max_value=1.5, negative_slope=0.2, threshold=0.4)),
    "relu with threshold above its limit": (TABLE, layers.ReLU(max_value=0.5, threshold=1.0)),
    "leaky": (TABLE, layers.LeakyReLU(0.1)),
    "elu": (TABLE, layers.ELU(0.7)),
    "prelu": (IMAGE, layers.PReLU()),
    "prelu shared": (IMAGE, layers.PReLU(shared_axes=[1, 2])),
    "lstm": (SERIES, layers.LSTM(4, return_sequences=True)),
    "gru": (SERIES, layers.GRU(4)),
    "simple rnn": (SERIES, layers.SimpleRNN(4, activation="relu")),
    "time-distributed": (SERIES, layers.TimeDistributed(layers.Dense(4, activation="elu"))),
    "unknown layer": (TABLE, layers.Lambda(lambda x: keras.ops.sin(x) * 100)),
    "operations": (TABLE, lambda x: keras.ops.relu(x * 2.0 - 1.0) + np.array([1.0, 2.0, 3.0, 4.0], "float32")),
    "more operations": (TABLE, lambda x: keras.ops.maximum(keras.ops.tanh(x), keras.ops.silu(x)) - x),
    "relu with arguments": (TABLE, lambda x: keras.activations.relu(x, max_value=1.0, negative_slope=0.1)),
    "gelu operation": (TABLE, lambda x: keras.ops.gelu(x)),
    "activation that is a layer": (TABLE, layers.Dense(4, activation=layers.LeakyReLU(0.3))),
    "nested model": (TABLE, keras.Sequential([layers.Input(TABLE), layers.Dense(3), layers.ReLU()])),
    **{
        f"{name} activation": (TABLE, layers.Activation(name))
        for name in (
            *("linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "sigmoid", "tanh", "softplus"),
            *("softsign", "log_sigmoid", "exponential", "tanh_shrink", "hard_sigmoid", "hard_tanh", "hard_silu"),
            *("hard_shrink", "soft_shrink", "silu", "gelu", "mish", "softmax", "sparsemax", "log_softmax"),
            *("squareplus", "sparse_plus", "sparse_sigmoid"),
        )
    },
}


@pytest.mark.parametrize("name", ONE_INPUT)
def test_no_value_leaves_the_bounds(name: str) -> None:
    shape, build = ONE_INPUT[name]
    inputs = keras.Input(shape)
    model = _randomized(keras.Model(inputs, build(inputs)), seed=7)
    for low, high in ((-2.0, 3.0), (-1.3, -1.1), (0.4, 20.0), (-9.0, 0.0), (0.7, 0.7), (-1e4, 3e4)):
        bounds = _bounds(model, low, high)
        _assert_sound(bounds, _inputs(model, low, high, seed=3))


MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("shapes", [(IMAGE, IMAGE), (IMAGE, (1, 1, 3)), (SERIES, (7, 1))])
def test_no_value_leaves_the_bounds_of_two_merged(merge: str, shapes: Sequence[tuple[int, ...]]) -> None:
    if merge == "Concatenate":
        shapes = (shapes[0], (*shapes[0][:-1], 2))
    first, second = (keras.Input(shape) for shape in shapes)
    merged = getattr(layers, merge)()([layers.Activation("tanh")(first), second])
    model = keras.Model([first, second], merged)
    for low, high in ((-2.0, 3.0), (0.5, 0.6), (-4.0, 0.0)):
        _assert_sound(_bounds(model, low, high), _inputs(model, low, high, seed=1))


finite = st.floats(-30, 30, width=32)


@settings(max_examples=150)
@given(
    st.sampled_from([name for name in ONE_INPUT if name.endswith("activation")]),
    hnp.arrays(np.float32, 8, elements=finite),
    finite,
)
def test_an_activation_at_any_point_is_within_the_bounds_of_any_interval_around_it(
    name: str, points: np.ndarray, end: float
) -> None:
    from penjing.compression.bounds.activation_bounds import activation_bounds

    layer: Any = ONE_INPUT[name][1]
    interval = Interval.between(np.minimum(points.min(), end), np.maximum(points.max(), end), 1)
    bounds = activation_bounds(layer.activation, interval, "float32")
    seen = np.asarray(layer.activation(keras.ops.convert_to_tensor(points[:, None])))
    assert seen.min() >= bounds.low[0]
    assert seen.max() <= bounds.high[0]


def test_bounds_are_tight_where_they_can_be() -> None:
    """w = (2, -3), b = 1 on [-1, 2]: from 1 - 2 - 6 to 1 + 4 + 3; the ReLU cuts it at zero."""
    inputs = keras.Input((2,))
    dense = layers.Dense(1, activation="relu")
    model = keras.Model(inputs, layers.ReLU(max_value=5.0)(dense(inputs)))
    dense.set_weights([np.array([[2.0], [-3.0]]), np.array([1.0])])
    bounds = _bounds(model, -1.0, 2.0)
    first, second = (bounds[call.outputs[0]] for call in bounds.graph.calls)
    assert (first.low[0], first.high[0]) == (0.0, pytest.approx(8.0, abs=1e-4))
    assert second.high[0] == 5.0
    assert first.high[0] > 8.0  # outward, never inward


def test_an_input_without_a_range_still_proves_what_hangs_on_one_side_only() -> None:
    """relu(-3 relu(x) - 1) is zero for every x, which no finite range is needed for."""
    inputs = keras.Input((1,))
    dense = layers.Dense(2, activation="relu")
    model = keras.Model(inputs, dense(layers.ReLU()(inputs)))
    dense.set_weights([np.array([[-3.0, 3.0]]), np.array([-1.0, -1.0])])
    graph = CallGraph.from_model(model)
    result = model_bounds(graph, [UNBOUNDED])[graph.outputs[0]]
    assert result.constant.tolist() == [True, False]
    assert result.value[0] == 0.0
    assert result.rule[0] == "relu never positive"


def test_padding_zeros_count_as_inputs() -> None:
    """On [5, 6] a valid convolution with weight 1 and bias -4 is positive everywhere, a padded one is not."""
    for padding, lowest in (("valid", 3 * 5 - 4), ("same", -4)):
        inputs = keras.Input((8, 1))
        conv = layers.Conv1D(1, 3, padding=padding)
        model = keras.Model(inputs, conv(inputs))
        conv.set_weights([np.ones((3, 1, 1)), np.array([-4.0])])
        bounds = _bounds(model, 5.0, 6.0)
        assert bounds[bounds.graph.outputs[0]].low[0] == pytest.approx(lowest, abs=1e-3)


def test_a_constant_behind_padding_is_constant_only_if_it_is_zero() -> None:
    for value, padding, steady in ((2.0, "same", False), (2.0, "valid", True), (0.0, "same", True)):
        inputs = keras.Input((8, 1))
        first, second = layers.Conv1D(1, 1), layers.Conv1D(1, 3, padding=padding)
        model = keras.Model(inputs, second(first(inputs)))
        first.set_weights([np.zeros((1, 1, 1)), np.array([value])])
        second.set_weights([np.full((3, 1, 1), 0.5), np.array([0.25])])
        bounds = _bounds(model, -1.0, 1.0)
        interval = bounds[bounds.graph.outputs[0]]
        assert interval.constant[0] == steady
        if steady:
            assert interval.value[0] == 1.5 * value + 0.25


def test_a_shared_nested_model_has_bounds_of_its_own_at_each_call() -> None:
    shared = keras.Sequential([keras.Input((2,)), layers.Dense(2, kernel_initializer="identity"), layers.ReLU()])
    inputs = keras.Input((2,))
    negative = shared(layers.Rescaling(-1.0)(layers.ReLU()(inputs)))
    model = keras.Model(inputs, [shared(inputs), negative])
    graph = CallGraph.from_model(model)
    bounds = model_bounds(graph, [(-1.0, 1.0)])
    assert not bounds[graph.outputs[0]].constant.any()
    assert bounds[graph.outputs[1]].constant.all()


def test_a_subclass_of_a_known_layer_is_unknown() -> None:
    class Louder(layers.ReLU):
        def call(self, inputs: Any) -> Any:
            return inputs * -100.0

    inputs = keras.Input((2,))
    model = keras.Model(inputs, Louder()(inputs))
    bounds = _bounds(model, 0.0, 1.0)
    assert np.isneginf(bounds[bounds.graph.outputs[0]].low).all()


def test_a_model_whose_call_is_its_own_is_unknown_where_it_is_nested() -> None:
    class Inverted(keras.Model):
        def call(self, inputs: Any) -> Any:
            return -super().call(inputs)

    inner_inputs, inputs = keras.Input((2,)), keras.Input((2,))
    model = keras.Model(inputs, Inverted(inner_inputs, layers.ReLU()(inner_inputs))(inputs))
    bounds = _bounds(model, 0.0, 1.0)
    assert np.isneginf(bounds[bounds.graph.outputs[0]].low).all()


def test_half_precision_has_wider_bounds() -> None:
    widths = {}
    for dtype in ("float32", "float16"):
        inputs = keras.Input((50,))
        model = keras.Model(inputs, layers.Dense(1, kernel_initializer="ones", dtype=dtype)(inputs))
        bounds = _bounds(model, 0.0, 1.0)
        widths[dtype] = bounds[bounds.graph.outputs[0]].high[0] - 50
        _assert_sound(bounds, _inputs(model, 0.0, 1.0, seed=0))
    assert widths["float16"] > 100 * widths["float32"] > 0


def test_the_rounding_of_a_constant_counts_where_it_is_read() -> None:
    """Two numbers near 33,333 cancel but for some thousandths, which float32 has wrong; times 1,000 that is much."""
    inputs = keras.Input((1,))
    first, second, third = layers.Dense(2), layers.Dense(1), layers.Dense(1)
    model = keras.Model(inputs, third(second(first(inputs))))
    first.set_weights([np.zeros((1, 2)), np.array([100_003.7, 233_333.3])])
    second.set_weights([np.array([[1 / 3], [-1 / 7]]), np.array([0.1])])
    third.set_weights([np.array([[1e3]]), np.array([0.0])])
    bounds = _bounds(model, -1.0, 1.0)
    interval = bounds[bounds.graph.outputs[0]]
    seen = np.asarray(model(np.zeros((1, 1)))).item()
    assert interval.constant.all()
    assert abs(seen - interval.value[0]) > 1e-2, "the example shows nothing"
    assert interval.low[0] <= seen <= interval.high[0]
