"""Channel rules of single operations (`x + y`, `keras.ops.relu(x)`) and of layers that only keras.applications has."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.compression.structure.builder import GraphBuilder, LayerCall
from penjing.compression.structure.rules import Outputs, Rule, unknown
from penjing.compression.structure.units import Labels
from penjing.compression.structure.value_rules import join

ELEMENTWISE = {
    "Absolute",
    "Fabs",
    "Negative",
    "Square",
    "Sqrt",
    "Rsqrt",
    "Exp",
    "Expm1",
    "Log",
    "Log1p",
    "Sign",
    "Clip",
    "Cast",
    "Relu",
    "Relu6",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Silu",
    "HardSilu",
    "HardSigmoid",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Gelu",
    "Celu",
    "Tanh",
    "HardTanh",
    "LogSigmoid",
    "Erf",
    "Round",
    "Floor",
    "Ceil",
    "StopGradient",
    "Reciprocal",
}
PAIRWISE = {"Add", "Subtract", "Multiply", "Divide", "TrueDivide", "DivideNoNan", "Maximum", "Minimum", "Power"}
REDUCTIONS = {"Mean", "Max", "Min", "Amax", "Amin", "Sum"}


def operation_rule(operation: Any) -> Rule | None:
    """The rule for an operation of `keras.ops` or a private layer of `keras.applications`, by its name."""
    kind = type(operation)
    if kind.__module__.startswith("keras.src.ops."):
        if kind.__name__ in ELEMENTWISE:
            return _elementwise
        if kind.__name__ in PAIRWISE:
            return _pairwise
        if kind.__name__ in REDUCTIONS:
            return _reduce
        return _RULES.get(kind.__name__, unknown)
    if kind.__module__.startswith("keras.src.applications."):
        return {
            "LayerScale": _layer_scale,
            "StochasticDepth": _elementwise,
            "CustomScaleLayer": _scaled_sum,
        }.get(kind.__name__)
    return None


def _elementwise(graph: GraphBuilder, call: LayerCall) -> Outputs:
    return [call.labels[0]]


def _pairwise(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Two tensors, or a tensor and a constant: one with a value a channel would have to shrink as well."""
    if len(call.labels) == 1:
        if any(np.size(argument) > 1 for argument in call.arguments):
            graph.protect_inputs(call, f"'{call.path}' has constants for each channel")
        return [call.labels[0]]
    return [graph.tie_elementwise(call, f"joined in '{call.path}' ({type(call.layer).__name__})")]


def _scaled_sum(graph: GraphBuilder, call: LayerCall) -> Outputs:
    return [graph.tie_elementwise(call, f"added in '{call.path}'")]


def _axes(axis: Any, rank: int) -> list[int]:
    """Axes without batch; -1 for the batch itself."""
    given = range(rank + 1) if axis is None else axis if isinstance(axis, (list, tuple)) else [axis]
    return [each % (rank + 1) - 1 for each in given]


def _reduce(graph: GraphBuilder, call: LayerCall) -> Outputs:
    labels = call.labels[0]
    if labels is None:
        return [None]
    axes = _axes(call.layer.axis, len(call.shapes[0]))
    if labels.axis in axes or -1 in axes:
        return unknown(graph, call)
    if call.layer.keepdims:
        return [labels]
    return [labels.moved(labels.axis - sum(axis < labels.axis for axis in axes))]


def _concatenate(graph: GraphBuilder, call: LayerCall) -> Outputs:
    return [join(graph, call, _axes(call.layer.axis, len(call.shapes[0]))[0])]


def _softmax(graph: GraphBuilder, call: LayerCall) -> Outputs:
    labels = call.labels[0]
    if labels is not None and labels.axis in _axes(call.layer.axis, len(call.shapes[0])):
        graph.units.protect(labels.units, f"softmax of '{call.path}' looks at all channels")
    return [labels]


def _transpose(graph: GraphBuilder, call: LayerCall) -> Outputs:
    labels, order = call.labels[0], call.layer.axes
    if labels is None:
        return [None]
    if order is None or order[0] != 0:
        return unknown(graph, call)
    return [labels.moved([axis - 1 for axis in order[1:]].index(labels.axis))]


def _get_item(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """A slice: the channels move with their axis where all of them are taken."""
    labels = call.labels[0]
    if labels is None:
        return [None]
    keys = call.given[0] if call.given else None
    keys = list(keys) if isinstance(keys, (tuple, list)) else [keys]
    if not all(key is None or key is Ellipsis or isinstance(key, (int, np.integer, slice)) for key in keys):
        return unknown(graph, call)  # chosen by a tensor, or a key of Keras' own
    rank = len(call.shapes[0]) + 1
    taken = sum(key is not None and key is not Ellipsis for key in keys)
    if Ellipsis not in keys:
        keys.append(Ellipsis)
    place = keys.index(Ellipsis)
    keys[place : place + 1] = [slice(None)] * (rank - taken)
    axis, moved = 0, -1  # of the input, of the output
    for key in keys:
        moved += not isinstance(key, (int, np.integer))
        if key is None:
            continue
        if axis == labels.axis + 1:
            break
        axis += 1
    if key != slice(None):
        return _part_of_channels(graph, call)
    return [labels.moved(moved - 1)]


def _part_of_channels(graph: GraphBuilder, call: LayerCall) -> Outputs:
    graph.protect_inputs(call, f"'{call.path}' takes channels by their numbers")
    return [None] * len(call.output_shapes)


def _squeeze(graph: GraphBuilder, call: LayerCall) -> Outputs:
    labels, before = call.labels[0], (1, *call.shapes[0])
    if labels is None:
        return [None]
    given = call.layer.axis
    axes = (
        [axis for axis, size in enumerate(before) if size == 1 and axis]
        if given is None
        else [axis % len(before) for axis in (given if isinstance(given, (list, tuple)) else [given])]
    )
    if labels.axis + 1 in axes or 0 in axes:
        return unknown(graph, call)
    return [labels.moved(labels.axis - sum(axis <= labels.axis for axis in axes))]


def _expand_dims(graph: GraphBuilder, call: LayerCall) -> Outputs:
    labels, rank = call.labels[0], len(call.output_shapes[0]) + 1
    if labels is None:
        return [None]
    given = call.layer.axis
    axes = sorted(axis % rank for axis in (given if isinstance(given, (list, tuple)) else [given]))
    if 0 in axes:
        return unknown(graph, call)
    axis = labels.axis + 1
    for new in axes:
        axis += new <= axis
    return [labels.moved(axis - 1)]


def _reshape(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Row-major, of each example."""
    if call.layer.newshape[:1] not in ((-1,), (None,)):
        return unknown(graph, call)
    return [graph.reshape(call.labels[0], call.shapes[0], call.output_shapes[0], call.path)]


_RULES: dict[str, Rule] = {
    "Concatenate": _concatenate,
    "Softmax": _softmax,
    "Transpose": _transpose,
    "GetItem": _get_item,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    "Reshape": _reshape,
}


def _layer_scale(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """ConvNeXt's factor for each channel."""
    units = graph.input_units(call, -1)
    graph.use(call, call.layer.gamma, 0, units, "carries")
    return [Labels(axis=len(call.shapes[0]) - 1, units=units)]
