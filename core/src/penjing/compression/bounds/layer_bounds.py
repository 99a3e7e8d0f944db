"""Bounds of what each kind of layer computes, from the bounds of what it reads.

Rules are looked up by exact class: a subclass may compute something else. A layer without a rule is no error, its
result is unbounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds import kernel_bounds
from penjing.compression.bounds.calls import Call, Value
from penjing.compression.bounds.curves import CURVES, GELU_TANH, RANGES, activated, elu, leaky, prelu, relu
from penjing.compression.bounds.intervals import (
    Interval,
    joined,
    largest_of,
    negated,
    product_of,
    scaled,
    side_by_side,
    smallest_of,
    total_of,
    unit_roundoff,
)

Rule = Callable[[Call, Sequence[Interval]], Interval]
layers = keras.layers


def call_bounds(call: Call, inputs: Sequence[Interval]) -> list[Interval]:
    """Bounds of every output of a call."""
    rule = _rule(call.operation)
    outputs = [Interval.unknown(value.channels) for value in call.outputs]
    if rule is None or call.training or "float" not in str(call.outputs[0].tensor.dtype):
        return outputs  # integers may wrap around
    dtype = dtype_of(call)
    cast = [
        x if str(value.tensor.dtype) == dtype else x.rounded(unit_roundoff(dtype), 1)
        for x, value in zip(inputs, call.inputs, strict=True)
    ]
    known = rule(call, cast)
    channels = call.outputs[0].channels
    if known.channels in (1, channels):
        outputs[0] = known.spread(channels)
    elif channels == 1:
        outputs[0] = _any_channel(known)  # the last axis has no known length
    return outputs


def _rule(operation: Any) -> Rule | None:
    if getattr(operation, "quantization_mode", None) is not None or getattr(operation, "lora_enabled", False):
        return None  # the kernel is not what it seems
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        return None
    if not isinstance(operation, keras.layers.Layer) and type(operation).__module__.startswith("keras.src."):
        return OPERATIONS.get(type(operation).__name__)
    return RULES.get(type(operation))


def dtype_of(call: Call) -> str:
    """The dtype that a call computes in."""
    if isinstance(call.operation, keras.layers.Layer):
        return str(call.operation.compute_dtype)
    return str(call.outputs[0].tensor.dtype)


def _unit(call: Call) -> float:
    return unit_roundoff(dtype_of(call))


def _any_channel(x: Interval) -> Interval:
    """One entry for all channels."""
    return joined([x.take(np.asarray([index])) for index in range(x.channels)])


# ------------------------------------------------------------------------------------------ what passes through


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
        return inputs[0] if not np.isfinite(inputs[0].low).any() else inputs[0].rounded(_unit(call), 2**20)
    return inputs[0].rounded(_unit(call), math.prod(int(size or 1) for size in shape) + 2)


def _up_sampling(call: Call, inputs: Sequence[Interval]) -> Interval:
    interpolation = getattr(call.operation, "interpolation", "nearest")
    if interpolation == "nearest":
        return inputs[0]
    if interpolation == "bilinear":
        x = inputs[0].rounded(_unit(call), 8)
        size = np.maximum(np.abs(x.low), np.abs(x.high))
        # Interpolated as a + (b - a) t: both ends' sizes count, whichever is nearer.
        share = np.where(np.isfinite(size), 32 * _unit(call) * size, 0.0)
        return x.widened(share, share)
    return Interval.unknown(inputs[0].channels)  # bicubic and Lanczos overshoot


# ------------------------------------------------------------------------------------------ form


def _reshaped(call: Call, inputs: Sequence[Interval]) -> Interval:
    """Flatten and Reshape: positions become channels, or channels positions."""
    shape, target = _positions(call.inputs[0]), _positions(call.outputs[0])
    x = inputs[0].spread(call.inputs[0].channels)
    if not shape or not target:
        return _any_channel(x)
    return _by_last_axis(x, np.broadcast_to(np.arange(x.channels), shape).reshape(target))


def _permuted(call: Call, inputs: Sequence[Interval]) -> Interval:
    shape = _positions(call.inputs[0])
    x = inputs[0].spread(call.inputs[0].channels)
    dims = [axis - 1 for axis in call.operation.dims]
    if dims[-1] == len(dims) - 1:
        return x
    if not shape:
        return _any_channel(x)
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
    return side_by_side([_any_channel(x.take(row)) for row in rows])


# ------------------------------------------------------------------------------------------ merging


def _merge(combine: Callable[[Call, Sequence[Interval]], Interval]) -> Rule:
    def rule(call: Call, inputs: Sequence[Interval]) -> Interval:
        if len({len(value.shape) for value in call.inputs}) > 1:
            return Interval.unknown()
        return combine(call, inputs)

    return rule


def _add(call: Call, inputs: Sequence[Interval]) -> Interval:
    return total_of(inputs, _unit(call))


def _subtract(call: Call, inputs: Sequence[Interval]) -> Interval:
    return total_of([inputs[0], negated(inputs[1])], _unit(call))


def _average(call: Call, inputs: Sequence[Interval]) -> Interval:
    return scaled(total_of(inputs, _unit(call)), 1 / len(inputs), _unit(call))


def _multiply(call: Call, inputs: Sequence[Interval]) -> Interval:
    return product_of(inputs, _unit(call))


def _concatenate(call: Call, inputs: Sequence[Interval]) -> Interval:
    rank = len(call.inputs[0].shape)
    axis = call.operation.axis % rank
    if axis == rank - 1:
        return side_by_side([x.spread(value.channels) for x, value in zip(inputs, call.inputs, strict=True)])
    return joined(inputs)


def _written(call: Call, inputs: Sequence[Interval]) -> list[Interval]:
    """Operands of an operation in the order of the call, numbers and arrays of the graph among them."""
    known = dict(zip(map(id, call.inputs), inputs, strict=False))
    operands = []
    for item in call.args:
        if id(item) in known:
            operands.append(known[id(item)])
            continue
        if isinstance(item, str) or (not hasattr(item, "__array__") and not isinstance(item, (int, float))):
            return [Interval.unknown()] * 2
        array = np.asarray(item, float)
        table = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
        operands.append(
            Interval.point(table[0])
            if len(table) == 1
            else Interval.between(table.min(axis=0), table.max(axis=0), table.shape[1])
        )
    return operands


def _operation(combine: Callable[[Call, Sequence[Interval]], Interval]) -> Rule:
    """keras.ops on tensors, or on a tensor and a number. Broadcasting aligns last axes, so channels meet channels."""

    def rule(call: Call, inputs: Sequence[Interval]) -> Interval:
        if call.kwargs:
            return Interval.unknown()
        return combine(call, _written(call, inputs))

    return rule


# ------------------------------------------------------------------------------------------ activations


def _curve_layer(call: Call, inputs: Sequence[Interval]) -> Interval:
    return _curve_bounds(call.operation, inputs[0], dtype_of(call))


def _curve_bounds(operation: Any, x: Interval, dtype: str) -> Interval:
    """An activation that is a layer, or the operation that `keras.activations.relu` becomes in a graph."""
    if isinstance(operation, layers.LeakyReLU):
        curve = leaky(operation.negative_slope)
    elif isinstance(operation, layers.ELU):
        curve = elu(operation.alpha)
    else:
        curve = relu(operation.negative_slope, operation.max_value, operation.threshold)
    return curve.apply(x, dtype) if curve else Interval.unknown(x.channels)


def _prelu(call: Call, inputs: Sequence[Interval]) -> Interval:
    slopes = np.asarray(call.operation.alpha, float).reshape(-1, call.operation.alpha.shape[-1])
    bounds = np.stack([slopes.min(axis=0), slopes.max(axis=0)])
    x = inputs[0].spread(call.inputs[0].channels)
    return prelu(x, np.broadcast_to(bounds, (2, x.channels)), _unit(call))


def _softmax(call: Call, inputs: Sequence[Interval]) -> Interval:
    return Interval.between(*RANGES[keras.activations.softmax], channels=inputs[0].channels)


def _activation(call: Call, inputs: Sequence[Interval]) -> Interval:
    return activation_bounds(call.operation.activation, inputs[0], dtype_of(call))


def activation_bounds(activation: Any, x: Interval, dtype: str) -> Interval:
    """Bounds of a layer's `activation`: a function, or a layer that is used as one."""
    if isinstance(activation, keras.layers.Layer):
        known = type(activation) in _CURVE_LAYERS
        return _curve_bounds(activation, x, dtype) if known else Interval.unknown(x.channels)
    return activated(activation, x, dtype)


