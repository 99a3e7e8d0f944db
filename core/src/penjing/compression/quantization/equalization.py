"""Cross-layer equalization: channels of one layer are scaled down and their readers up, until both have equal ranges.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1. For a
channel with largest weights r1 in the first layer and r2 in the second, s = sqrt(r1 / r2); the first layer's channel is
divided by s and the second's multiplied, which a ReLU between them lets pass unchanged. Where BatchNormalization
follows the first layer its gamma and beta are divided, which is the same after folding.
"""

from __future__ import annotations

import keras
import numpy as np

from penjing.compression.quantization.chains import Pair, find_pairs
from penjing.compression.quantization.channel_grid import is_depthwise

ROUNDS = 30
"""Passes over all pairs, at most: a layer in the middle of a chain belongs to two."""
CLOSE_ENOUGH = 1e-3
"""Passes end when no factor differs from 1 by more."""


def equalizable(model: keras.Model, *, replace_relu6: bool) -> dict[str, str]:
    """For each layer with a kernel: with which layer it can be equalized, or why with none."""
    pairs, reasons = find_pairs(model, through_relu6=replace_relu6)
    return {
        **{path: f"equalized with '{pair.second.name}'" for path, pair in pairs.items()},
        **{path: f"not equalized: {why}" for path, why in reasons.items()},
    }


def equalize(model: keras.Model, *, replace_relu6: bool) -> dict[str, str]:
    """Equalize all pairs of a model in place; what it computes stays the same, up to rounding of float32.

    Args:
        replace_relu6: Make ReLU6 between two layers a ReLU, to act through it. Outputs beyond 6 are then no longer cut.

    Returns:
        What was done, by layer path.
    """
    pairs, reasons = find_pairs(model, through_relu6=replace_relu6)
    for pair in pairs.values():
        for layer in pair.capped:
            if isinstance(layer, keras.layers.ReLU):
                layer.max_value = None
            else:
                layer.activation = keras.activations.relu
    totals = {path: np.ones(pair.channels) for path, pair in pairs.items()}
    for _ in range(ROUNDS):
        furthest = 0.0
        for path, pair in pairs.items():
            factors = equalizing_factors(pair.first_ranges(), pair.second_ranges())
            _scale(pair, factors)
            totals[path] *= factors
            furthest = max(furthest, float(np.abs(factors - 1).max()))
        if furthest < CLOSE_ENOUGH:
            break
    notes = {
        path: f"equalized with '{pair.second.name}': factors {totals[path].min():.2g} to {totals[path].max():.2g}"
        for path, pair in pairs.items()
    }
    return {**notes, **{path: f"not equalized: {why}" for path, why in reasons.items()}}


def equalizing_factors(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """s = sqrt(r1 / r2) of each channel: r1 / s and r2 s are then equal. 1 where a range is zero (a dead channel)."""
    alive = (first > 0) & (second > 0)
    return np.where(alive, np.sqrt(np.divide(first, second, out=np.ones(len(first)), where=alive)), 1.0)


def _scale(pair: Pair, factors: np.ndarray) -> None:
    first = pair.first
    if pair.first_norm is not None:
        pair.first_norm.gamma.assign(np.asarray(pair.first_norm.gamma) / factors)
        if pair.first_norm.center:
            pair.first_norm.beta.assign(np.asarray(pair.first_norm.beta) / factors)
    else:
        kernel = np.asarray(first.kernel)
        first.kernel.assign(kernel / (factors.reshape(kernel.shape[-2:]) if is_depthwise(first) else factors))
        if first.use_bias:
            first.bias.assign(np.asarray(first.bias) / factors)
    kernel = np.asarray(pair.second.kernel)
    rows = np.tile(factors, kernel.shape[-2] // len(factors)) if pair.flattened else factors
    pair.second.kernel.assign(kernel * rows[:, None])
