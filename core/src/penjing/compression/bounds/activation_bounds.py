"""Bounds behind activations: layers, the `activation` of other layers, and operations of `keras.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds.calls import Call
from penjing.compression.bounds.curves import CURVES, GELU_TANH, RANGES, activated, elu, leaky, prelu, relu
from penjing.compression.bounds.intervals import Interval
from penjing.compression.bounds.rules import Rule, dtype_of, unit_of

layers = keras.layers
CURVE_LAYERS = (layers.ReLU, layers.LeakyReLU, layers.ELU)


def _curve_layer(call: Call, inputs: Sequence[Interval]) -> Interval:
    return curve_bounds(call.operation, inputs[0], dtype_of(call))


def curve_bounds(operation: Any, x: Interval, dtype: str) -> Interval:
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
    return prelu(x, np.broadcast_to(bounds, (2, x.channels)), unit_of(call))


def _softmax(call: Call, inputs: Sequence[Interval]) -> Interval:
    return Interval.between(*RANGES[keras.activations.softmax], channels=inputs[0].channels)


def _activation(call: Call, inputs: Sequence[Interval]) -> Interval:
    return activation_bounds(call.operation.activation, inputs[0], dtype_of(call))


def activation_bounds(activation: Any, x: Interval, dtype: str) -> Interval:
    """Bounds of a layer's `activation`: a function, or a layer that is used as one."""
    if isinstance(activation, keras.layers.Layer):
        known = type(activation) in CURVE_LAYERS
        return curve_bounds(activation, x, dtype) if known else Interval.unknown(x.channels)
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


RULES: dict[Any, Rule] = {
    layers.Activation: _activation,
    layers.Softmax: _softmax,
    layers.PReLU: _prelu,
    **dict.fromkeys(CURVE_LAYERS, _curve_layer),
}

OPERATIONS: dict[str, Rule] = {
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
"""By class name, as in `merge_bounds`."""
