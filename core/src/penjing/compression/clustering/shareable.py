"""Which weights of a model can share values, and along which axes their output channels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.matrix_layout import as_lines, from_lines, input_axes
from penjing.compression.model_tree import walk_matrices

_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_CELLS = (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One weight matrix of the model, with what is known of its place in the file."""

    variable: Any
    channel_axes: tuple[int, ...]
    """The axes that number the output channels: those that a file quantizes with scales of their own."""
    may_be_scaled: bool
    """True where the converter may fold a factor for each output channel into the matrix (BatchNormalization)."""


def shareable_weights(model: keras.Model) -> dict[str, Weights]:
    """All weight matrices of a model, by key (`weight_matrices`)."""
    inputs = input_axes(model)
    return {
        key: Weights(
            variable=variable,
            channel_axes=_channel_axes(key, layer, len(variable.shape), inputs[key]),
            may_be_scaled=_may_be_scaled(key, layer, model),
        )
        for key, layer, variable in walk_matrices(model)
    }


def _channel_axes(key: str, layer: Any, rank: int, inputs: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(layer, _DEPTHWISE) or key.endswith("/depthwise_kernel"):
        return (rank - 2, rank - 1)
    if isinstance(layer, _TRANSPOSED):
        return (rank - 2,)
    if isinstance(layer, keras.layers.EinsumDense):
        return tuple(axis for axis in range(rank) if axis not in inputs)
    return (rank - 1,)


def _may_be_scaled(key: str, layer: Any, model: keras.Model) -> bool:
    """Factors are folded through a linear layer only, and nothing follows the layer that gives the model's output."""
    if isinstance(layer, (*_CELLS, keras.layers.Embedding)) or key.endswith("/depthwise_kernel"):
        return False
    last = any(layer is output._keras_history.operation for output in model.outputs)
    return layer.activation is keras.activations.linear and not last


def as_channels(values: np.ndarray, channel_axes: tuple[int, ...]) -> np.ndarray:
    """Weights as a table of shape (weights of a channel, channels)."""
    joined = as_lines(values, channel_axes)
    return joined.reshape(-1, joined.shape[-1])


def from_channels(table: np.ndarray, shape: tuple[int, ...], channel_axes: tuple[int, ...]) -> np.ndarray:
    """The inverse of `as_channels`."""
    return from_lines(table, shape, channel_axes)
