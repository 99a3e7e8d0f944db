"""Changes of one weight matrix that simulate compression: fewer bits, fewer weights, fewer channels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import keras
import numpy as np

from penjing.compression.matrix_layout import InputAxes
from penjing.compression.model_tree import SINGLE_KERNEL_LAYERS

Kind = Literal["bits", "sparsity", "channels"]


def has_channels(key: str, layer: Any) -> bool:
    """Whether the matrix makes channels of its own: gates of a recurrent cell belong together, embeddings are read by
    number, and a separable convolution's depthwise part has no bias to silence."""
    return isinstance(layer, SINGLE_KERNEL_LAYERS) or key.endswith("/pointwise_kernel")


@contextlib.contextmanager
def changed(variable: Any, layer: Any, inputs: InputAxes, kind: Kind, level: float) -> Iterator[None]:
    """The weight matrix with one change; afterwards it is as it was.

    Args:
        variable: The matrix.
        layer: The layer or cell that owns it.
        inputs: Its input axes.
        kind: Rounded to `level` bits, or a share `level` of its weights or of its output channels set to zero.
    """
    before = np.array(variable)
    bias = getattr(layer, "bias", None) if kind == "channels" else None
    bias_before = None if bias is None else np.array(bias)
    axes = output_axes(before.ndim, inputs, layer)
    try:
        if kind == "bits":
            variable.assign(rounded(before, int(level), axes))
        elif kind == "sparsity":
            variable.assign(thinned(before, level))
        else:
            silent = _weakest(before, level, axes)
            variable.assign(np.where(silent, 0.0, before).astype(before.dtype))
            flat = silent[tuple(slice(None) if axis in axes else 0 for axis in range(before.ndim))]
            if bias is not None and bias_before is not None and bias_before.size == flat.size:
                bias.assign(np.where(flat.reshape(bias_before.shape), 0.0, bias_before).astype(bias_before.dtype))
        yield
    finally:
        variable.assign(before)
        if bias is not None and bias_before is not None:
            bias.assign(bias_before)


def output_axes(rank: int, inputs: InputAxes, layer: Any) -> tuple[int, ...]:
    """Axes of a weight matrix along which its output channels lie, ascending.

    Of a convolution the last; of a transposed one the last but one; of a depthwise one input and multiplier together;
    none of embeddings, which have one scale for all rows.
    """
    if isinstance(layer, keras.layers.Embedding):
        return ()
    if isinstance(layer, keras.layers.EinsumDense):
        return tuple(axis for axis in range(rank) if axis not in inputs)
    if not inputs:
        return (rank - 2, rank - 1)
    return (rank - 2,) if inputs == (rank - 1,) else (rank - 1,)


def rounded(weights: np.ndarray, bits: int, outputs: tuple[int, ...]) -> np.ndarray:
    """Weights rounded to the symmetric grid of so many bits, one scale for each output channel.

    The grid is that of LiteRT's int8 weights: w = s q with |q| <= 2^(bits-1) - 1 and s = max |w| / (2^(bits-1) - 1)
    of the channel (Jacob et al. 2018, "Quantization and training of neural networks").
    """
    others = tuple(axis for axis in range(weights.ndim) if axis not in outputs)
    highest = 2 ** (bits - 1) - 1
    scale = np.abs(weights).max(axis=others, keepdims=True) / highest
    steps = np.round(weights / np.where(scale > 0, scale, 1.0))
    return (np.clip(steps, -highest, highest) * scale).astype(weights.dtype)


def thinned(weights: np.ndarray, share: float) -> np.ndarray:
    """Weights with round(share * n) of the smallest set to zero."""
    order = np.argsort(np.abs(weights).ravel(), kind="stable")
    changed = weights.copy()
    changed.flat[order[: round(share * weights.size)]] = 0.0
    return changed


def _weakest(weights: np.ndarray, share: float, outputs: tuple[int, ...]) -> np.ndarray:
    """True where a weight belongs to one of the round(share * channels) output channels of smallest l1 norm."""
    others = tuple(axis for axis in range(weights.ndim) if axis not in outputs)
    norms = np.abs(weights).sum(axis=others, keepdims=True)
    silent = np.zeros(norms.shape, bool)
    silent.flat[np.argsort(norms.ravel(), kind="stable")[: round(share * norms.size)]] = True
    return np.broadcast_to(silent, weights.shape)
