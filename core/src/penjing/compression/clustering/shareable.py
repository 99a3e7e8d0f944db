"""Which weights of a model can share values, under names that survive saving and loading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import kernels, walk_layers

_RECURRENT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One weight tensor of a layer, found again in the file as one constant."""

    layer: str
    """The layer's path; patterns speak of it."""
    variable: Any
    channel_axes: int
    """How many axes, counted from the last, number the output channels: 2 for depthwise kernels, else 1."""
    may_be_scaled: bool
    """True where the converter may fold a factor for each output channel into the kernel (BatchNormalization)."""


def shareable_weights(model: keras.Model) -> dict[str, Weights]:
    """Kernels of Dense, convolution and recurrent layers, and tables of embeddings, by path.

    A recurrent layer has two: "lstm" is its kernel, "lstm/recurrent_kernel" the other.
    """
    single = kernels(model)
    found: dict[str, Weights] = {}
    for path, layer in walk_layers(model):
        if path in single:
            found[path] = Weights(
                layer=path,
                variable=single[path],
                channel_axes=2 if isinstance(layer, _DEPTHWISE) else 1,
                may_be_scaled=_may_be_scaled(layer, model),
            )
        elif isinstance(layer, _RECURRENT) and layer.built:
            for name, variable in (
                (path, layer.cell.kernel),
                (f"{path}/recurrent_kernel", layer.cell.recurrent_kernel),
            ):
                found[name] = Weights(layer=path, variable=variable, channel_axes=1, may_be_scaled=False)
        elif isinstance(layer, keras.layers.Embedding) and layer.built:
            found[path] = Weights(layer=path, variable=layer.embeddings, channel_axes=1, may_be_scaled=False)
    return found


def _may_be_scaled(layer: keras.layers.Layer, model: keras.Model) -> bool:
    """Factors are folded through a linear layer only, and nothing follows the layer that gives the model's output."""
    last = any(layer is output._keras_history.operation for output in model.outputs)
    return layer.activation is keras.activations.linear and not last


def as_channels(values: np.ndarray, channel_axes: int) -> np.ndarray:
    """Weights as a table of shape (weights of a channel, channels)."""
    return values.reshape(-1, int(np.prod(values.shape[values.ndim - channel_axes :])))
