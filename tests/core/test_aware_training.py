"""quantize-aware-training: the file answers what the model answers, on every input, and training lowers the loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penjing
from penjing.compression.model_tree import weight_matrices
from penjing.errors import ModelError
from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe
from penjing.runtime import LiteRTModel
from simulating import functional, quantized, steps_apart


def ds_cnn() -> Any:
    """A small DS-CNN with a shortcut, as keyword spotting has it."""
    import keras

    layers = keras.layers
    inputs = keras.Input((12, 10, 1))
    x = layers.Conv2D(8, (4, 3), strides=2, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_norm")(x))
    shortcut = x
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU(name="depthwise_relu")(layers.BatchNormalization(name="depthwise_norm")(x))
    x = layers.BatchNormalization(name="pointwise_norm")(layers.Conv2D(8, 1, name="pointwise")(x))
    x = layers.ReLU(name="add_relu")(layers.Add(name="add")([x, shortcut]))
    x = layers.Dropout(0.1, name="dropout")(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="words")(x), name="ds_cnn")


# ------------------------------------------------------------------------------------- the file equals the simulation


@pytest.mark.parametrize(
    "options",
    [{}, {"ranges": "learned"}, {"weight_bits": 4}, {"weight_bits": 4, "ranges": "learned"}],
    ids=lambda options: ",".join(map(str, options.values())) or "default",
)
def test_a_ds_cnn_answers_the_same_as_its_file(options: dict[str, Any]) -> None:
    made, content, x = quantized(ds_cnn(), n=256, **options)
    assert steps_apart(made, content, x).max() == 0


def _ops() -> Any:
    import keras

    return keras.ops


def _activations() -> Any:
    import keras

    return keras.activations


LAYERS = {
    "conv": (lambda k: lambda x: k.Conv2D(8, 3, activation="relu")(x), [(8, 8, 4)]),
    "large-conv": (lambda k: lambda x: k.Conv2D(8, 5, activation="relu6")(x), [(8, 8, 64)]),
    "grouped-conv": (lambda k: lambda x: k.Conv2D(8, 3, groups=2)(x), [(8, 8, 4)]),
    "dilated-conv": (lambda k: lambda x: k.Conv2D(8, 3, dilation_rate=2, padding="same")(x), [(9, 9, 4)]),
    "depthwise": (lambda k: lambda x: k.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x), [(8, 8, 4)]),
    "separable": (lambda k: lambda x: k.ReLU()(k.BatchNormalization()(k.SeparableConv2D(6, 3)(x))), [(8, 8, 4)]),
    "transposed": (lambda k: lambda x: k.Conv2DTranspose(4, 3, strides=2, padding="same")(x), [(5, 5, 3)]),
    "dense": (lambda k: lambda x: k.BatchNormalization()(k.Dense(9)(x)), [(33,)]),
    "dense-one-unit": (lambda k: lambda x: k.Dense(1)(x), [(33,)]),
    "dense-of-rows": (lambda k: lambda x: k.Dense(5, activation="relu")(x), [(6, 7)]),
    "dense-of-each-step": (lambda k: lambda x: k.TimeDistributed(k.Dense(5, activation="tanh"))(x), [(6, 7)]),
    "relu-of-each-step": (lambda k: lambda x: k.Dense(3)(k.ReLU()(k.TimeDistributed(k.Dense(5))(x))), [(6, 7)]),
    "conv1d": (lambda k: lambda x: k.Conv1D(8, 3, padding="causal", dilation_rate=2)(x), [(20, 3)]),
    "depthwise1d": (lambda k: lambda x: k.SeparableConv1D(8, 3)(k.DepthwiseConv1D(3)(x)), [(20, 3)]),
    "lone-norm": (lambda k: lambda x: k.ReLU()(k.BatchNormalization()(x)), [(7, 6)]),
    "rescaling": (lambda k: lambda x: k.Rescaling(0.5, -1.0)(x), [(6, 6, 3)]),
    "add": (lambda k: lambda a, b, c: k.ReLU()(k.Add()([a, b, c])), [(6, 4), (6, 4), (6, 4)]),
    "subtract": (lambda k: lambda a, b: k.Subtract()([a, b]), [(6, 4), (6, 4)]),
    "gate": (lambda k: lambda a, b: k.Multiply()([a, b]), [(6, 6, 4), (1, 1, 4)]),
    "average": (lambda k: lambda a, b: k.Average()([a, b]), [(6, 4), (6, 4)]),
    "concatenate": (lambda k: lambda a, b: k.Concatenate()([a, k.ReLU()(b)]), [(6, 4), (6, 4)]),
    "maximum": (lambda k: lambda a, b: k.Maximum()([a, k.Minimum()([a, b])]), [(6, 4), (6, 4)]),
    "constants": (lambda k: lambda x: (x + 3.0) * (1 / 6) - 0.5, [(9,)]),
    "pools": (lambda k: lambda x: k.AveragePooling2D(3, 2, padding="same")(k.MaxPooling2D(2, 1)(x)), [(8, 8, 4)]),
    "max-pools": (lambda k: lambda x: k.GlobalMaxPooling2D()(k.MaxPooling2D(2)(x)), [(8, 8, 4)]),
    "max-pools1d": (lambda k: lambda x: k.GlobalMaxPooling1D()(k.MaxPooling1D(2)(x)), [(8, 4)]),
    "pools1d": (lambda k: lambda x: k.GlobalAveragePooling1D()(k.AveragePooling1D(2)(x)), [(9, 4)]),
    "moves": (
        lambda k: lambda x: k.Reshape((9, -1))(k.Permute((2, 1, 3))(k.UpSampling2D(3)(k.Cropping2D(1)(x)))),
        [(5, 6, 2)],
    ),
    "pads": (lambda k: lambda x: k.Flatten()(k.MaxPooling2D(2, 2, padding="same")(k.ZeroPadding2D(1)(x))), [(5, 5, 2)]),
    "softmax": (lambda k: lambda x: k.Softmax()(k.Rescaling(5.0)(x)), [(40,)]),
    "swish": (lambda k: lambda x: k.Activation("swish")(x), [(40,)]),
    "tanh": (lambda k: lambda x: k.Activation("tanh")(x), [(40,)]),
    "gated": (
        lambda k: (
            lambda x: k.Dense(4)(
                k.Subtract()(
                    [k.Dense(5, activation="sigmoid")(k.Activation("tanh")(x)), k.Activation("sigmoid")(k.Dense(5)(x))]
                )
            )
        ),
        [(40,)],
    ),
    "softmax-of-rows": (lambda k: lambda x: k.Softmax(axis=1)(k.Dense(4)(x)), [(6, 5)]),
    "hard-swish": (lambda k: lambda x: k.Dense(4)(k.Activation("hard_silu")(x)), [(40,)]),
    "leaky": (lambda k: lambda x: k.LeakyReLU()(x), [(40,)]),
    "leaky-inside": (lambda k: lambda x: k.Dense(4)(k.Dense(8, activation="leaky_relu")(x)), [(40,)]),
    "layer-inside": (lambda k: lambda x: k.Dense(4)(k.Dense(8, activation=k.LeakyReLU(0.1))(x)), [(40,)]),
    "relu-of-a-slope": (
        lambda k: lambda x: k.Dense(4)(_activations().relu(k.Dense(8)(x), negative_slope=0.2)),
        [(40,)],
    ),
    "leaky-operation": (lambda k: lambda x: k.Dense(4)(_ops().leaky_relu(k.Dense(8)(x), 0.3)), [(40,)]),
    "selu-operation": (lambda k: lambda x: k.Dense(4)(_ops().selu(k.Dense(8)(x))), [(40,)]),
    "approximate-gelu": (lambda k: lambda x: k.Dense(4)(k.Dense(8, activation=_ops().gelu)(x)), [(40,)]),
    "hard-sigmoid": (lambda k: lambda x: k.Activation("hard_sigmoid")(x), [(40,)]),
    "gelu": (lambda k: lambda x: k.Dense(4)(k.Activation("gelu")(x)), [(40,)]),
    "slices": (lambda k: lambda x: k.Dense(4)(x[:, -1]) - k.Dense(4)(x[:, 1:3, ::2][:, 0, :2]), [(5, 6)]),
    "mean-of-axes": (lambda k: lambda x: k.Dense(4)(_ops().mean(k.Conv2D(6, 2)(x), axis=[1, 2])), [(7, 5, 3)]),
    "mean-of-last": (lambda k: lambda x: k.Dense(4)(_ops().mean(x, axis=-1)), [(7, 5)]),
    "largest": (lambda k: lambda x: k.Dense(4)(_ops().max(x, axis=1)), [(7, 5)]),
    "halves": (lambda k: lambda x: k.Multiply()(_ops().split(k.Dense(8)(x), 2, axis=-1)), [(7,)]),
    "augmented": (
        lambda k: lambda x: k.Conv2D(3, 3)(k.CenterCrop(6, 5)(k.RandomContrast(0.3)(k.RandomFlip()(x)))),
        [(8, 8, 3)],
    ),
    "negative": (lambda k: lambda x: k.Dense(4)(-k.Dense(5)(x)), [(7,)]),
    "square": (lambda k: lambda x: k.Dense(4)(_ops().square(k.Dense(5)(x))), [(7,)]),
    "distance": (lambda k: lambda a, b: k.Dense(4)(_ops().abs(k.Dense(5)(a) - k.Dense(5)(b))), [(7,), (7,)]),
    "bilinear": (lambda k: lambda x: k.UpSampling2D(2, interpolation="bilinear")(k.Conv2D(3, 2)(x)), [(6, 5, 3)]),
    "bilinear-thrice": (lambda k: lambda x: k.UpSampling2D((3, 1), interpolation="bilinear")(x), [(4, 5, 2)]),
    "resizing": (lambda k: lambda x: k.Resizing(5, 9)(x), [(8, 7, 3)]),
    "layer-norm": (lambda k: lambda x: k.Dense(4)(k.LayerNormalization()(x)), [(40,)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_answers_the_same_as_its_file(name: str) -> None:
    import keras

    build, shapes = LAYERS[name]
    made, content, x = quantized(functional(build(keras.layers), *shapes))
    assert steps_apart(made, content, x).max() == 0
    assert LiteRTModel(content).outputs[0].dtype == "int8"


FUNCTIONS = (
    *("celu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu"),
    *("log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax"),
    *("softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink"),
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_activation_of_keras_answers_the_same_as_its_file(name: str) -> None:
    """As a layer's own, and as an operation of the graph."""
    import keras

    def build(x: Any) -> Any:
        x = keras.layers.Dense(6, activation=name)(x)
        x = getattr(keras.ops, name)(keras.layers.Dense(6)(x)) if hasattr(keras.ops, name) else x
        return keras.layers.Dense(4)(x)

    made, content, x = quantized(functional(build, (20,)))
    assert steps_apart(made, content, x).max() == 0


