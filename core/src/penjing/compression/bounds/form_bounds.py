"""Bounds behind layers that move values or drop some: pooling, padding, reshaping, what does nothing at inference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds.calls import Call, Value
from penjing.compression.bounds.intervals import Interval, side_by_side
from penjing.compression.bounds.rules import Rule, any_channel, kinds, unit_of

layers = keras.layers


def _same(call: Call, inputs: Sequence[Interval]) -> Interval:
    return inputs[0]


def _with_zero(call: Call, inputs: Sequence[Interval]) -> Interval:
    return inputs[0].with_zero()


def _zero_padding(call: Call, inputs: Sequence[Interval]) -> Interval:
    padded = np.any(np.asarray(call.operation.padding) != 0)
    return inputs[0].with_zero() if padded else inputs[0]


def _mean(call: Call, inputs: Sequence[Interval]) -> Interval:
    """A mean lies between its terms; they are summed with as many roundings as there are terms."""
    shape = call.inputs[0].shape[1:-1]
    if None in shape:
        # As many terms as float32 can count; beyond that the sum itself would stand still.
        return inputs[0] if not np.isfinite(inputs[0].low).any() else inputs[0].rounded(unit_of(call), 2**20)
    return inputs[0].rounded(unit_of(call), math.prod(int(size or 1) for size in shape) + 2)


def _up_sampling(call: Call, inputs: Sequence[Interval]) -> Interval:
    interpolation = getattr(call.operation, "interpolation", "nearest")
    if interpolation == "nearest":
        return inputs[0]
    if interpolation == "bilinear":
        x = inputs[0].rounded(unit_of(call), 8)
        size = np.maximum(np.abs(x.low), np.abs(x.high))
        # Interpolated as a + (b - a) t: both ends' sizes count, whichever is nearer.
        share = np.where(np.isfinite(size), 32 * unit_of(call) * size, 0.0)
        return x.widened(share, share)
    return Interval.unknown(inputs[0].channels)  # bicubic and Lanczos overshoot


def _reshaped(call: Call, inputs: Sequence[Interval]) -> Interval:
    """Flatten and Reshape: positions become channels, or channels positions."""
    shape, target = _positions(call.inputs[0]), _positions(call.outputs[0])
    x = inputs[0].spread(call.inputs[0].channels)
    if not shape or not target:
        return any_channel(x)
    return _by_last_axis(x, np.broadcast_to(np.arange(x.channels), shape).reshape(target))


def _permuted(call: Call, inputs: Sequence[Interval]) -> Interval:
    shape = _positions(call.inputs[0])
    x = inputs[0].spread(call.inputs[0].channels)
    dims = [axis - 1 for axis in call.operation.dims]
    if dims[-1] == len(dims) - 1:
        return x
    if not shape:
        return any_channel(x)
    return _by_last_axis(x, np.broadcast_to(np.arange(x.channels), shape).transpose(dims))


def _positions(value: Value) -> list[int]:
    """The shape without the batch; empty where a length is not known."""
    shape = [size for size in value.shape[1:] if size is not None]
    return shape if len(shape) == len(value.shape) - 1 else []


def _by_last_axis(x: Interval, indices: np.ndarray) -> Interval:
    """Channels of a new last axis, each joined of the old channels that it is made of."""
    flat = indices.reshape(-1, indices.shape[-1])
    if (flat == flat[0]).all():
        return x.take(flat[0])
    rows = [np.unique(flat[:, column]) for column in range(flat.shape[1])]
    return side_by_side([any_channel(x.take(row)) for row in rows])


RULES: dict[Any, Rule] = {
    **dict.fromkeys(
        [
            layers.Identity,
            layers.Dropout,
            layers.GaussianDropout,
            layers.GaussianNoise,
            layers.AlphaDropout,
            layers.ActivityRegularization,
            layers.RepeatVector,
            *kinds("SpatialDropout"),
            *kinds("MaxPooling"),
            *kinds("GlobalMaxPooling"),
            *kinds("AdaptiveMaxPooling"),
            *kinds("Cropping"),
        ],
        _same,
    ),
    **dict.fromkeys(
        [*kinds("AveragePooling"), *kinds("GlobalAveragePooling"), *kinds("AdaptiveAveragePooling")], _mean
    ),
    **dict.fromkeys(kinds("ZeroPadding"), _zero_padding),
    **dict.fromkeys(kinds("UpSampling"), _up_sampling),
    layers.Masking: _with_zero,
    layers.Flatten: _reshaped,
    layers.Reshape: _reshaped,
    layers.Permute: _permuted,
}
