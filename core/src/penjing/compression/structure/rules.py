"""What each kind of layer does to channels: makes them, reads them, carries them, ties them, or hides them.

A rule gets one call of a layer and returns the labels of its outputs. A layer without a rule keeps all channels that
reach it, and says so: removing nothing is always right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.compression.structure.builder import GraphBuilder, LayerCall
from penjing.compression.structure.units import Labels

Outputs = list[Labels | None]
Rule = Callable[[GraphBuilder, LayerCall], Outputs]
RULES: dict[type, Rule] = {}


def rule(*kinds: type) -> Callable[[Rule], Rule]:
    """Register a rule for kinds of layers."""

    def register(function: Rule) -> Rule:
        for kind in kinds:
            RULES[kind] = function
        return function

    return register


def find_rule(operation: Any) -> Rule:
    """The rule for a layer or operation. A subclass with a `call` of its own is unknown, whatever it derives from."""
    kind = type(operation)
    for base in kind.__mro__:
        if base in RULES:
            overridden = getattr(kind, "call", None) is not getattr(base, "call", None)
            if not overridden or getattr(kind, "channel_rule_of_base", False):
                return RULES[base]
            break
    return unknown


def unknown(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """A layer that the engine has no rule for."""
    graph.protect_inputs(call, f"'{call.path}' ({type(call.layer).__name__}) has no rule for channels")
    return [None] * len(call.output_shapes)


def channel_axis(layer: Any, rank: int) -> int:
    """The axis of the channels without batch, by the layer's data format."""
    return 0 if getattr(layer, "data_format", "channels_last") == "channels_first" else rank - 1


ACROSS_CHANNELS = {"softmax", "log_softmax", "sparsemax", "glu", "threshold_softmax"}
"""Activations in which a channel's value depends on the others."""


def through_softmax(graph: GraphBuilder, call: LayerCall, labels: Labels) -> Labels:
    """A layer's own activation, where it looks at all channels."""
    activation = getattr(call.layer, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__.lower())
    if activation is not None and name in ACROSS_CHANNELS:
        graph.units.protect(labels.units, f"{name} of '{call.path}' looks at all channels")
    return labels


def tie_rows(graph: GraphBuilder, rows: np.ndarray, why: str) -> None:
    """Tie the k-th units of all rows."""
    for row in rows[1:]:
        graph.units.tie(rows[0], row, why)