DILATED = {
    "conv1d": (lambda k: k.Conv1D(6, 2, padding="causal", dilation_rate=2, activation="tanh"), (16, 4)),
    "conv1d-same": (lambda k: k.Conv1D(6, 3, padding="same", dilation_rate=3), (16, 4)),
    "conv2d": (lambda k: k.Conv2D(6, 3, padding="same", dilation_rate=2, activation="relu"), (9, 8, 4)),
    "conv2d-valid": (lambda k: k.Conv2D(6, 2, dilation_rate=(2, 3)), (9, 8, 4)),
    "groups": (lambda k: k.Conv2D(6, 3, padding="same", dilation_rate=2, groups=2), (9, 8, 4)),
    "depthwise1d": (lambda k: k.DepthwiseConv1D(3, padding="same", dilation_rate=2), (16, 4)),
    "depthwise2d": (lambda k: k.DepthwiseConv2D(3, dilation_rate=2, depth_multiplier=2), (9, 8, 4)),
    "separable1d": (lambda k: k.SeparableConv1D(6, 3, padding="same", dilation_rate=2), (16, 4)),
    "separable2d": (lambda k: k.SeparableConv2D(6, 3, padding="same", dilation_rate=2), (9, 8, 4)),
}


@pytest.mark.parametrize("name", DILATED)
def test_two_dilated_convolutions_of_one_input_answer_the_same_as_their_file(name: str) -> None:
    """WaveNet's gates. The converter puts a dilation together only where one convolution reads the rearranged input."""
    import keras

    build, shape = DILATED[name]
    model = functional(lambda x: keras.layers.Multiply()([build(keras.layers)(x), build(keras.layers)(x)]), shape)
    made, content, x = quantized(model)
    assert steps_apart(made, content, x).max() == 0
    assert "SPACE_TO_BATCH_ND" not in FileGraph.from_bytes(content).operator_counts()


