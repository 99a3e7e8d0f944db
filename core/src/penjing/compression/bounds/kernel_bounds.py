"""Bounds of weighted sums: convolutions of all kinds, Dense, and the normalizations, which are affine in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds.intervals import Interval, unit_roundoff, weighted_sum

layers = keras.layers

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)

ACTIVATED = (layers.Dense, *CONVOLUTIONS, *TRANSPOSED, *DEPTHWISE, *SEPARABLE)
"""Layers whose sum goes through an `activation`."""
PLAIN = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.UnitNormalization,
    layers.Normalization,
    layers.Rescaling,
)
"""Layers without one."""


@dataclass(frozen=True, kw_only=True)
class ChannelWeights:
    """A kernel, summed over its taps. `positive` and `negative` as in `intervals.weighted_sum`."""

    positive: np.ndarray
    negative: np.ndarray
    terms: np.ndarray

    @property
    def sums(self) -> np.ndarray:
        """What a constant one in each input adds to each output, shape (in, out) or (out,)."""
        return self.positive + self.negative


def _summed(taps: np.ndarray) -> ChannelWeights:
    """Of an array (taps, in, out) or (taps, out)."""
    positive, negative = np.maximum(taps, 0).sum(axis=0), np.minimum(taps, 0).sum(axis=0)
    axes = tuple(range(taps.ndim - 1))
    return ChannelWeights(positive=positive, negative=negative, terms=np.count_nonzero(taps, axis=axes))


def mixing_weights(layer: Any, channels: int) -> ChannelWeights:
    """The kernel of Dense, Conv or ConvTranspose from input channels to outputs, groups written out.

    Args:
        channels: Number of input channels.
    """
    kernel = np.asarray(layer.kernel, float)
    if isinstance(layer, TRANSPOSED):
        kernel = np.swapaxes(kernel, -1, -2)
    weights = _summed(kernel.reshape(-1, *kernel.shape[-2:]))
    groups = getattr(layer, "groups", 1)
    if groups == 1:
        return weights
    return ChannelWeights(
        positive=_by_groups(weights.positive, channels, groups),
        negative=_by_groups(weights.negative, channels, groups),
        terms=weights.terms,
    )


def _by_groups(weights: np.ndarray, channels: int, groups: int) -> np.ndarray:
    """Weights (in / groups, out) written out as (in, out): each group of outputs reads its own inputs."""
    whole = np.zeros((channels, weights.shape[1]))
    share_in, share_out = channels // groups, weights.shape[1] // groups
    for group in range(groups):
        columns = slice(group * share_out, (group + 1) * share_out)
        whole[group * share_in : (group + 1) * share_in, columns] = weights[:, columns]
    return whole


def depthwise_weights(kernel: Any) -> ChannelWeights:
    """A depthwise kernel (..., in, multiplier); each of the in * multiplier outputs reads one input."""
    values = np.asarray(kernel, float)
    return _summed(values.reshape(-1, values.shape[-2] * values.shape[-1]))


def pads(layer: Any, shape: Sequence[int | None]) -> bool:
    """Whether a convolution may read padding zeros in place of its input.

    Args:
        shape: Of the input, batch first.
    """
    if isinstance(layer, layers.Dense) or layer.padding == "valid":
        return False
    kernel, strides, dilations = (
        _per_axis(getattr(layer, name), len(shape) - 2) for name in ("kernel_size", "strides", "dilation_rate")
    )
    if layer.padding == "causal":
        return any(size > 1 for size in kernel)
    for size, stride, dilation, length in zip(kernel, strides, dilations, shape[1:-1], strict=True):
        window = (size - 1) * dilation + 1
        if length is None and window > 1:
            return True
        if length is not None and (-(-length // stride) - 1) * stride + window > length:
            return True
    return False


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if isinstance(value, (tuple, list)) else (int(value),) * axes


def bias_of(layer: Any) -> Any:
    """The bias in float64, 0 where the layer has none."""
    return np.asarray(layer.bias, float) if layer.use_bias else 0.0


def sum_bounds(layer: Any, x: Interval, shape: Sequence[int | None]) -> Interval:
    """Bounds of a layer's result before its activation.

    Args:
        x: Bounds of the input.
        shape: Of the input, batch first.
    """
    unit = unit_roundoff(str(layer.compute_dtype))
    kind = type(layer)
    channels = int(shape[-1] or 1)
    if kind is layers.Dense or kind in CONVOLUTIONS:
        seen = x.spread(channels).with_zero() if pads(layer, shape) else x.spread(channels)
        return _mixed(layer, seen, unit)
    if kind in TRANSPOSED:
        # Each output meets some of the taps only: any product may be missing.
        return _mixed(layer, x.spread(channels).with_zero(), unit)
    if kind in DEPTHWISE:
        return _depthwise(layer, layer.kernel, bias_of(layer), x.spread(channels), shape, unit)
    if kind in SEPARABLE:
        inner = _depthwise(layer, layer.depthwise_kernel, 0.0, x.spread(channels), shape, unit)
        pointwise = np.asarray(layer.pointwise_kernel, float)
        weights = _summed(pointwise.reshape(1, *pointwise.shape[-2:]))
        return weighted_sum(inner, weights.positive, weights.negative, weights.terms, bias_of(layer), unit)
    return _NORMALIZED[kind](layer, x, shape, unit)


def _mixed(layer: Any, x: Interval, unit: float) -> Interval:
    weights = mixing_weights(layer, x.channels)
    return weighted_sum(x, weights.positive, weights.negative, weights.terms, bias_of(layer), unit)


def _depthwise(layer: Any, kernel: Any, bias: Any, x: Interval, shape: Sequence[int | None], unit: float) -> Interval:
    weights = depthwise_weights(kernel)
    if pads(layer, shape):
        x = x.with_zero()
    x = x.take(np.repeat(np.arange(x.channels), int(kernel.shape[-1])))
    return weighted_sum(x, weights.positive, weights.negative, weights.terms, bias, unit)


def affine(x: Interval, scale: Any, offset: Any, size: Any, unit: float, rule: str) -> Interval:
    """Bounds of scale x + offset per channel.

    Args:
        size: The largest magnitude that the offset is made of.
        rule: What a scale of zero is called.
    """
    channels = max(x.channels, np.size(scale), np.size(offset))
    x = x.spread(channels)
    scale, offset, size = (np.broadcast_to(np.asarray(v, float), channels) for v in (scale, offset, size))
    read = scale != 0
    result = weighted_sum(x, np.maximum(scale, 0), np.minimum(scale, 0), 4 * read, offset, unit)
    error = np.where(read, 16 * unit * size, 0.0)
    return Interval(
        low=result.low - error, high=result.high + error, value=result.value, rule=np.where(read, result.rule, rule)
    )


def batch_normalization_terms(layer: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale s, offset t and the offset's largest part of y = s x + t, each (channels,), in float64."""
    mean, variance = np.asarray(layer.moving_mean, float), np.asarray(layer.moving_variance, float)
    gamma = np.asarray(layer.gamma, float) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta, float) if layer.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale, np.abs(beta) + np.abs(mean * scale)


