"""Channel rules of layers that work along a sequence: recurrent layers, attention, wrappers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from penjing.compression.structure.builder import CostTerm, GraphBuilder, LayerCall, positions
from penjing.compression.structure.rules import Outputs, find_rule, rule, unknown
from penjing.compression.structure.units import Labels

layers = keras.layers


@rule(layers.LSTM, layers.GRU, layers.SimpleRNN)
def recurrent(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """A unit is a column of every gate, a row of the recurrent kernel and one value of the state."""
    made = _cell_units(graph, call, call.layer)
    outputs: Outputs = [Labels(axis=len(shape) - 1, units=made) for shape in call.output_shapes]
    for index in range(1, len(call.labels)):  # a state given from outside
        if call.shapes[index] != (len(made),):
            continue  # a mask, which Keras hands on as an argument of the call
        graph.units.tie(graph.input_units(call, -1, index=index), made, f"a state of '{call.path}'")
    return outputs


def _cell_units(graph: GraphBuilder, call: LayerCall, layer: Any) -> np.ndarray:
    cell = layer.cell
    made = graph.make(layer, "units", cell.recurrent_kernel.shape[0])
    gates = cell.recurrent_kernel.shape[1] // cell.recurrent_kernel.shape[0]
    columns = np.tile(made, gates)
    graph.use(call, cell.kernel, 0, graph.input_units(call, -1), "reads")
    graph.use(call, cell.kernel, 1, columns, "makes")
    graph.use(call, cell.recurrent_kernel, 0, made, "reads")
    graph.use(call, cell.recurrent_kernel, 1, columns, "makes")
    graph.use(call, cell.bias, -1, columns, "makes")  # GRU has one row for each of its two kernels
    steps = call.shapes[0][0] or 1
    for kernel in (cell.kernel, cell.recurrent_kernel):
        # The columns are the units once for each gate.
        rows = graph.uses[(id(kernel), 0)].units
        graph.terms.append(CostTerm(path=call.path, coefficient=steps * gates, factors=(rows, made)))
    return made


@rule(layers.Bidirectional)
def bidirectional(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Both directions keep equally many units: the k-th of one goes with the k-th of the other."""
    layer = call.layer
    directions = (layer.forward_layer, layer.backward_layer)
    if layer.return_state or not all(type(each) in (layers.LSTM, layers.GRU, layers.SimpleRNN) for each in directions):
        return unknown(graph, call)
    forward, backward = (_cell_units(graph, call, each) for each in directions)
    if len(forward) != len(backward):
        graph.units.protect(forward, f"the directions of '{call.path}' differ in size")
        graph.units.protect(backward, f"the directions of '{call.path}' differ in size")
    else:
        graph.units.tie(forward, backward, f"the two directions of '{call.path}'")
    if layer.merge_mode is None:
        pairs = zip(call.output_shapes, (forward, backward), strict=True)
        return [Labels(axis=len(shape) - 1, units=units) for shape, units in pairs]
    units = np.concatenate([forward, backward]) if layer.merge_mode == "concat" else forward
    return [Labels(axis=len(call.output_shapes[0]) - 1, units=units)]


@rule(layers.TimeDistributed)
def time_distributed(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """The wrapped layer at every step: its axes are one further back."""
    inner = call.layer.layer
    labels = call.labels[0]
    if labels is not None and labels.axis == 0:
        graph.protect_inputs(call, f"'{call.path}' takes the channels for steps")
        labels = None
    outputs = find_rule(inner)(
        graph,
        replace(
            call,
            layer=inner,
            path=f"{call.path}/{inner.name}",
            labels=(None if labels is None else labels.moved(labels.axis - 1),),
            shapes=(call.shapes[0][1:],),
            output_shapes=(call.output_shapes[0][1:],),
        ),
    )
    return [None if each is None else each.moved(each.axis + 1) for each in outputs]


@rule(layers.MultiHeadAttention)
def multi_head_attention(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Units are heads; queries, keys and values of a head go together."""
    layer = call.layer
    if type(layer) is not layers.MultiHeadAttention or getattr(layer, "_use_gate", False):
        return unknown(graph, call)
    heads = graph.make(layer, "heads", layer.num_heads)
    # query, value and perhaps key: where the key is not given, the value stands for it.
    sources = [0, 1, 2 if len(call.labels) > 2 else 1]
    projections = (layer._query_dense, layer._value_dense, layer._key_dense)
    for index, projection in zip(sources, projections, strict=True):
        graph.use(call, projection.kernel, 0, graph.input_units(call, -1, index=index), "reads")
        graph.use(call, projection.kernel, 1, heads, "makes")
        graph.use(call, projection.bias, 0, heads, "makes")
        graph.count(call, projection.kernel, positions(call.shapes[index], -1))
    output = layer._output_dense
    if len(output.kernel.shape) != 3:
        return unknown(graph, call)
    made = graph.make(layer, "outputs", output.kernel.shape[2])
    graph.use(call, output.kernel, 0, heads, "reads")
    graph.use(call, output.kernel, 2, made, "makes")
    graph.use(call, output.bias, 0, made, "makes")
    queries, values = positions(call.shapes[0], -1), positions(call.shapes[1], -1)
    graph.count(call, output.kernel, queries)
    products = queries * values * (layer._key_dim + layer._value_dim)
    graph.terms.append(CostTerm(path=call.path, coefficient=products, factors=(heads,)))
    labels = Labels(axis=len(call.output_shapes[0]) - 1, units=made)
    return [labels, *[None] * (len(call.output_shapes) - 1)]