def test_functions_of_tensorflow_are_known_by_what_they_compute() -> None:
    import keras
    import tensorflow as tf

    layers = keras.layers
    model = functional(
        lambda x: layers.Dense(4, activation=tf.nn.softmax)(layers.Dense(8, activation=tf.nn.relu, name="first")(x)),
        (9,),
    )
    made, content, x = quantized(model)
    assert made.get_layer("first").fused == "relu"
    assert steps_apart(made, content, x).max() == 0


@pytest.mark.parametrize("kind", ["layer", "function"])
def test_an_activation_of_ones_own_inside_a_layer_is_refused_by_name(kind: str) -> None:
    import keras

    own = {"layer": keras.layers.PReLU(), "function": lambda x: keras.ops.relu(x) * 2}[kind]
    model = functional(lambda x: keras.layers.Dense(8, activation=own, name="first")(x), (9,))
    with pytest.raises(ModelError, match=r"the activation (PReLU|<lambda>) has no form") as caught:
        quantized(model)
    assert caught.value.where == "layer 'first'" and 'exclude = ["first"]' in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["group", "instance", "rms", "unit"])
def test_normalizations_in_float32_are_one_step_off_at_most(kind: str) -> None:
    """Their sums run in an order of the runtime's own."""
    import keras

    layers = keras.layers
    norm = {
        "group": lambda: layers.GroupNormalization(2),
        "instance": lambda: layers.GroupNormalization(-1),
        "rms": layers.RMSNormalization,
        "unit": layers.UnitNormalization,
    }[kind]()
    model = functional(lambda x: layers.Conv2D(3, 2)(norm(layers.Conv2D(4, 3)(x))), (7, 7, 2))
    made, content, x = quantized(model)
    assert steps_apart(made, content, x).max() <= 1
    assert np.mean(steps_apart(made, content, x) == 0) > 0.99


