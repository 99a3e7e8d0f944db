"""The small model and its teacher: residual networks of depthwise and pointwise convolutions."""

from __future__ import annotations

from typing import Any

import keras

from penjing.contract import ModelRequest
from penjing.options import with_defaults
from penjing_keyword_spotting import DOMAIN

MODEL_DEFAULTS: dict[str, Any] = {"stem_filters": 32, "filters": 60, "blocks": 5, "dropout": 0.1}
TEACHER_DEFAULTS: dict[str, Any] = {"stem_filters": 64, "filters": 128, "blocks": 8, "dropout": 0.2}
RANGES = {"stem_filters": (1, 4_096), "filters": (1, 4_096), "blocks": (1, 64), "dropout": (0, 0.9)}

BATCH_NORM_MOMENTUM = 0.9
"""Keras' 0.99 needs thousands of updates: after the few hundred of a small collection the moving variance still holds
its start value, and the trained model fails at inference."""


def build_model(request: ModelRequest) -> keras.Model:
    """DS-CNN with shortcuts: a convolution over time and bands, then blocks of depthwise and pointwise convolution.

    The first block keeps the stem's width, the second halves time and bands and takes the full width; the others add to
    their input. Sources: Zhang et al. 2017, "Hello Edge: keyword spotting on microcontrollers"; He et al. 2016, "Deep
    residual learning for image recognition".

    Options of `[model]`: stem_filters, filters, blocks, dropout.

    Returns:
        Inputs (frames, columns, 1), outputs softmax over the labels.
    """
    return _network(request, with_defaults(DOMAIN, "model", request.options, MODEL_DEFAULTS, RANGES), "ds_cnn")


def build_teacher(request: ModelRequest) -> keras.Model:
    """The same network, wider and deeper. Options of `[teacher]` as those of `[model]`."""
    return _network(request, with_defaults(DOMAIN, "teacher", request.options, TEACHER_DEFAULTS, RANGES), "teacher")


def _network(request: ModelRequest, options: dict[str, Any], name: str) -> keras.Model:
    layers = keras.layers
    inputs = keras.Input(request.splits.train.x.shape[1:], name="features")
    x = layers.Conv2D(options["stem_filters"], (10, 4), strides=2, padding="same", use_bias=False, name="stem")(inputs)
    x = _activated(x, "stem")
    for number in range(1, options["blocks"] + 1):
        width = options["stem_filters"] if number == 1 else options["filters"]
        x = _block(x, width, stride=2 if number == 2 else 1, name=f"block{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if options["dropout"]:
        x = layers.Dropout(options["dropout"], name="dropout")(x)
    outputs = layers.Dense(len(request.splits.labels), activation="softmax", name="words")(x)
    return keras.Model(inputs, outputs, name=name)


def _block(x: Any, width: int, *, stride: int, name: str) -> Any:
    layers = keras.layers
    shortcut = x if stride == 1 and x.shape[-1] == width else None
    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _activated(x, f"{name}_depthwise")
    x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_pointwise")(x)
    if shortcut is None:
        return _activated(x, f"{name}_pointwise")
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_pointwise_norm")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def _activated(x: Any, name: str) -> Any:
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
