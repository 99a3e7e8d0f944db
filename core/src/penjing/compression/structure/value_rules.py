"""Channel rules of layers that work on values: normalization, activations, merges."""

from __future__ import annotations

import keras
import numpy as np

from penjing.compression.structure.builder import GraphBuilder, LayerCall
from penjing.compression.structure.rules import Outputs, rule, through_softmax, tie_rows
from penjing.compression.structure.units import Labels

layers = keras.layers


@rule(layers.BatchNormalization)
def batch_normalization(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Each channel apart."""
    layer = call.layer
    rank = len(call.shapes[0])
    axis = layer.axis - 1 if layer.axis > 0 else rank + layer.axis
    units = graph.input_units(call, axis)
    for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        units = graph.use(call, variable, 0, units, "carries")
    return [Labels(axis=axis, units=units)]


@rule(layers.LayerNormalization, layers.RMSNormalization)
def layer_normalization(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Statistics over all channels: with fewer of them every output changes, so they stay unless asked otherwise."""
    layer = call.layer
    rank = len(call.shapes[0])
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    axes = [axis - 1 if axis > 0 else rank + axis for axis in axes]
    labels = call.labels[0]
    if labels is not None and labels.axis in axes and not graph.renormalize:
        graph.units.protect(labels.units, f"'{call.path}' normalizes over the channels: removing any changes the rest")
    if labels is not None and labels.axis in axes:
        for variable in layer.weights:
            graph.use(call, variable, axes.index(labels.axis), labels.units, "carries")
    return [labels]


@rule(layers.GroupNormalization)
def group_normalization(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Statistics within each group of channels: whole groups go."""
    layer = call.layer
    rank = len(call.shapes[0])
    axis = layer.axis - 1 if layer.axis > 0 else rank + layer.axis
    units = graph.input_units(call, axis)
    groups = len(units) if layer.groups == -1 else layer.groups
    if len(units) // groups > 1:
        tie_rows(graph, units.reshape(groups, -1).T, f"normalized together in '{call.path}'")
    for variable in (layer.gamma, layer.beta):
        graph.use(call, variable, 0, units, "carries")
    return [Labels(axis=axis, units=units)]


@rule(layers.PReLU)
def prelu(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Slopes per element of the input, shared along some axes."""
    labels = call.labels[0]
    if labels is not None and call.layer.alpha.shape[labels.axis] == len(labels.units):
        graph.use(call, call.layer.alpha, labels.axis, labels.units, "carries")
    return [labels]


@rule(layers.Activation)
def activation(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Each element apart, but for softmax and its kin."""
    labels = call.labels[0]
    return [None if labels is None else through_softmax(graph, call, labels)]


@rule(layers.Softmax)
def softmax(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Looks at all channels when they are on its axis."""
    labels = call.labels[0]
    rank = len(call.shapes[0])
    axes = call.layer.axis if isinstance(call.layer.axis, (list, tuple)) else [call.layer.axis]
    if labels is not None and labels.axis in [axis - 1 if axis > 0 else rank + axis for axis in axes]:
        graph.units.protect(labels.units, f"softmax of '{call.path}' looks at all channels")
    return [labels]


@rule(
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Identity,
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.AlphaDropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.ActivityRegularization,
)
def elementwise(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Each element apart."""
    return [call.labels[0]]


@rule(layers.Masking)
def masking(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """A step is left out where all its channels have one value: fewer channels, other steps."""
    graph.protect_inputs(call, f"'{call.path}' looks at all channels to know which steps count")
    return [call.labels[0]]


@rule(layers.Rescaling)
def rescaling(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """One factor for all, or one for each channel: those stay."""
    labels = call.labels[0]
    if labels is not None and max(np.size(call.layer.scale), np.size(call.layer.offset)) > 1:
        graph.units.protect(labels.units, f"'{call.path}' has constants for each channel")
    return [labels]


@rule(
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
)
def merge(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """The k-th channels of all inputs meet."""
    return [graph.tie_elementwise(call, f"joined in '{call.path}' ({type(call.layer).__name__})")]


@rule(layers.Concatenate)
def concatenate(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Along the channels they stand side by side; along another axis the k-th channels meet."""
    rank = len(call.shapes[0])
    axis = call.layer.axis - 1 if call.layer.axis > 0 else rank + call.layer.axis
    return [join(graph, call, axis)]


def join(graph: GraphBuilder, call: LayerCall, axis: int) -> Labels | None:
    """Labels of inputs that stand side by side along an axis."""
    present = [labels for labels in call.labels if labels is not None]
    if not present:
        return None
    if all(labels.axis == axis for labels in present):
        parts = [graph.input_units(call, axis, index=index) for index in range(len(call.labels))]
        return Labels(axis=axis, units=np.concatenate(parts))
    if len({labels.axis for labels in present}) > 1 or len(present) < len(call.labels):
        graph.protect_inputs(call, f"'{call.path}' joins tensors with channels on different axes")
        return None
    for labels in present[1:]:
        graph.units.tie(present[0].units, labels.units, f"joined in '{call.path}' along another axis")
    return present[0]
