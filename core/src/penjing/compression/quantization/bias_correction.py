"""Bias correction: rounding the weights of a layer shifts the mean of its outputs; its bias takes the shift up.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2, in its
empirical form (appendix D): E[y_rounded] - E[y] of each channel before the activation, over calibration examples, layer
by layer, each with the inputs that the corrected layers before it give.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from penjing.compression.quantization.chains import norm_after
from penjing.compression.quantization.channel_grid import kernel_values, nearest, rounded_layers
from penjing.compression.quantization.recording import in_order_of_use, layer_input, linear_output


def correct_biases(
    model: keras.Model, bits: dict[str, int], x: Any, exact: dict[str, np.ndarray] | None = None
) -> dict[str, tuple[float, float]]:
    """Correct the biases of a model in place; kernels stay as they are.

    A layer without bias hands its shift to the mean of the BatchNormalization behind it; one with neither is left.

    Args:
        bits: Of the kernel by layer path.
        x: Calibration inputs: an array of shape (n, ...), or a dict by input name.
        exact: Kernels by layer path whose outputs count as right; None takes those that the model has. They differ
            where the model's have been rounded before.

    Returns:
        Mean absolute shift of the channels before and after, by path of the corrected layers.
    """
    layers = rounded_layers(model, bits)
    kept = kernel_values(model, bits)
    exact = kept if exact is None else exact
    biases = _Biases(model, layers)
    shifts = {}
    rounded: dict[str, np.ndarray] = {}
    try:
        for path in in_order_of_use(model, layers, x):
            layer = layers[path]
            rounded[path] = nearest(layer, kept[path], bits[path])
            biases.use("original")
            _assign(layers, exact)
            wanted = _channel_means(linear_output(layer, layer_input(model, layer, x), exact[path]))
            biases.use("corrected")
            _assign(layers, {**exact, **rounded})
            inputs = layer_input(model, layer, x)
            shift = _channel_means(linear_output(layer, inputs, rounded[path])) - wanted
            if biases.correct(path, shift):
                left = _channel_means(linear_output(layer, inputs, rounded[path])) - wanted
                if not layer.use_bias:
                    left = left - shift  # BatchNormalization subtracts it
                shifts[path] = (float(np.abs(shift).mean()), float(np.abs(left).mean()))
    finally:
        _assign(layers, kept)
    biases.use("corrected")
    return shifts


class _Biases:
    """The variables that take shifts up: as they were, and as they are corrected."""

    def __init__(self, model: keras.Model, layers: dict[str, Any]) -> None:
        self.variables: dict[str, Any] = {}
        self.signs: dict[str, float] = {}
        for path, layer in layers.items():
            if layer.use_bias:
                self.variables[path], self.signs[path] = layer.bias, -1.0
            elif (norm := norm_after(model, layer)) is not None:
                self.variables[path], self.signs[path] = norm.moving_mean, 1.0
        self.original = {path: np.array(variable) for path, variable in self.variables.items()}
        self.corrected = dict(self.original)

    def use(self, which: str) -> None:
        values = self.original if which == "original" else self.corrected
        for path, variable in self.variables.items():
            variable.assign(values[path])

    def correct(self, path: str, shift: np.ndarray) -> bool:
        if path not in self.variables:
            return False
        self.corrected[path] = (self.original[path] + self.signs[path] * shift).astype(np.float32)
        self.variables[path].assign(self.corrected[path])
        return True


def _assign(layers: dict[str, Any], kernels: dict[str, np.ndarray]) -> None:
    for path, layer in layers.items():
        layer.kernel.assign(kernels[path])


def _channel_means(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64)
