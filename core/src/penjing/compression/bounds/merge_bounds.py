"""Bounds behind layers and operations that join several tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds.calls import Call
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
)
from penjing.compression.bounds.rules import Rule, unit_of

layers = keras.layers


def _merge(combine: Callable[[Call, Sequence[Interval]], Interval]) -> Rule:
    def rule(call: Call, inputs: Sequence[Interval]) -> Interval:
        if len({len(value.shape) for value in call.inputs}) > 1:
            return Interval.unknown()
        return combine(call, inputs)

    return rule


def _add(call: Call, inputs: Sequence[Interval]) -> Interval:
    return total_of(inputs, unit_of(call))


def _subtract(call: Call, inputs: Sequence[Interval]) -> Interval:
    return total_of([inputs[0], negated(inputs[1])], unit_of(call))


def _average(call: Call, inputs: Sequence[Interval]) -> Interval:
    return scaled(total_of(inputs, unit_of(call)), 1 / len(inputs), unit_of(call))


def _multiply(call: Call, inputs: Sequence[Interval]) -> Interval:
    return product_of(inputs, unit_of(call))


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


RULES: dict[Any, Rule] = {
    layers.Add: _merge(_add),
    layers.Subtract: _merge(_subtract),
    layers.Average: _merge(_average),
    layers.Multiply: _merge(_multiply),
    layers.Maximum: _merge(lambda call, inputs: largest_of(inputs)),
    layers.Minimum: _merge(lambda call, inputs: smallest_of(inputs)),
    layers.Concatenate: _concatenate,
}

OPERATIONS: dict[str, Rule] = {
    "Add": _operation(_add),
    "Subtract": _operation(_subtract),
    "Multiply": _operation(_multiply),
    "Maximum": _operation(lambda call, inputs: largest_of(inputs)),
    "Minimum": _operation(lambda call, inputs: smallest_of(inputs)),
}
"""Operations of `keras.ops` in a functional graph, by class name; the classes are not public."""
