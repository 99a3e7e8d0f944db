"""Channel rules of layers with kernels: dense, convolutions of all kinds, embeddings."""

from __future__ import annotations

import keras
import numpy as np

from penjing.compression.structure.builder import GraphBuilder, LayerCall, positions
from penjing.compression.structure.rules import Outputs, channel_axis, rule, through_softmax, tie_rows
from penjing.compression.structure.units import Labels

layers = keras.layers


@rule(layers.Dense)
def dense(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Reads the last axis. Channels on another axis pass by: each is a position to this layer."""
    layer, labels = call.layer, call.labels[0]
    kernel = layer.kernel
    rank = len(call.shapes[0])
    if labels is not None and labels.axis != rank - 1:
        graph.count(call, kernel, positions(call.output_shapes[0], -1))
        return [through_softmax(graph, call, labels)]
    graph.use(call, kernel, 0, graph.input_units(call, -1), "reads")
    made = graph.make(layer, "units", kernel.shape[1])
    graph.use(call, kernel, 1, made, "makes")
    graph.use(call, layer.bias, 0, made, "makes")
    graph.count(call, kernel, positions(call.output_shapes[0], -1))
    return [through_softmax(graph, call, Labels(axis=rank - 1, units=made))]


@rule(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convolution(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Kernel (*window, inputs / groups, filters). With groups, the k-th channels of all groups go together, so that
    the groups stay equal."""
    layer = call.layer
    kernel = layer.kernel
    axis = channel_axis(layer, len(call.shapes[0]))
    inputs = graph.input_units(call, axis)
    groups = layer.groups
    if groups > 1 and groups == len(inputs):  # depthwise, written as a grouped convolution
        made = np.repeat(inputs, kernel.shape[-1] // groups)
        graph.use(call, kernel, -1, made, "carries")
        graph.use(call, layer.bias, 0, made, "carries")
    else:
        made = graph.make(layer, "filters", kernel.shape[-1])
        if groups > 1:
            tie_rows(graph, inputs.reshape(groups, -1), f"in equal groups in '{call.path}'")
            tie_rows(graph, made.reshape(groups, -1), f"in equal groups in '{call.path}'")
        graph.use(call, kernel, -2, inputs.reshape(groups, -1)[0], "reads")
        graph.use(call, kernel, -1, made, "makes")
        graph.use(call, layer.bias, 0, made, "makes")
    graph.count(call, kernel, positions(call.output_shapes[0], axis))
    return [through_softmax(graph, call, Labels(axis=axis, units=made))]


@rule(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def transposed_convolution(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Kernel (*window, filters, inputs)."""
    layer = call.layer
    axis = channel_axis(layer, len(call.shapes[0]))
    made = graph.make(layer, "filters", layer.kernel.shape[-2])
    graph.use(call, layer.kernel, -1, graph.input_units(call, axis), "reads")
    graph.use(call, layer.kernel, -2, made, "makes")
    graph.use(call, layer.bias, 0, made, "makes")
    graph.count(call, layer.kernel, positions(call.shapes[0], axis))
    return [through_softmax(graph, call, Labels(axis=axis, units=made))]


@rule(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise_convolution(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Kernel (*window, inputs, multiplier): output c * multiplier + m belongs to input c."""
    layer = call.layer
    axis = channel_axis(layer, len(call.shapes[0]))
    inputs = graph.input_units(call, axis)
    made = np.repeat(inputs, layer.kernel.shape[-1])
    graph.use(call, layer.kernel, -2, inputs, "carries")
    graph.use(call, layer.bias, 0, made, "carries")
    graph.count(call, layer.kernel, positions(call.output_shapes[0], axis))
    return [through_softmax(graph, call, Labels(axis=axis, units=made))]


@rule(layers.SeparableConv1D, layers.SeparableConv2D)
def separable_convolution(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """A depthwise kernel and a pointwise one without anything between."""
    layer = call.layer
    axis = channel_axis(layer, len(call.shapes[0]))
    inputs = graph.input_units(call, axis)
    made = graph.make(layer, "filters", layer.pointwise_kernel.shape[-1])
    graph.use(call, layer.depthwise_kernel, -2, inputs, "carries")
    graph.use(call, layer.pointwise_kernel, -2, np.repeat(inputs, layer.depthwise_kernel.shape[-1]), "reads")
    graph.use(call, layer.pointwise_kernel, -1, made, "makes")
    graph.use(call, layer.bias, 0, made, "makes")
    count = positions(call.output_shapes[0], axis)
    graph.count(call, layer.depthwise_kernel, count)
    graph.count(call, layer.pointwise_kernel, count)
    return [through_softmax(graph, call, Labels(axis=axis, units=made))]


@rule(layers.Embedding)
def embedding(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Table (words, columns): columns are units."""
    graph.protect_inputs(call, f"'{call.path}' takes numbers of words")
    table = call.layer.embeddings
    made = graph.make(call.layer, "columns", table.shape[1])
    graph.use(call, table, 1, made, "makes")
    return [Labels(axis=len(call.output_shapes[0]) - 1, units=made)]
