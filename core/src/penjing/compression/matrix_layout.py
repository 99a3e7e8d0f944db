"""Which axes of a weight matrix are summed over: inputs and outputs, as the exported file has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import walk_matrices

InputAxes = tuple[int, ...]
"""Axes of a weight matrix along which its inputs lie, which the exported file has innermost. Spatial taps of a
convolution are not among them. Empty where each output has one input only (depthwise kernels) or none (embeddings)."""


def input_axes(model: keras.Model) -> dict[str, InputAxes]:
    """Input axes of every weight matrix, by key."""
    return {key: _inputs_of(key, layer, variable) for key, layer, variable in walk_matrices(model)}


def _inputs_of(key: str, layer: Any, variable: Any) -> InputAxes:
    rank = len(variable.shape)
    layers = keras.layers
    if isinstance(layer, (layers.DepthwiseConv1D, layers.DepthwiseConv2D, layers.Embedding)):
        return ()
    if key.endswith("/depthwise_kernel"):
        return ()
    if isinstance(layer, (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)):
        return (rank - 1,)  # (..., out, in)
    if isinstance(layer, layers.EinsumDense):
        return _contracted(layer.equation)
    return (rank - 2,)  # Dense, convolutions, recurrent kernels: (..., in, out)


def _contracted(equation: str) -> InputAxes:
    """Kernel axes of "abc,cde->abde" that the input has and the output has not."""
    found = re.fullmatch(r"([^,]+),([^-]+)->(.+)", equation.replace(" ", "").replace("...", ""))
    if found is None:
        return ()
    given, kernel, out = found.groups()
    return tuple(axis for axis, letter in enumerate(kernel) if letter in given and letter not in out)


def as_lines(values: np.ndarray, axes: InputAxes) -> np.ndarray:
    """The array with its input axes joined and last: shape (outputs, ..., inputs). Where nothing is joined, a view."""
    count = len(axes)
    moved = np.moveaxis(values, axes, range(-count, 0))
    return moved.reshape(*moved.shape[: moved.ndim - count], -1)


def from_lines(lines: np.ndarray, shape: Sequence[int], axes: InputAxes) -> np.ndarray:
    """The inverse of `as_lines`."""
    count = len(axes)
    rest = [size for axis, size in enumerate(shape) if axis not in axes]
    unjoined = lines.reshape(*rest, *(shape[axis] for axis in axes))
    return np.moveaxis(unjoined, range(-count, 0), axes)