def test_a_model_of_bytes_answers_the_same_as_its_file() -> None:
    import keras

    layers = keras.layers
    inputs = keras.Input((6, 6, 3), dtype="uint8")
    model = keras.Model(inputs, layers.Conv2D(4, 3)(layers.Rescaling(1 / 5, offset=-1)(inputs)))
    made, content, x = quantized(model)
    assert steps_apart(made, content, x).max() == 0
    assert LiteRTModel(content).inputs[0].dtype == "uint8"


@pytest.mark.parametrize(
    "name",
    [
        *("conv", "depthwise", "transposed", "dense", "add", "concatenate", "pools", "lone-norm"),
        *("slices", "bilinear", "resizing", "softmax", "softmax-of-rows", "swish", "tanh", "gated"),
    ],
)
def test_layers_with_16_bit_activations_answer_the_same_as_their_file(name: str) -> None:
    import keras

    build, shapes = LAYERS[name]
    made, content, x = quantized(functional(build(keras.layers), *shapes), activation_bits=16)
    assert steps_apart(made, content, x).max() == 0
    assert LiteRTModel(content).outputs[0].dtype == "int16"


SHARED = {
    "dense": lambda k: (k.Dense(5), (6,)),
    "separable": lambda k: (k.SeparableConv1D(5, 3), (9, 4)),
    "norm": lambda k: (k.BatchNormalization(), (9, 4)),
    "each-step": lambda k: (k.TimeDistributed(k.Dense(5)), (9, 4)),
}


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_layer_does_not_take_up_what_comes_after_one_of_its_calls(name: str) -> None:
    """Or the ReLU after the first call would stand after the second as well."""
    import keras

    layer, shape = SHARED[name](keras.layers)
    model = functional(lambda a, b: keras.layers.Concatenate()([keras.layers.ReLU()(layer(a)), layer(b)]), shape, shape)
    made, content, x = quantized(model)
    expected = model.predict(x, verbose=0)
    assert made.predict(x, verbose=0) == pytest.approx(expected, abs=0.03 * float(np.abs(expected).max()))
    assert steps_apart(made, content, x).max() == 0
    if name != "norm":  # promises about weights go on under the keys that they had
        assert weight_matrices(made).keys() == weight_matrices(model).keys()


