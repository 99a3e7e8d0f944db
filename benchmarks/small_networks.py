"""Small networks as people build them for devices, each with data that it can learn something from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

CLASSES = 4
EXAMPLES = 480
Arrays = dict[str, Any]
NETWORKS: dict[str, Callable[[], keras.Model]] = {}
"""By name. The part of a name before its first underscore or digit says what kind it is."""


def _network(build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    NETWORKS[build.__name__] = build
    return build


def data_for(model: keras.Model, seed: int = 0) -> Arrays:
    """Inputs of the model's shapes and targets that a random, fixed function of them gives.

    Returns:
        x and y, as `penjing.compress` takes them; classes 0 to `CLASSES` - 1, or 0 and 1, or real numbers, by the
        model's output.
    """
    random = np.random.default_rng(seed)
    inputs = {tensor.name: _examples(tensor, random) for tensor in model.inputs}
    signal = sum(_signal(values) for values in inputs.values())
    x: Any = {f"x.{name}": values for name, values in inputs.items()}
    if len(inputs) == 1:
        x = {"x": next(iter(inputs.values()))}
    return {**x, "y": _targets(model, signal, random)}


def _examples(tensor: Any, random: np.random.Generator) -> np.ndarray:
    shape = (EXAMPLES, *(24 if size is None else size for size in tensor.shape[1:]))
    if tensor.dtype.startswith("int"):
        return random.integers(1, 30, shape).astype(tensor.dtype)
    values = random.normal(size=shape)
    # A slow part that differs from example to example: something to be learned.
    values += random.normal(size=(EXAMPLES, *(1,) * (len(shape) - 2), shape[-1]))
    return values.astype("float32")


def _signal(values: np.ndarray) -> np.ndarray:
    """Of shape (examples,): what the targets depend on."""
    return np.asarray(values.reshape(len(values), -1, values.shape[-1]).mean(axis=1)[:, 0], "float64")


def _targets(model: keras.Model, signal: np.ndarray, random: np.random.Generator) -> np.ndarray:
    shape = model.outputs[0].shape[1:]
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", "linear")
    ranks = signal.argsort().argsort() / len(signal)
    if activation == "softmax":
        classes = (ranks * CLASSES).astype("int64")
        return np.broadcast_to(classes.reshape(-1, *(1,) * (len(shape) - 1)), (EXAMPLES, *shape[:-1])).copy()
    if activation == "sigmoid":
        classes = (ranks > 0.5).astype("int64").reshape(-1, *(1,) * (len(shape) - 1))
        return np.broadcast_to(classes, (EXAMPLES, *shape[:-1])).copy() if len(shape) > 1 else classes.reshape(-1)
    noise = random.normal(size=(EXAMPLES, *shape)) * 0.05
    return (signal.reshape(-1, *(1,) * len(shape)) + noise).astype("float32")


def _classes(tensor: Any, **options: Any) -> Any:
    return layers.Dense(CLASSES, activation="softmax", **options)(tensor)


def _image() -> Any:
    return keras.Input((16, 16, 3))


def _signal_input() -> Any:
    return keras.Input((32, 6))


def _after(inputs: Any, tensor: Any) -> keras.Model:
    """Pool, classify, close."""
    pooled = {4: layers.GlobalAveragePooling2D, 3: layers.GlobalAveragePooling1D, 5: layers.GlobalAveragePooling3D}
    rank = len(tensor.shape)
    return keras.Model(inputs, _classes(pooled[rank]()(tensor) if rank in pooled else tensor))


def _convolution(tensor: Any, channels: int, size: int = 3, **options: Any) -> Any:
    tensor = layers.Conv2D(channels, size, padding="same", use_bias=False, **options)(tensor)
    return layers.BatchNormalization()(tensor)


# Dense


@_network
def mlp() -> keras.Model:
    inputs = keras.Input((20,))
    return _after(inputs, layers.Dense(48, activation="relu")(layers.Dense(64, activation="relu")(inputs)))


@_network
def mlp_tiny() -> keras.Model:
    inputs = keras.Input((8,))
    return _after(inputs, layers.Dense(8, activation="relu")(inputs))


@_network
def mlp_normalized() -> keras.Model:
    inputs = tensor = keras.Input((20,))
    for units in (64, 32):
        tensor = layers.Dropout(0.1)(layers.ReLU()(layers.BatchNormalization()(layers.Dense(units)(tensor))))
    return _after(inputs, tensor)


@_network
def mlp_activations() -> keras.Model:
    inputs = tensor = keras.Input((20,))
    for activation in ("selu", "elu", "silu", "gelu", "tanh", "leaky_relu", "softplus", "hard_silu"):
        tensor = layers.Dense(24, activation=activation)(tensor)
    return _after(inputs, layers.PReLU()(layers.Dense(24)(tensor)))


@_network
def mlp_residual() -> keras.Model:
    inputs = keras.Input((20,))
    tensor = layers.Dense(32, activation="relu")(inputs)
    for _ in range(3):
        tensor = layers.Add()([tensor, layers.Dense(32)(layers.Dense(48, activation="relu")(tensor))])
    return _after(inputs, tensor)


@_network
def mlp_binary() -> keras.Model:
    inputs = keras.Input((12,))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dense(40, activation="relu")(inputs)))


@_network
def mlp_regression() -> keras.Model:
    inputs = tensor = keras.Input((12,))
    tensor = layers.Normalization(mean=0.1, variance=1.5)(tensor)
    for units in (48, 48):
        tensor = layers.Dense(units, activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(1)(tensor))


@_network
def autoencoder() -> keras.Model:
    inputs = tensor = keras.Input((40,))
    for units in (32, 8, 32):
        tensor = layers.Dense(units, activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(40)(tensor))


@_network
def two_inputs() -> keras.Model:
    first, second = keras.Input((12,), name="first"), keras.Input((16, 16, 1), name="second")
    image = layers.Flatten()(layers.MaxPooling2D()(layers.Conv2D(8, 3, activation="relu")(second)))
    both = layers.Concatenate()([layers.Dense(16, activation="relu")(first), image])
    return _after([first, second], layers.Dense(32, activation="relu")(both))


@_network
def embedding() -> keras.Model:
    inputs = keras.Input((10,), dtype="int32")
    tensor = layers.GlobalAveragePooling1D()(layers.Embedding(200, 16)(inputs))
    return _after(inputs, layers.Dense(32, activation="relu")(tensor))


@_network
def tabular() -> keras.Model:
    numbers, category = keras.Input((8,), name="numbers"), keras.Input((1,), dtype="int32", name="category")
    row = layers.Flatten()(layers.Embedding(50, 6)(category))
    tensor = layers.Concatenate()([numbers, row])
    return _after([numbers, category], layers.Dense(32, activation="relu")(layers.Dense(48, activation="relu")(tensor)))


# Images


@_network
def lenet() -> keras.Model:
    return keras.Sequential(
        [
            _image(),
            layers.Conv2D(6, 5, activation="tanh", padding="same"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(60, activation="tanh"),
            layers.Dense(40, activation="tanh"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


@_network
def cnn() -> keras.Model:
    inputs = tensor = _image()
    for channels in (16, 24, 32):
        tensor = layers.ReLU()(_convolution(tensor, channels, strides=2))
    return _after(inputs, tensor)


@_network
def cnn_relu_layers() -> keras.Model:
    inputs = tensor = _image()
    for channels in (16, 24):
        tensor = layers.MaxPooling2D()(layers.Activation("relu")(layers.Conv2D(channels, 3)(tensor)))
    return _after(inputs, layers.Dense(32, activation="relu")(layers.Flatten()(tensor)))


@_network
def cnn_rescaled() -> keras.Model:
    inputs = _image()
    tensor = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    tensor = layers.ZeroPadding2D(1)(tensor)
    for channels in (12, 24):
        tensor = layers.Conv2D(channels, 3, strides=2, activation="relu6")(tensor)
    return _after(inputs, layers.SpatialDropout2D(0.1)(tensor))


@_network
def cnn_dilated() -> keras.Model:
    inputs = tensor = _image()
    for rate in (1, 2, 4):
        tensor = layers.Conv2D(16, 3, padding="same", dilation_rate=rate, activation="relu")(tensor)
    return _after(inputs, tensor)


@_network
def cnn_regression() -> keras.Model:
    inputs = tensor = _image()
    for channels in (12, 16):
        tensor = layers.Conv2D(channels, 3, strides=2, activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling2D()(tensor)))


@_network
def mobilenet() -> keras.Model:
    inputs = _image()
    tensor = layers.ReLU(6.0)(_convolution(inputs, 16, strides=2))
    for channels in (24, 32, 48):
        tensor = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(tensor)
        tensor = layers.ReLU(6.0)(layers.BatchNormalization()(tensor))
        tensor = layers.ReLU(6.0)(_convolution(tensor, channels, 1))
    return _after(inputs, tensor)


@_network
def inverted_residual() -> keras.Model:
    inputs = _image()
    tensor = layers.ReLU(6.0)(_convolution(inputs, 16, strides=2))
    for _ in range(3):
        wide = layers.ReLU(6.0)(_convolution(tensor, 48, 1))
        wide = layers.ReLU(6.0)(
            layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(wide))
        )
        tensor = layers.Add()([tensor, _convolution(wide, 16, 1)])
    return _after(inputs, tensor)


@_network
def separable() -> keras.Model:
    inputs = tensor = _image()
    for channels in (16, 32):
        tensor = layers.SeparableConv2D(channels, 3, padding="same", activation="relu")(tensor)
    return _after(inputs, tensor)


@_network
def resnet() -> keras.Model:
    inputs = _image()
    tensor = layers.ReLU()(_convolution(inputs, 12))
    for channels, strides in ((12, 1), (24, 2)):
        short = tensor if strides == 1 else _convolution(tensor, channels, 1, strides=strides)
        long = _convolution(layers.ReLU()(_convolution(tensor, channels, strides=strides)), channels)
        tensor = layers.ReLU()(layers.Add()([short, long]))
    return _after(inputs, tensor)


@_network
def resnet_preactivated() -> keras.Model:
    inputs = _image()
    tensor = layers.Conv2D(16, 3, padding="same")(inputs)
    for _ in range(3):
        long = layers.Conv2D(16, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(tensor)))
        tensor = layers.Add()([tensor, long])
    return _after(inputs, layers.ReLU()(layers.BatchNormalization()(tensor)))


@_network
def densenet() -> keras.Model:
    inputs = _image()
    tensor = layers.Conv2D(12, 3, padding="same")(inputs)
    for _ in range(3):
        grown = layers.Conv2D(8, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(tensor)))
        tensor = layers.Concatenate()([tensor, grown])
    return _after(inputs, layers.AveragePooling2D(2)(tensor))


@_network
def squeeze_excite() -> keras.Model:
    inputs = _image()
    tensor = layers.ReLU()(_convolution(inputs, 24, strides=2))
    for _ in range(2):
        gate = layers.GlobalAveragePooling2D(keepdims=True)(tensor)
        gate = layers.Conv2D(24, 1, activation="hard_sigmoid")(layers.Conv2D(8, 1, activation="relu")(gate))
        tensor = layers.Multiply()([layers.ReLU()(_convolution(tensor, 24)), gate])
    return _after(inputs, tensor)


@_network
def squeeze_excite_dense() -> keras.Model:
    inputs = _image()
    tensor = layers.Activation("silu")(_convolution(inputs, 24, strides=2))
    gate = layers.Dense(6, activation="silu")(layers.GlobalAveragePooling2D()(tensor))
    gate = layers.Reshape((1, 1, 24))(layers.Dense(24, activation="sigmoid")(gate))
    return _after(inputs, _convolution(layers.Multiply()([tensor, gate]), 32))


@_network
def shuffle() -> keras.Model:
    inputs = _image()
    tensor = layers.ReLU()(_convolution(inputs, 16, strides=2))
    for _ in range(2):
        mixed = layers.Reshape((8, 8, 4, 4))(layers.Conv2D(16, 1, groups=4)(tensor))
        mixed = layers.Reshape((8, 8, 16))(layers.Permute((1, 2, 4, 3))(mixed))
        mixed = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(mixed)))
        tensor = layers.Add()([tensor, layers.Conv2D(16, 1, groups=4)(mixed)])
    return _after(inputs, tensor)


@_network
def inception() -> keras.Model:
    inputs = _image()
    tensor = layers.Conv2D(16, 3, strides=2, activation="relu")(inputs)
    branches = [layers.Conv2D(8, size, padding="same", activation="relu")(tensor) for size in (1, 3, 5)]
    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(tensor)
    return _after(inputs, layers.Concatenate()([*branches, layers.Conv2D(8, 1, activation="relu")(pooled)]))


@_network
def factored() -> keras.Model:
    inputs = tensor = _image()
    for channels in (16, 24):
        tensor = layers.Conv2D(channels, (3, 1), padding="same", use_bias=False)(tensor)
        tensor = layers.Conv2D(channels, (1, 3), padding="same", activation="relu")(tensor)
    return _after(inputs, tensor)


@_network
def convnext() -> keras.Model:
    inputs = _image()
    tensor = layers.LayerNormalization()(layers.Conv2D(24, 4, strides=4)(inputs))
    for _ in range(2):
        wide = layers.LayerNormalization(epsilon=1e-6)(layers.DepthwiseConv2D(7, padding="same")(tensor))
        wide = layers.Dense(24)(layers.Dense(64, activation="gelu")(wide))
        tensor = layers.Add()([tensor, wide])
    return _after(inputs, tensor)


@_network
def group_normalized() -> keras.Model:
    inputs = tensor = _image()
    for channels in (16, 24):
        tensor = layers.Conv2D(channels, 3, strides=2, padding="same")(tensor)
        tensor = layers.ReLU()(layers.GroupNormalization(4)(tensor))
    return _after(inputs, tensor)


@_network
def unet() -> keras.Model:
    inputs = _image()
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    second = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(first))
    up = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(second)
    both = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Concatenate()([up, first]))
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(both))


@_network
def unet_classes() -> keras.Model:
    inputs = _image()
    first = layers.ReLU()(_convolution(inputs, 8))
    second = layers.ReLU()(_convolution(layers.MaxPooling2D()(first), 16))
    up = layers.UpSampling2D(interpolation="bilinear")(second)
    both = layers.ReLU()(_convolution(layers.Concatenate()([up, first]), 8))
    return keras.Model(inputs, layers.Conv2D(CLASSES, 1, activation="softmax")(both))


@_network
def volume() -> keras.Model:
    inputs = tensor = keras.Input((8, 8, 8, 1))
    for channels in (8, 16):
        tensor = layers.MaxPooling3D()(layers.Conv3D(channels, 3, padding="same", activation="relu")(tensor))
    return _after(inputs, tensor)


# Signals


@_network
def conv1d() -> keras.Model:
    inputs = tensor = _signal_input()
    for channels in (8, 8):
        tensor = layers.MaxPooling1D()(layers.Conv1D(channels, 3, activation="relu")(tensor))
    return _after(inputs, tensor)


@_network
def conv1d_wide() -> keras.Model:
    inputs = tensor = _signal_input()
    for channels in (32, 48):
        tensor = layers.Conv1D(channels, 5, padding="same", strides=2, use_bias=False)(tensor)
        tensor = layers.ReLU()(layers.BatchNormalization()(tensor))
    return _after(inputs, layers.Dense(32, activation="relu")(layers.Flatten()(tensor)))


@_network
def tcn() -> keras.Model:
    inputs = _signal_input()
    tensor = layers.Conv1D(16, 1)(inputs)
    for rate in (1, 2, 4):
        long = layers.Conv1D(16, 3, padding="causal", dilation_rate=rate, activation="relu")(tensor)
        tensor = layers.Add()([tensor, layers.Dropout(0.1)(long)])
    return _after(inputs, tensor)


@_network
def wavenet() -> keras.Model:
    inputs = _signal_input()
    tensor = layers.Conv1D(16, 1)(inputs)
    for rate in (1, 2):
        gate = layers.Conv1D(16, 2, padding="causal", dilation_rate=rate, activation="sigmoid")(tensor)
        value = layers.Conv1D(16, 2, padding="causal", dilation_rate=rate, activation="tanh")(tensor)
        tensor = layers.Add()([tensor, layers.Conv1D(16, 1)(layers.Multiply()([gate, value]))])
    return _after(inputs, layers.ReLU()(tensor))


@_network
def separable1d() -> keras.Model:
    inputs = tensor = _signal_input()
    for channels in (16, 24):
        tensor = layers.ReLU()(layers.BatchNormalization()(layers.SeparableConv1D(channels, 5, padding="same")(tensor)))
    return _after(inputs, tensor)


@_network
def forecast() -> keras.Model:
    inputs = tensor = _signal_input()
    for _ in range(2):
        tensor = layers.Conv1D(24, 3, padding="same", activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(6)(layers.Flatten()(tensor)))


# Recurrent


@_network
def lstm() -> keras.Model:
    inputs = _signal_input()
    return _after(inputs, layers.LSTM(24)(inputs))


@_network
def lstm_stacked() -> keras.Model:
    inputs = _signal_input()
    return _after(inputs, layers.LSTM(16)(layers.Dropout(0.1)(layers.LSTM(24, return_sequences=True)(inputs))))


@_network
def lstm_both_ways() -> keras.Model:
    inputs = _signal_input()
    return _after(inputs, layers.Dense(16, activation="relu")(layers.Bidirectional(layers.LSTM(16))(inputs)))


@_network
def lstm_of_words() -> keras.Model:
    inputs = keras.Input((12,), dtype="int32")
    return _after(inputs, layers.LSTM(16)(layers.Embedding(200, 12, mask_zero=True)(inputs)))


@_network
def lstm_of_frames() -> keras.Model:
    inputs = keras.Input((6, 8, 8, 1))
    frames = layers.TimeDistributed(layers.Conv2D(6, 3, activation="relu"))(inputs)
    frames = layers.TimeDistributed(layers.Flatten())(frames)
    return _after(inputs, layers.LSTM(12)(layers.TimeDistributed(layers.Dense(16, activation="relu"))(frames)))


@_network
def gru() -> keras.Model:
    inputs = _signal_input()
    return _after(inputs, layers.GRU(24)(inputs))


@_network
def gru_after_convolution() -> keras.Model:
    inputs = _signal_input()
    tensor = layers.Conv1D(16, 3, strides=2, activation="relu")(inputs)
    return _after(inputs, layers.GRU(16)(layers.MaxPooling1D()(tensor)))


@_network
def simple_rnn() -> keras.Model:
    inputs = keras.Input((12, 6))
    return _after(inputs, layers.SimpleRNN(24)(inputs))


@_network
def tagger() -> keras.Model:
    inputs = _signal_input()
    tensor = layers.Bidirectional(layers.GRU(12, return_sequences=True))(inputs)
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(CLASSES, activation="softmax"))(tensor))


# Attention


@_network
def transformer() -> keras.Model:
    inputs = _signal_input()
    tensor = layers.Dense(24)(inputs)
    for _ in range(2):
        seen = layers.MultiHeadAttention(2, 12)(tensor, tensor)
        tensor = layers.LayerNormalization()(layers.Add()([tensor, seen]))
        wide = layers.Dense(24)(layers.Dense(48, activation="relu")(tensor))
        tensor = layers.LayerNormalization()(layers.Add()([tensor, wide]))
    return _after(inputs, tensor)


@_network
def transformer_of_words() -> keras.Model:
    inputs = keras.Input((12,), dtype="int32")
    tensor = layers.Embedding(200, 24)(inputs)
    normal = layers.LayerNormalization()(tensor)
    tensor = layers.Add()([tensor, layers.MultiHeadAttention(3, 8)(normal, normal)])
    wide = layers.Dense(64, activation="gelu")(layers.LayerNormalization()(tensor))
    return _after(inputs, layers.Add()([tensor, layers.Dense(24)(wide)]))


@_network
def attention_over_time() -> keras.Model:
    inputs = _signal_input()
    tensor = layers.Conv1D(16, 3, activation="relu")(inputs)
    weights = layers.Softmax(axis=1)(layers.Dense(1)(tensor))
    return _after(inputs, layers.Flatten()(layers.Dot(axes=1)([weights, tensor])))


@_network
def attention_dot() -> keras.Model:
    inputs = _signal_input()
    query, value = layers.Dense(16)(inputs), layers.Dense(16)(inputs)
    return _after(inputs, layers.Attention()([query, value]))


@_network
def attention_grouped() -> keras.Model:
    inputs = _signal_input()
    tensor = layers.Dense(16)(inputs)
    return _after(inputs, layers.Add()([tensor, layers.GroupQueryAttention(8, 4, 2)(tensor, tensor)]))


# Structure


@_network
def nested() -> keras.Model:
    inside = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(12, 3, strides=2, activation="relu"), layers.Conv2D(16, 3)]
    )
    inputs = _image()
    return _after(inputs, layers.ReLU()(inside(inputs)))


@_network
def twins() -> keras.Model:
    first, second = keras.Input((16,), name="first"), keras.Input((16,), name="second")
    body = keras.Sequential([keras.Input((16,)), layers.Dense(32, activation="relu"), layers.Dense(16)])
    apart = layers.Subtract()([body(first), body(second)])
    return _after([first, second], layers.Dense(16, activation="relu")(apart))


@_network
def shared() -> keras.Model:
    inputs = _image()
    again = layers.Conv2D(16, 3, padding="same", activation="relu")
    tensor = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    return _after(inputs, again(layers.MaxPooling2D()(again(tensor))))


@_network
def operations() -> keras.Model:
    inputs = _image()
    tensor = layers.Conv2D(16, 3, strides=2, padding="same")(inputs)
    tensor = keras.ops.relu(tensor * 0.5 + 0.1)
    other = layers.Conv2D(16, 3, padding="same", activation="relu")(tensor)
    return keras.Model(inputs, _classes(keras.ops.mean(tensor + other, axis=(1, 2))))