def _function(function: Any) -> Rule:
    def rule(call: Call, inputs: Sequence[Interval]) -> Interval:
        own = {name for name in vars(call.operation) if not name.startswith("_")} & {"alpha", "axis", "threshold"}
        if own or call.kwargs:
            return Interval.unknown(inputs[0].channels)
        return activated(function, inputs[0], dtype_of(call))

    return rule


def _gelu_operation(call: Call, inputs: Sequence[Interval]) -> Interval:
    curve = GELU_TANH if call.operation.approximate else CURVES[keras.activations.gelu]
    assert curve is not None
    return curve.apply(inputs[0], dtype_of(call))


# ------------------------------------------------------------------------------------------ with weights


def _activated_kernel(call: Call, inputs: Sequence[Interval]) -> Interval:
    linear = kernel_bounds.sum_bounds(call.operation, inputs[0], call.inputs[0].shape)
    return activation_bounds(call.operation.activation, linear, dtype_of(call))


def _plain_kernel(call: Call, inputs: Sequence[Interval]) -> Interval:
    return kernel_bounds.sum_bounds(call.operation, inputs[0], call.inputs[0].shape)


def _embedding(call: Call, inputs: Sequence[Interval]) -> Interval:
    table = np.asarray(call.operation.embeddings, float)
    result = Interval.between(table.min(axis=0), table.max(axis=0), table.shape[1])
    return result.fixed((table == table[0]).all(axis=0), table[0], "embedding constant")