@pytest.mark.parametrize("name", SHARED)
def test_a_layer_that_is_called_inside_a_nested_model_and_outside_of_it_is_shared(name: str) -> None:
    import keras

    layer, shape = SHARED[name](keras.layers)
    inside = functional(lambda a: keras.layers.ReLU()(layer(a)), shape)
    model = functional(lambda a, b: keras.layers.Concatenate()([inside(a), layer(b)]), shape, shape)
    made, content, x = quantized(model)
    expected = model.predict(x, verbose=0)
    assert made.predict(x, verbose=0) == pytest.approx(expected, abs=0.03 * float(np.abs(expected).max()))
    assert steps_apart(made, content, x).max() == 0


def test_nested_shared_and_several_inputs_answer_the_same_as_their_file() -> None:
    import keras

    layers = keras.layers
    inner_input = keras.Input((6, 6, 3), name="image")
    inner = layers.Conv2D(4, 3, use_bias=False, name="inner_conv")(inner_input)
    inner = layers.ReLU()(layers.BatchNormalization(name="inner_norm")(inner))
    backbone = keras.Model(inner_input, inner, name="backbone")
    tail = keras.Sequential([keras.Input((4, 4, 4)), layers.Flatten(), layers.Dense(5, name="tail_dense")], name="tail")
    first, second = keras.Input((6, 6, 3), name="first"), keras.Input((6, 6, 3), name="second")
    shared = layers.Dense(3, activation="relu", name="shared")
    a, b = (shared(tail(backbone(tensor))) for tensor in (first, second))
    model = keras.Model({"first": first, "second": second}, layers.Concatenate(name="both")([a, b]))
    made, content, x = quantized(model)
    assert steps_apart(made, content, x).max() == 0
    from penjing.compression.model_tree import kernels

    assert set(kernels(made)) == {"backbone/inner_conv", "tail/tail_dense", "shared"} == set(kernels(model))


def test_layers_that_are_called_twice_answer_the_same_as_their_file() -> None:
    import keras

    layers = keras.layers
    first, second = keras.Input((6, 6, 3), name="first"), keras.Input((6, 6, 3), name="second")
    chain = [
        layers.SeparableConv2D(4, 3, name="separable"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="relu"),
        layers.MaxPooling2D(2, name="pool"),
        layers.GlobalAveragePooling2D(name="mean"),
        layers.Dense(3, activation="tanh", name="dense"),
        layers.Activation("sigmoid", name="sigmoid"),
    ]
    branches = []
    for tensor in (first, second):
        for layer in chain:
            tensor = layer(tensor)
        branches.append(tensor)
    made, content, x = quantized(keras.Model([first, second], layers.Subtract(name="difference")(branches)))
    assert steps_apart(made, content, x).max() == 0
    assert len([layer for layer in made.layers if layer.name == "dense"]) == 1


# ------------------------------------------------------------------------------------------- what the file consists of


def test_weights_of_4_bits_are_packed_and_exceptions_hold() -> None:
    _, content, _ = quantized(ds_cnn(), weight_bits=4, keep_8_bits=["stem"], exclude=["words"])
    graph = FileGraph.from_bytes(content)
    kinds = {tensor.shape: tensor.dtype for tensor in graph.constants()}
    assert kinds[8, 4, 3, 1] == "int8"
    assert kinds[8, 1, 1, 8] == kinds[1, 3, 3, 8] == "int4"
    assert kinds[5, 8] == "float32"
    # No ReLU and no BatchNormalization is left; the float part is behind one border.
    assert set(graph.operator_counts()) == {
        *("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX")
    }


def test_weights_of_4_bits_with_16_bit_activations_are_packed_where_the_kernel_reads_them() -> None:
    made, content, x = quantized(ds_cnn(), weight_bits=4, activation_bits=16)
    assert steps_apart(made, content, x).max() == 0
    kinds = {tensor.shape: tensor.dtype for tensor in FileGraph.from_bytes(content).constants()}
    assert kinds[8, 4, 3, 1] == kinds[8, 1, 1, 8] == kinds[5, 8] == "int4"
    assert kinds[1, 3, 3, 8] == "int8"