def _batch_normalization(layer: Any, x: Interval, shape: Sequence[int | None], unit: float) -> Interval:
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    if axis % len(shape) != len(shape) - 1 or getattr(layer, "renorm", False):
        return Interval.unknown(x.channels)
    scale, offset, size = batch_normalization_terms(layer)
    return affine(x, scale, offset, size, unit, "gamma zero")


def _layer_normalization(layer: Any, x: Interval, shape: Sequence[int | None], unit: float) -> Interval:
    """Of n values with mean 0 and mean square 1 none is further than sqrt(n) from zero."""
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if [axis % len(shape) for axis in axes] != [len(shape) - 1] or shape[-1] is None or layer.rms_scaling:
        return Interval.unknown(x.channels)
    most = np.sqrt(float(shape[-1])) * (1 + 64 * shape[-1] * unit)
    gamma = np.asarray(layer.gamma, float) if layer.gamma is not None else 1.0
    beta = np.asarray(layer.beta, float) if layer.beta is not None else 0.0
    normalized = Interval.between(-most, most, int(shape[-1]))
    return affine(normalized, gamma, beta, np.abs(beta), unit, "gamma zero")


def _unit_normalization(layer: Any, x: Interval, shape: Sequence[int | None], unit: float) -> Interval:
    return Interval.between(-1 - 1e-3, 1 + 1e-3, x.channels)


def _normalization(layer: Any, x: Interval, shape: Sequence[int | None], unit: float) -> Interval:
    mean, variance = np.asarray(layer.mean, float).reshape(-1), np.asarray(layer.variance, float).reshape(-1)
    if mean.size > 1 and np.shape(layer.mean)[-1] != shape[-1]:
        return Interval.unknown(x.channels)  # statistics of another axis
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        return affine(x, deviation, mean, np.abs(mean), unit, "scale zero")
    return affine(x, 1 / deviation, -mean / deviation, np.abs(mean / deviation), unit, "scale zero")


def _rescaling(layer: Any, x: Interval, shape: Sequence[int | None], unit: float) -> Interval:
    scale, offset = np.asarray(layer.scale, float), np.asarray(layer.offset, float)
    if max(scale.ndim, offset.ndim) > 1 or not {scale.size, offset.size} <= {1, int(shape[-1] or 1)}:
        return Interval.unknown(x.channels)
    return affine(x, scale.reshape(-1), offset.reshape(-1), np.abs(offset.reshape(-1)), unit, "scale zero")


_NORMALIZED = {
    layers.BatchNormalization: _batch_normalization,
    layers.LayerNormalization: _layer_normalization,
    layers.UnitNormalization: _unit_normalization,
    layers.Normalization: _normalization,
    layers.Rescaling: _rescaling,
}
