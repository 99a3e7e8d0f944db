"""Channel rules of layers that move values: pooling, padding, reshaping."""

from __future__ import annotations

import re

import keras

from penjing.compression.structure.builder import GraphBuilder, LayerCall
from penjing.compression.structure.rules import Outputs, channel_axis, rule
from penjing.compression.structure.units import Labels

layers = keras.layers
ADAPTIVE_POOLING = tuple(kind for name, kind in vars(layers).items() if re.fullmatch(r"Adaptive\w+Pooling[123]D", name))
"""None in the oldest Keras that penjing takes."""


@rule(
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.MaxPooling3D,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.AveragePooling3D,
    layers.UpSampling2D,
    layers.UpSampling3D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.UpSampling1D,
    layers.ZeroPadding1D,
    layers.Cropping1D,
    *ADAPTIVE_POOLING,
)
def windows(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Works on positions; the channels pass by."""
    axis = channel_axis(call.layer, len(call.shapes[0]))
    return [Labels(axis=axis, units=graph.input_units(call, axis))]


@rule(
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
)
def global_pooling(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """One value a channel."""
    axis = channel_axis(call.layer, len(call.shapes[0]))
    units = graph.input_units(call, axis)
    return [Labels(axis=axis if call.layer.keepdims else 0, units=units)]


@rule(layers.Flatten)
def flatten(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Row-major, channels last: with channels first, Keras moves them to the end before."""
    labels, shape = call.labels[0], call.shapes[0]
    if labels is not None and call.layer.data_format == "channels_first" and len(shape) > 1:
        shape = (*shape[1:], shape[0])
        labels = labels.moved(labels.axis - 1 if labels.axis else len(shape) - 1)
    return [graph.reshape(labels, shape, call.output_shapes[0], call.path)]


@rule(layers.Reshape)
def reshape(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """Row-major."""
    return [graph.reshape(call.labels[0], call.shapes[0], call.output_shapes[0], call.path)]


@rule(layers.Permute)
def permute(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """The channels move with their axis."""
    labels = call.labels[0]
    return [None if labels is None else labels.moved([axis - 1 for axis in call.layer.dims].index(labels.axis))]


@rule(layers.RepeatVector)
def repeat_vector(graph: GraphBuilder, call: LayerCall) -> Outputs:
    """(channels) to (times, channels)."""
    labels = call.labels[0]
    return [None if labels is None else labels.moved(1)]