def test_a_layer_without_an_integer_form_is_named_and_can_be_left_in_float() -> None:
    import keras

    layers = keras.layers
    inputs = keras.Input((5, 3))
    x = layers.LSTM(4, activation="gelu", name="memory")(layers.Dense(6, name="before")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="after")(x))
    with pytest.raises(ModelError) as caught:
        quantized(model)
    assert "layer 'memory'" in str(caught.value)
    assert 'exclude = ["memory"]' in str(caught.value)
    made, content, x = quantized(model, exclude=["memory"])
    assert steps_apart(made, content, x).max() <= 1


def test_explain_says_what_becomes_of_each_layer() -> None:
    from penjing.compression.quantization.aware_training import explain
    from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings

    model = ds_cnn()
    before = [np.array(weight) for weight in model.get_weights()]
    told = {
        change.layer: change.change
        for change in explain(model, QuantizeAwareTrainingSettings(weight_bits=4, exclude=["words"]))
    }
    assert told["stem_norm"] == "folded into 'stem'"
    assert told["stem_relu"] == "computed by 'stem'"
    assert told["stem"] == "4-bit weights, 8-bit output, BatchNormalization 'stem_norm' folded in, relu fused"
    assert told["add_relu"] == "computed by 'add'"
    assert told["words"].startswith("left alone: fits 'exclude'")
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    with pytest.raises(ModelError, match="no layer fits 'word'"):
        explain(model, QuantizeAwareTrainingSettings(exclude=["word"]))


# ----------------------------------------------------------------------------------------------------- the arithmetic


def rounded(value: int, power: int) -> int:
    """value / 2^power, halves away from zero, in Python's integers."""
    return (abs(value) + (1 << power >> 1) >> power) * (1 if value >= 0 else -1)


@settings(max_examples=60)
@given(st.lists(st.integers(-(2**27), 2**27), min_size=1, max_size=20), st.floats(1e-6, 4.0))
def test_accumulators_are_scaled_as_gemmlowp_does_it(accumulators: list[int], factor: float) -> None:
    import math

    from penjing.compression.quantization.arithmetic import scale_integers

    fraction, shift = math.frexp(factor)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    expected = []
    for value in accumulators:
        high = (value << max(shift, 0)) * multiplier + 2**30 >> 31
        expected.append(rounded(high, max(-shift, 0)))
    made = scale_integers(np.array(accumulators, np.int64), np.float64(factor))
    assert np.asarray(made).tolist() == expected


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([4, 8]))
def test_zeros_stay_zero_and_equal_weights_stay_equal(seed: int, bits: int) -> None:
    from penjing.compression.quantization.fake_quant import largest_steps, round_weights

    generator = np.random.default_rng(seed)
    codebook = np.array([-1.3, 0.0, 0.2, 0.9], np.float32)
    weights = codebook[generator.integers(0, 4, (3, 3, 2, 5))] * generator.uniform(0.1, 3, 5).astype(np.float32)
    steps = largest_steps(weights, (0, 1, 2), bits)
    integers = np.asarray(round_weights(weights, steps, bits))
    assert np.all(integers[weights == 0] == 0)
    assert np.abs(integers).max() <= 2 ** (bits - 1) - 1
    for channel in range(5):
        for value in np.unique(weights[..., channel]):
            assert len(np.unique(integers[..., channel][weights[..., channel] == value])) == 1
    assert np.all(np.abs(integers * np.asarray(steps) - weights) <= 0.5001 * np.asarray(steps))