def _recurrent(call: Call, inputs: Sequence[Interval]) -> Interval:
    """States start at zero and are made of activations alone, whatever comes in."""
    operation = call.operation
    channels = call.outputs[0].channels
    if len(call.inputs) > 1 or operation.stateful:
        return Interval.unknown(channels)  # an initial state of its own
    state = activation_bounds(operation.activation, Interval.unknown(channels), dtype_of(call)).with_zero()
    gate = getattr(operation, "recurrent_activation", None)
    if gate not in (None, keras.activations.sigmoid, keras.activations.hard_sigmoid):
        return Interval.unknown(channels)
    # Gates lie between 0 and 1 and mix old and new state; a rounding at each of the steps.
    steps = call.inputs[0].shape[1]
    return state.rounded(_unit(call), 8 * (steps or 2**16)) if steps is not None else Interval.unknown(channels)


def _time_distributed(call: Call, inputs: Sequence[Interval]) -> Interval:
    inner = call.operation.layer
    rule = _rule(inner)
    if rule is None or type(inner) not in POSITIONWISE:
        return Interval.unknown(call.outputs[0].channels)
    return rule(Call(path=call.path, operation=inner, args=(), inputs=call.inputs, outputs=call.outputs), inputs)


_CURVE_LAYERS = (layers.ReLU, layers.LeakyReLU, layers.ELU)
POSITIONWISE = (layers.Dense, layers.Activation, layers.BatchNormalization, layers.Dropout, *_CURVE_LAYERS)
"""Layers that treat each position alone, so that TimeDistributed changes nothing."""


def _kinds(stem: str, dimensions: Sequence[int] = (1, 2, 3)) -> list[Any]:
    return [
        getattr(layers, f"{stem}{dimension}D") for dimension in dimensions if hasattr(layers, f"{stem}{dimension}D")
    ]


RULES: dict[Any, Rule] = {
    layers.Activation: _activation,
    layers.Softmax: _softmax,
    layers.PReLU: _prelu,
    **dict.fromkeys(_CURVE_LAYERS, _curve_layer),
    **dict.fromkeys(
        [
            layers.Identity,
            layers.Dropout,
            layers.GaussianDropout,
            layers.GaussianNoise,
            layers.AlphaDropout,
            layers.ActivityRegularization,
            layers.RepeatVector,
            *_kinds("SpatialDropout"),
            *_kinds("MaxPooling"),
            *_kinds("GlobalMaxPooling"),
            *_kinds("AdaptiveMaxPooling"),
            *_kinds("Cropping"),
        ],
        _same,
    ),
    **dict.fromkeys(
        [*_kinds("AveragePooling"), *_kinds("GlobalAveragePooling"), *_kinds("AdaptiveAveragePooling")], _mean
    ),
    **dict.fromkeys(_kinds("ZeroPadding"), _zero_padding),
    **dict.fromkeys(_kinds("UpSampling"), _up_sampling),
    layers.Masking: _with_zero,
    layers.Flatten: _reshaped,
    layers.Reshape: _reshaped,
    layers.Permute: _permuted,
    layers.Add: _merge(_add),
    layers.Subtract: _merge(_subtract),
    layers.Average: _merge(_average),
    layers.Multiply: _merge(_multiply),
    layers.Maximum: _merge(lambda call, inputs: largest_of(inputs)),
    layers.Minimum: _merge(lambda call, inputs: smallest_of(inputs)),
    layers.Concatenate: _concatenate,
    layers.Embedding: _embedding,
    **dict.fromkeys([layers.LSTM, layers.GRU, layers.SimpleRNN], _recurrent),
    layers.TimeDistributed: _time_distributed,
    **dict.fromkeys(kernel_bounds.ACTIVATED, _activated_kernel),
    **dict.fromkeys(kernel_bounds.PLAIN, _plain_kernel),
}

OPERATIONS: dict[str, Rule] = {
    "Add": _operation(_add),
    "Subtract": _operation(_subtract),
    "Multiply": _operation(_multiply),
    "Maximum": _operation(lambda call, inputs: largest_of(inputs)),
    "Minimum": _operation(lambda call, inputs: smallest_of(inputs)),
    "Relu": _function(keras.activations.relu),
    "ReLU": _curve_layer,
    "Relu6": _function(keras.activations.relu6),
    "Sigmoid": _function(keras.activations.sigmoid),
    "Silu": _function(keras.activations.silu),
    "Tanh": _function(keras.activations.tanh),
    "Softplus": _function(keras.activations.softplus),
    "HardSigmoid": _function(keras.activations.hard_sigmoid),
    "HardSilu": _function(keras.activations.hard_silu),
    "Gelu": _gelu_operation,
}
"""Operations of `keras.ops` in a functional graph, by class name; the classes are not public."""
