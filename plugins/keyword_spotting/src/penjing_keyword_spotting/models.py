"""The small model and its teacher."""

from __future__ import annotations

from typing import Any

import keras

from penjing.contract import ModelRequest
from penjing_keyword_spotting.options import with_defaults

MODEL_DEFAULTS: dict[str, Any] = {"filters": 56, "blocks": 4, "dropout": 0.1, "stride": 2}
TEACHER_DEFAULTS: dict[str, Any] = {"filters": 96, "blocks": 6, "dropout": 0.2}

BATCH_NORM_MOMENTUM = 0.9
"""Keras' 0.99 needs thousands of updates: after the few hundred of a small collection the moving variance still holds
its start value, and the trained model fails at inference."""


def build_model(request: ModelRequest) -> keras.Model:
    """DS-CNN: a convolution over time and bands, then blocks of depthwise and pointwise convolution.

    Source: Zhang et al. 2017, "Hello Edge: keyword spotting on microcontrollers".

    Options of `[model]`: filters, blocks, dropout, stride (of the first convolution).

    Returns:
        Inputs (frames, columns, 1), outputs softmax over the labels.
    """
    options = with_defaults("model", request.options, MODEL_DEFAULTS)
    layers = keras.layers
    inputs = keras.Input(request.splits.train.x.shape[1:], name="features")
    x = _normalised(
        layers.Conv2D(
            options["filters"],
            (10, 4),
            strides=options["stride"],
            padding="same",
            use_bias=False,
            name="stem",
        )(inputs),
        "stem",
    )
    for number in range(1, options["blocks"] + 1):
        name = f"block{number}"
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = _normalised(x, f"{name}_depthwise")
        x = layers.Conv2D(options["filters"], 1, use_bias=False, name=f"{name}_pointwise")(x)
        x = _normalised(x, f"{name}_pointwise")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if options["dropout"]:
        x = layers.Dropout(options["dropout"], name="dropout")(x)
    outputs = layers.Dense(len(request.splits.labels), activation="softmax", name="words")(x)
    return keras.Model(inputs, outputs, name="ds_cnn")


def build_teacher(request: ModelRequest) -> keras.Model:
    """A wider and deeper residual network of the same blocks.

    Options of `[teacher]`: filters, blocks, dropout.
    """
    options = with_defaults("teacher", request.options, TEACHER_DEFAULTS)
    layers = keras.layers
    filters = options["filters"]
    inputs = keras.Input(request.splits.train.x.shape[1:], name="features")
    x = layers.Conv2D(filters, (5, 5), strides=2, padding="same", use_bias=False, name="stem")(inputs)
    x = _normalised(x, "stem")
    for number in range(1, options["blocks"] + 1):
        name = f"block{number}"
        shortcut = x
        x = layers.DepthwiseConv2D((5, 3), padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = _normalised(x, f"{name}_depthwise")
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise")(x)
        x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_pointwise_norm")(x)
        x = layers.Add(name=f"{name}_add")([shortcut, x])
        x = layers.ReLU(name=f"{name}_relu")(x)
        if number == options["blocks"] // 2:
            x = layers.AveragePooling2D(2, padding="same", name="downsample")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(options["dropout"], name="dropout")(x)
    outputs = layers.Dense(len(request.splits.labels), activation="softmax", name="words")(x)
    return keras.Model(inputs, outputs, name="teacher")


def _normalised(x: Any, name: str) -> Any:
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
