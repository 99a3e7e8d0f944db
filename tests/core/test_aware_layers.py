"""quantize-aware-training, layer by layer: the file answers what the model answers, on every input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penjing.compression.model_tree import weight_matrices
from penjing.errors import ModelError
from penjing.measure.file_graph import FileGraph
from penjing.runtime import LiteRTModel
from simulating import functional, quantized, steps_apart


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
