"""The two networks, as MLPerf Tiny publishes them, for any Keras: Keras 3 here, tf_keras in a peer's environment.

Source: Banbury et al. 2021, "MLPerf Tiny benchmark". Every layer has a name, by which weights travel between libraries
(`weights_exchange`). `widths` gives single convolutions fewer filters: a network that another tool has pruned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Widths = Mapping[str, int]
"""Filters by the name of the convolution; those that are not named keep what the publication gives them."""


def ds_cnn(keras: Any, widths: Widths | None = None) -> Any:
    """Depthwise-separable network for keyword spotting: (49, 10, 1) MFCC -> 12 probabilities, 24,908 parameters.

    The last row of 25 is left out by the pooling, as in the publication.
    """
    widths = widths or {}
    layers = keras.layers
    inputs = keras.Input((49, 10, 1), name="features")
    x = layers.Conv2D(widths.get("stem", 64), (10, 4), strides=2, padding="same", name="stem")(inputs)
    x = _activated(layers, x, "stem")
    x = layers.Dropout(0.2, name="stem_dropout")(x)
    for number in range(1, 5):
        x = layers.DepthwiseConv2D(3, padding="same", name=f"depthwise{number}")(x)
        x = _activated(layers, x, f"depthwise{number}")
        x = layers.Conv2D(widths.get(f"pointwise{number}", 64), 1, name=f"pointwise{number}")(x)
        x = _activated(layers, x, f"pointwise{number}")
    x = layers.Dropout(0.4, name="dropout")(x)
    x = layers.AveragePooling2D((24, 5), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    outputs = layers.Dense(12, activation="softmax", name="classes")(x)
    return keras.Model(inputs, outputs, name="ds_cnn")


def resnet8(keras: Any, widths: Widths | None = None) -> Any:
    """Residual network for images: (32, 32, 3) in [0, 1] -> 10 probabilities, 78,666 parameters."""
    widths = widths or {}
    layers = keras.layers

    def convolution(x: Any, name: str, filters: int, size: int, stride: int) -> Any:
        return layers.Conv2D(
            widths.get(name, filters),
            size,
            strides=stride,
            padding="same",
            kernel_initializer="he_normal",
            name=name,
        )(x)

    inputs = keras.Input((32, 32, 3), name="image")
    x = _activated(layers, convolution(inputs, "stem", 16, 3, 1), "stem")
    for number, (filters, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
        y = _activated(layers, convolution(x, f"first{number}", filters, 3, stride), f"first{number}")
        y = convolution(y, f"second{number}", filters, 3, 1)
        y = layers.BatchNormalization(name=f"second{number}_norm")(y)
        if stride > 1:
            x = convolution(x, f"shortcut{number}", filters, 1, stride)
        x = layers.ReLU(name=f"add{number}_relu")(layers.Add(name=f"add{number}")([x, y]))
    x = layers.AveragePooling2D(8, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    outputs = layers.Dense(10, activation="softmax", name="classes")(x)
    return keras.Model(inputs, outputs, name="resnet8")


ARCHITECTURES = {"ds-cnn": ds_cnn, "resnet8": resnet8}


def _activated(layers: Any, x: Any, name: str) -> Any:
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))