def test_a_learned_step_has_the_gradient_of_lsq() -> None:
    import tensorflow as tf

    from penjing.compression.quantization.fake_quant import learned_step

    values = tf.constant([0.26, -0.9, 5.0, -7.0])
    log_step = tf.constant(np.log([0.5]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([values, log_step])
        outputs = learned_step(values, log_step, -4.0, 3.0, [0])
        total = tf.reduce_sum(outputs * [1.0, 10.0, 100.0, 1000.0])
    of_values, of_step = tape.gradient(total, [values, log_step])
    assert outputs.numpy().tolist() == pytest.approx([0.5, -1.0, 1.5, -2.0])
    assert of_values.numpy().tolist() == [1.0, 10.0, 0.0, 0.0]
    # round(v) - v inside: 1 - 0.52 and -2 + 1.8; the ends of the range outside; times step / sqrt(4 values x 3).
    expected = 0.48 * 1 - 0.2 * 10 + 3.0 * 100 - 4.0 * 1000
    assert of_step.numpy()[0] == pytest.approx(expected * 0.5 / np.sqrt(12), rel=1e-5)


@pytest.mark.parametrize(("bits", "zero_point"), [(8, -128), (8, 5), (8, 127), (16, 0)])
def test_one_step_for_all_values_is_learned_as_by_the_formulas(bits: int, zero_point: int) -> None:
    import tensorflow as tf

    from penjing.compression.quantization.arithmetic import limits
    from penjing.compression.quantization.fake_quant import learned_grid, learned_step

    generator = np.random.default_rng([bits, zero_point + 128])
    low, high = (np.float32(limit - zero_point) for limit in limits(bits))
    step = np.float32(0.013)
    # Within, and to both sides of, what the grid holds.
    values = tf.constant(generator.uniform(1.5 * low - 9, 1.5 * high + 9, (64, 7, 5)) * step, tf.float32)
    upstream = tf.constant(generator.normal(size=values.shape), tf.float32)
    log_step = tf.constant(np.log(step), tf.float32)

    def both(rounded: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch([values, log_step])
            outputs = rounded(log_step)
            total = tf.reduce_sum(outputs * upstream)
        return outputs, *tape.gradient(total, [values, log_step])

    plain = both(lambda log: learned_step(values, tf.reshape(log, [1, 1, 1]), low, high, [0, 1, 2]))
    fused = both(lambda log: learned_grid(values, log, low, high, bits))
    apart = np.abs(plain[0] - fused[0]) / step
    # float32 knows a value in steps to 2^(bits - 24) of one: so near a half it may be rounded to either side.
    assert np.mean(apart > 2.0 ** (bits - 23)) < 2.0 ** (bits - 23) and apart.max() < 1.01
    np.testing.assert_array_equal(plain[1], fused[1])
    assert float(fused[2]) == pytest.approx(float(plain[2]), rel=1e-3)


def test_batch_statistics_of_a_folded_norm_are_those_of_batch_normalization() -> None:
    import keras

    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(momentum=0.8, name="norm")(layers.Conv2D(6, 3, name="conv")(inputs))
    model = keras.Model(inputs, x)
    made, _, batch = quantized(model, activation_bits=16)
    conv, norm = made.get_layer("conv"), model.get_layer("norm")
    conv.output_range.low.assign(-20.0)  # nothing is clipped: the statistics are the subject
    weights, steps, _ = conv.integers(np.float32(1.0))
    # The rounded folded kernel, with the folding undone: what BatchNormalization in training mode would stand behind.
    unfolded = np.asarray(weights) * np.asarray(steps) / np.asarray(conv._factor())
    grid = np.asarray(made.layers[1].grid())
    on_grid = np.round(batch / grid[0]) * grid[0]
    product = keras.ops.conv(on_grid, unfolded) + model.get_layer("conv").bias
    expected = np.asarray(norm(product, training=True))
    got = np.asarray(made(batch, training=True))
    assert np.abs(got - expected).max() < 2e-3 * np.abs(expected).max()
    assert np.asarray(conv.moving_mean) == pytest.approx(np.asarray(norm.moving_mean), rel=1e-3, abs=1e-4)
    assert np.asarray(conv.moving_variance) == pytest.approx(np.asarray(norm.moving_variance), rel=1e-2)


# ------------------------------------------------------------------------------------------------------- the technique

RECIPE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.6
epochs = 1
[[steps]]
technique = "quantize-aware-training"
weight_bits = 4
ranges = "learned"
epochs = 2
learning_rate = 0.002
exclude = ["quarter"]
[[steps]]
technique = "finetune"
epochs = 1
"""


def test_a_recipe_trains_saves_goes_on_and_keeps_its_promises(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    import keras

    recipe = Recipe.from_toml(RECIPE)
    result = penjing.compress(toy_model, recipe=recipe, data=toy_data, output=tmp_path / "run")
    steps = tmp_path / "run/steps"
    outcome = json.loads((steps / "02-quantize-aware-training/outcome.json").read_text())
    figures = outcome["figures"]
    assert figures["compared_inputs"] == 90
    # The last layer is in float32, where the order of additions shows.
    assert figures["largest_difference_steps"] <= 1
    assert figures["validation_after"] >= 0.95
    assert outcome["export"]["mode"] == "aware"
    before = keras.models.load_model(steps / "01-prune-weights/model.keras", compile=False)
    after = keras.models.load_model(steps / "03-finetune/model.keras", compile=False)
    pruned = np.asarray(before.get_layer("hidden").kernel) == 0
    assert np.all(np.asarray(after.get_layer("hidden").kernel)[pruned] == 0)
    assert pruned.mean() > 0.3
    graph = FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes())
    (hidden,) = [tensor for tensor in graph.constants() if tensor.shape == (40, 192)]
    assert hidden.dtype == "int4"
    assert np.all(hidden.values.T[pruned] == 0)


def test_training_in_4_bits_beats_rounding_to_4_bits(toy_model: Path, toy_arrays: dict[str, np.ndarray]) -> None:
    import keras

    from penjing.compression.quantization.aware_training import calibrate, simulated
    from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings

    x, y = toy_arrays["x"], toy_arrays["y"]
    losses = {}
    for ranges in ("moving-average", "learned"):
        model = keras.models.load_model(toy_model, compile=False)
        made, _ = simulated(model, QuantizeAwareTrainingSettings(weight_bits=4, ranges=ranges))
        calibrate(made, x[:400], 256, seed=0)
        made.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", jit_compile=False)
        rounded_loss = made.evaluate(x[:400], y[:400], verbose=0)
        step = float(made.get_layer("hidden").log_steps[0]) if ranges == "learned" else 0.0
        made.fit(x[:400], y[:400], epochs=3, batch_size=32, verbose=0)
        losses[ranges] = (rounded_loss, made.evaluate(x[:400], y[:400], verbose=0))
        if ranges == "learned":
            assert float(made.get_layer("hidden").log_steps[0]) != step
    for rounded_loss, trained_loss in losses.values():
        assert trained_loss < 0.8 * rounded_loss


SEPARABLE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.5
epochs = 1
[[steps]]
technique = "cluster-weights"
clusters = 6
epochs = 1
[[steps]]
technique = "quantize-aware-training"
epochs = 1
[[steps]]
technique = "finetune"
epochs = 1
"""


def test_zeros_and_shared_values_of_a_separable_convolution_stay(
    toy_arrays: dict[str, np.ndarray], toy_data: Path, tmp_path: Path
) -> None:
    """Aware training splits it into two layers; the promises about its two matrices go on."""
    import keras

    from penjing.compression.model_tree import weight_matrices

    keras.utils.set_random_seed(2)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    inner = keras.Input((8, 8, 4))
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layers.SeparableConv2D(8, 3, name="block")(inner)))
    x = keras.Model(inner, x, name="backbone")(layers.Conv2D(4, 3, padding="same", name="stem")(inputs))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax", name="quarter")(layers.Flatten()(x)))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(toy_arrays["x"][:400], toy_arrays["y"][:400], epochs=3, batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    recipe = Recipe.from_toml(SEPARABLE)
    penjing.compress(tmp_path / "model.keras", recipe=recipe, data=toy_data, output=tmp_path / "run")
    folders = sorted((tmp_path / "run/steps").iterdir())
    models = [keras.models.load_model(folder / "model.keras", compile=False) for folder in folders]
    clustered, aware, last = (weight_matrices(each) for each in models[1:])
    assert set(clustered) == set(aware) == set(last)
    for key in ("backbone/block/depthwise_kernel", "backbone/block/pointwise_kernel"):
        before, after = np.asarray(clustered[key]), np.asarray(last[key])
        assert (before == 0).any()
        assert np.all(after[before == 0] == 0)
        for value in np.unique(before):
            assert len(np.unique(after[before == value])) == 1
        assert np.any(before != after)
