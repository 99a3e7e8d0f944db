"""The small model and its teacher: residual networks that end in the mean over a feature map and one dense layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from penjing.contract import ModelRequest
from penjing.errors import RecipeError
from penjing.options import with_defaults
from penjing_medical_imaging import DOMAIN

MODEL_DEFAULTS: dict[str, Any] = {"stem_filters": 16, "filters": 56, "blocks": 2, "dropout": 0.1}
TEACHER_DEFAULTS: dict[str, Any] = {"stem_filters": 32, "filters": 128, "blocks": 2, "dropout": 0.3}
RANGES = {"stem_filters": (1, 512), "filters": (4, 2_048), "blocks": (1, 16), "dropout": (0, 0.9)}
MOST_PARAMETERS = 30_000
"""Of the small model."""
BATCH_NORM_MOMENTUM = 0.9
"""Keras' 0.99 needs thousands of updates: after the few hundred of a small set the moving variance still holds its
start value, and the trained model fails at inference."""
SMALLEST_MAP = 7
"""Sides of the last feature map are at least this: it is what a heat map is drawn from."""


def build_model(request: ModelRequest) -> keras.Model:
    """A convolution, then blocks of depthwise and pointwise convolution with shortcuts.

    The map is halved until its side is below twice `SMALLEST_MAP`; each half doubles the channels up to `filters`; the
    last size but one has one block more, the last `blocks` more. Because the mean over the map goes straight into the
    last layer, a class's activation map (Zhou et al. 2016) can be read from the finished file. Sources of the parts:
    Howard et al. 2017, "MobileNets"; He et al. 2016, "Deep residual learning for image recognition".

    Options of `[model]`: stem_filters, filters, blocks, dropout.

    Returns:
        Inputs (size, size, channels); outputs one probability for two classes, softmax for several, one probability a
        label where an image may have several.

    Raises:
        RecipeError: The options ask for more than `MOST_PARAMETERS`.
    """
    options = with_defaults(DOMAIN, "model", request.options, MODEL_DEFAULTS, RANGES)
    model = _network(request, options, "small", _separable)
    if model.count_params() > MOST_PARAMETERS:
        raise RecipeError(
            f"a model of {model.count_params():,} parameters is no small one",
            where="[model]",
            why=f"the limit is {MOST_PARAMETERS:,}",
            hint="fewer filters or blocks",
        )
    return model


def build_teacher(request: ModelRequest) -> keras.Model:
    """A network of plain convolutions, wider, with the same head. Options of `[teacher]` as those of `[model]`."""
    options = with_defaults(DOMAIN, "teacher", request.options, TEACHER_DEFAULTS, RANGES)
    return _network(request, options, "teacher", _plain)


def _network(request: ModelRequest, options: dict[str, Any], name: str, block: Any) -> keras.Model:
    layers = keras.layers
    inputs = keras.Input(request.splits.train.x.shape[1:], name="image")
    width, size = options["stem_filters"], int(inputs.shape[1])
    x = inputs
    stride = 2 if size > 8 * SMALLEST_MAP else 1
    x = _activated(layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False, name="stem")(x), "stem")
    size = -(-size // stride)
    number = 0
    while size >= 2 * SMALLEST_MAP:
        width, size, number = min(2 * width, options["filters"]), -(-size // 2), number + 1
        x = block(x, width, stride=2, name=f"block{number}")
        if 2 * SMALLEST_MAP <= size < 4 * SMALLEST_MAP:
            number += 1
            x = block(x, width, stride=1, name=f"block{number}")
    for _ in range(options["blocks"]):
        number += 1
        x = block(x, options["filters"], stride=1, name=f"block{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if options["dropout"]:
        x = layers.Dropout(options["dropout"], name="dropout")(x)
    return keras.Model(inputs, _head(request, x), name=name)


def _head(request: ModelRequest, x: Any) -> Any:
    splits = request.splits
    y = np.asarray(splits.train.y)
    if splits.task == "binary":
        return keras.layers.Dense(1, activation="sigmoid", name="finding")(x)
    if splits.task == "multilabel":
        share = np.clip(y.mean(axis=0), 1e-4, 1 - 1e-4)
        # Starts at the labels' shares, so that the first updates are not spent on learning that findings are rare.
        start = keras.initializers.Constant(np.log(share / (1 - share)).astype(np.float32))
        return keras.layers.Dense(y.shape[1], activation="sigmoid", bias_initializer=start, name="finding")(x)
    return keras.layers.Dense(len(splits.labels), activation="softmax", name="finding")(x)


def _separable(x: Any, width: int, *, stride: int, name: str) -> Any:
    layers = keras.layers
    shortcut = x if stride == 1 and x.shape[-1] == width else None
    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _activated(x, f"{name}_depthwise")
    x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_pointwise")(x)
    return _joined(x, shortcut, f"{name}_pointwise", name)


def _plain(x: Any, width: int, *, stride: int, name: str) -> Any:
    layers = keras.layers
    shortcut = x if stride == 1 and x.shape[-1] == width else None
    x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return _joined(x, shortcut, f"{name}_conv", name)


def _joined(x: Any, shortcut: Any, inner: str, name: str) -> Any:
    if shortcut is None:
        return _activated(x, inner)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{inner}_norm")(x)
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _activated(x: Any, name: str) -> Any:
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
