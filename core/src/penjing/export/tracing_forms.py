"""Layers that are traced in another form than Keras', with the same results: one that LiteRT has operators for.

- **Pooling of volumes** has no operator: first in the planes, then along the depth. The largest value of a box is the
  largest of its planes' largest. A mean of means is the mean of all where each plane of the box has as many values, as
  it has: where 'same' padding cuts a box, it cuts every plane alike.
- **TimeDistributed** is written by Keras as its layer once a step. Examples do not depend on each other, so the steps
  can be examples: the layer once, on all of them.
- **Recurrent cells with dropout** are made by Keras to draw their masks at inference, too, where nothing reads them.
  The drawing moves the state of a random generator, for which LiteRT has no operator.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras

layers = keras.layers
_MASKS = ("get_dropout_mask", "get_recurrent_dropout_mask")
_POOLS = {layers.MaxPooling3D: keras.ops.max_pool, layers.AveragePooling3D: keras.ops.average_pool}


@contextlib.contextmanager
def easier_forms(model: Any) -> Iterator[None]:
    """While a model is traced, these layers of it compute in the other form."""
    changed = [
        (layer, name, functools.partial(method, layer))
        for layer in model._flatten_layers(include_self=False)
        for name, method in _forms(layer).items()
    ]
    try:
        for layer, name, method in changed:
            setattr(layer, name, method)
        yield
    finally:
        for layer, name, _ in changed:
            delattr(layer, name)


def _forms(layer: Any) -> dict[str, Callable[..., Any]]:
    """Methods that take the place of the layer's own, by name."""
    if type(layer) in _POOLS and layer.data_format == "channels_last":
        return {"call": _pool_in_planes}
    if type(layer) is layers.TimeDistributed:
        return {"call": _steps_as_examples}
    return {name: _no_mask for name in _MASKS if hasattr(layer, name)}


def _no_mask(cell: Any, step: Any) -> None:
    """No dropout: what `DropoutRNNCell` answers where the rate is 0."""


def _pool_in_planes(layer: Any, volumes: Any) -> Any:
    """Of shape (batch, depth, height, width, channels)."""
    pool = functools.partial(_POOLS[type(layer)], padding=layer.padding, data_format="channels_last")
    size, strides = layer.pool_size, layer.strides
    _, depth, height, width, channels = volumes.shape
    planes = pool(keras.ops.reshape(volumes, (-1, height, width, channels)), size[1:], strides[1:])
    height, width = planes.shape[1:3]
    columns = keras.ops.reshape(planes, (-1, depth, height * width, channels))
    pooled = pool(columns, (size[0], 1), (strides[0], 1))
    return keras.ops.reshape(pooled, (-1, pooled.shape[1], height, width, channels))


def _steps_as_examples(layer: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    """Of shape (batch, steps, ...)."""
    inner, shape = layer.layer, inputs.shape
    if mask is not None or None in shape:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    kwargs = {"training": training} if inner._call_has_training_arg else {}
    outputs = inner.call(keras.ops.reshape(inputs, (shape[0] * shape[1], *shape[2:])), **kwargs)
    return keras.ops.reshape(outputs, (*shape[:2], *outputs.shape[1:]))
