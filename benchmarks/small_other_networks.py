"""Small networks of Dense layers, and of nested, shared and loose operations."""

from __future__ import annotations

import keras
from keras import layers
from small_network_parts import classes, closed, image, network


@network
def mlp() -> keras.Model:
    inputs = keras.Input((20,))
    return closed(inputs, layers.Dense(48, activation="relu")(layers.Dense(64, activation="relu")(inputs)))


@network
def mlp_tiny() -> keras.Model:
    inputs = keras.Input((8,))
    return closed(inputs, layers.Dense(8, activation="relu")(inputs))


@network
def mlp_normalized() -> keras.Model:
    inputs = tensor = keras.Input((20,))
    for units in (64, 32):
        tensor = layers.Dropout(0.1)(layers.ReLU()(layers.BatchNormalization()(layers.Dense(units)(tensor))))
    return closed(inputs, tensor)


@network
def mlp_activations() -> keras.Model:
    inputs = tensor = keras.Input((20,))
    for activation in ("selu", "elu", "silu", "gelu", "tanh", "leaky_relu", "softplus", "hard_silu"):
        tensor = layers.Dense(24, activation=activation)(tensor)
    return closed(inputs, layers.PReLU()(layers.Dense(24)(tensor)))


@network
def mlp_residual() -> keras.Model:
    inputs = keras.Input((20,))
    tensor = layers.Dense(32, activation="relu")(inputs)
    for _ in range(3):
        tensor = layers.Add()([tensor, layers.Dense(32)(layers.Dense(48, activation="relu")(tensor))])
    return closed(inputs, tensor)


@network
def mlp_binary() -> keras.Model:
    inputs = keras.Input((12,))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dense(40, activation="relu")(inputs)))


@network
def mlp_regression() -> keras.Model:
    inputs = tensor = keras.Input((12,))
    tensor = layers.Normalization(mean=0.1, variance=1.5)(tensor)
    for units in (48, 48):
        tensor = layers.Dense(units, activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(1)(tensor))


@network
def autoencoder() -> keras.Model:
    inputs = tensor = keras.Input((40,))
    for units in (32, 8, 32):
        tensor = layers.Dense(units, activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(40)(tensor))


@network
def two_inputs() -> keras.Model:
    first, second = keras.Input((12,), name="first"), keras.Input((16, 16, 1), name="second")
    image = layers.Flatten()(layers.MaxPooling2D()(layers.Conv2D(8, 3, activation="relu")(second)))
    both = layers.Concatenate()([layers.Dense(16, activation="relu")(first), image])
    return closed([first, second], layers.Dense(32, activation="relu")(both))


@network
def embedding() -> keras.Model:
    inputs = keras.Input((10,), dtype="int32")
    tensor = layers.GlobalAveragePooling1D()(layers.Embedding(200, 16)(inputs))
    return closed(inputs, layers.Dense(32, activation="relu")(tensor))


@network
def tabular() -> keras.Model:
    numbers, category = keras.Input((8,), name="numbers"), keras.Input((1,), dtype="int32", name="category")
    row = layers.Flatten()(layers.Embedding(50, 6)(category))
    tensor = layers.Concatenate()([numbers, row])
    return closed([numbers, category], layers.Dense(32, activation="relu")(layers.Dense(48, activation="relu")(tensor)))


@network
def nested() -> keras.Model:
    inside = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(12, 3, strides=2, activation="relu"), layers.Conv2D(16, 3)]
    )
    inputs = image()
    return closed(inputs, layers.ReLU()(inside(inputs)))


@network
def twins() -> keras.Model:
    first, second = keras.Input((16,), name="first"), keras.Input((16,), name="second")
    body = keras.Sequential([keras.Input((16,)), layers.Dense(32, activation="relu"), layers.Dense(16)])
    apart = layers.Subtract()([body(first), body(second)])
    return closed([first, second], layers.Dense(16, activation="relu")(apart))


@network
def shared() -> keras.Model:
    inputs = image()
    again = layers.Conv2D(16, 3, padding="same", activation="relu")
    tensor = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    return closed(inputs, again(layers.MaxPooling2D()(again(tensor))))


@network
def operations() -> keras.Model:
    inputs = image()
    tensor = layers.Conv2D(16, 3, strides=2, padding="same")(inputs)
    tensor = keras.ops.relu(tensor * 0.5 + 0.1)
    other = layers.Conv2D(16, 3, padding="same", activation="relu")(tensor)
    return keras.Model(inputs, classes(keras.ops.mean(tensor + other, axis=(1, 2))))
