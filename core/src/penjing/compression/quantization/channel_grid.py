"""The converter's grid of weights, on Keras kernels: symmetric, one scale a channel.

BatchNormalization multiplies whole channels when it is folded into the kernel before it, and so their scales: rounding
before folding and after gives the same integers.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import kernels

ROUNDED_LAYERS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
"""Layers whose kernel stands on this grid in an integer file."""


def is_depthwise(layer: Any) -> bool:
    """Whether each channel of the input has filters of its own."""
    return isinstance(layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D))


def rounded_layers(model: keras.Model, bits: dict[str, int]) -> dict[str, Any]:
    """Layers by path that have such a kernel and an entry in `bits`."""
    from penjing.compression.model_tree import walk_layers

    known = kernels(model)
    return {
        path: layer
        for path, layer in walk_layers(model)
        if path in bits and path in known and isinstance(layer, ROUNDED_LAYERS)
    }


def kernel_values(model: keras.Model, bits: dict[str, int]) -> dict[str, np.ndarray]:
    """The kernels of these layers as they are now."""
    return {path: np.array(layer.kernel) for path, layer in rounded_layers(model, bits).items()}


def kernel_scales(layer: Any, kernel: np.ndarray, bits: int) -> np.ndarray:
    """Size of a step of each channel, float32, of a shape that multiplies with the kernel; 1 for zeros alone."""
    kept = 2 if is_depthwise(layer) else 1
    largest = np.abs(kernel).max(axis=tuple(range(kernel.ndim - kept)), keepdims=True)
    scales = largest.astype(np.float32) / np.float32(2 ** (bits - 1) - 1)
    return np.where(scales > 0, scales, np.float32(1.0))


def nearest(layer: Any, kernel: np.ndarray, bits: int) -> np.ndarray:
    """The kernel on the nearest points of its grid, in real units."""
    scales = kernel_scales(layer, kernel, bits)
    return (np.round(kernel / scales) * scales).astype(np.float32)
