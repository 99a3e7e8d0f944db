"""Bounds of what each kind of layer computes, from the bounds of what it reads.

Rules are looked up by exact class: a subclass may compute something else. A layer without a rule is no error, its
result is unbounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds import activation_bounds as activations
from penjing.compression.bounds import form_bounds, kernel_bounds, merge_bounds
from penjing.compression.bounds.activation_bounds import CURVE_LAYERS, activation_bounds
from penjing.compression.bounds.calls import Call
from penjing.compression.bounds.intervals import Interval, unit_roundoff
from penjing.compression.bounds.rules import Rule, any_channel, dtype_of, unit_of

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
        outputs[0] = any_channel(known)  # the last axis has no known length
    return outputs


def _rule(operation: Any) -> Rule | None:
    if getattr(operation, "quantization_mode", None) is not None or getattr(operation, "lora_enabled", False):
        return None  # the kernel is not what it seems
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        return None
    if not isinstance(operation, keras.layers.Layer) and type(operation).__module__.startswith("keras.src."):
        return OPERATIONS.get(type(operation).__name__)
    return RULES.get(type(operation))


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
    return state.rounded(unit_of(call), 8 * (steps or 2**16)) if steps is not None else Interval.unknown(channels)


def _time_distributed(call: Call, inputs: Sequence[Interval]) -> Interval:
    inner = call.operation.layer
    rule = _rule(inner)
    if rule is None or type(inner) not in POSITIONWISE:
        return Interval.unknown(call.outputs[0].channels)
    return rule(Call(path=call.path, operation=inner, args=(), inputs=call.inputs, outputs=call.outputs), inputs)


POSITIONWISE = (layers.Dense, layers.Activation, layers.BatchNormalization, layers.Dropout, *CURVE_LAYERS)
"""Layers that treat each position alone, so that TimeDistributed changes nothing."""

RULES: dict[Any, Rule] = {
    **form_bounds.RULES,
    **merge_bounds.RULES,
    **activations.RULES,
    layers.Embedding: _embedding,
    **dict.fromkeys([layers.LSTM, layers.GRU, layers.SimpleRNN], _recurrent),
    layers.TimeDistributed: _time_distributed,
    **dict.fromkeys(kernel_bounds.ACTIVATED, _activated_kernel),
    **dict.fromkeys(kernel_bounds.PLAIN, _plain_kernel),
}

OPERATIONS = {**merge_bounds.OPERATIONS, **activations.OPERATIONS}
