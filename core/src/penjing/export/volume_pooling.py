"""Pooling of volumes, for which LiteRT has no operator: first in the planes, then along the depth.

The largest value of a box is the largest of its planes' largest. A mean of means is the mean of all where each plane of
the box has as many values, as it has: where 'same' padding cuts a box, it cuts every plane alike.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras

layers = keras.layers
_OPERATIONS = {layers.MaxPooling3D: keras.ops.max_pool, layers.AveragePooling3D: keras.ops.average_pool}


@contextlib.contextmanager
def pooling_in_planes(model: Any) -> Iterator[None]:
    """While a model is traced, its layers that pool volumes compute in two steps, each an operator that LiteRT has."""
    changed = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if type(layer) in _OPERATIONS and layer.data_format == "channels_last"
    ]
    try:
        for layer in changed:
            layer.call = functools.partial(_pool, layer)
        yield
    finally:
        for layer in changed:
            del layer.call


def _pool(layer: Any, volumes: Any) -> Any:
    """Of shape (batch, depth, height, width, channels)."""
    pool = functools.partial(_OPERATIONS[type(layer)], padding=layer.padding, data_format="channels_last")
    size, strides = layer.pool_size, layer.strides
    _, depth, height, width, channels = volumes.shape
    planes = pool(keras.ops.reshape(volumes, (-1, height, width, channels)), size[1:], strides[1:])
    height, width = planes.shape[1:3]
    columns = keras.ops.reshape(planes, (-1, depth, height * width, channels))
    pooled = pool(columns, (size[0], 1), (strides[0], 1))
    return keras.ops.reshape(pooled, (-1, pooled.shape[1], height, width, channels))
