"""GPTQ: each weight takes up what rounding the weights before it did to the layer's outputs.

Source: Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", after
Hassibi and Stork 1993, "Second order derivatives for network pruning: optimal brain surgeon". With H the mean of x x'
over the layer's inputs x, rounding a channel's weights w to v costs (w - v)' H (w - v). Weights are rounded one input
after another, the strongest first, to the nearest step; what is left of the error is spread over those to come by the
rows of the Cholesky factor of the inverse of H.

Beside Dense kernels it rounds tables of embeddings that are multiplied with as a whole (the output of a model whose
input table is its output table): row by row, by the vectors that the table is multiplied with. In such a product one
direction is often far stronger than all others (popularity), and nearest rounding shifts every row along it.

A channel's largest weight and zeros keep their place, so that the converter finds the same scale, and pruned weights
stay pruned.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import walk_layers
from penjing.compression.quantization.channel_grid import kernel_scales, rounded_layers
from penjing.compression.quantization.recording import in_order_of_use, layer_input, product_input
from penjing.export.packing import channel_scales
from penjing.export.row_tables import has_row_scales
from penjing.export.weights import pays_off

DAMPING = 0.01
"""Share of the inputs' mean square that is added to each, as in the source: few examples say little of a direction."""


def round_by_gptq(model: keras.Model, bits: dict[str, int], x: Any, *, tables: bool) -> dict[str, tuple[float, float]]:
    """Put Dense kernels, and tables that are multiplied with, onto their grids, in place.

    Args:
        bits: Of the weights by layer path; layers of other kinds are left alone.
        x: Calibration inputs: an array of shape (n, ...), or a dict by input name.
        tables: Whether tables are rounded too; their rows have scales of their own in files with float activations
            only.

    Returns:
        Mean squared error of the output with nearest rounding and with this one, in squared steps, by path. A layer
        for which this is no better keeps nearest rounding.
    """
    dense = {path: layer for path, layer in rounded_layers(model, bits).items() if type(layer) is keras.layers.Dense}
    errors = {}
    for path in in_order_of_use(model, dense, x):
        layer = dense[path]
        kernel = np.array(layer.kernel)
        scales = kernel_scales(layer, kernel, bits[path]).reshape(-1)
        rounded, errors[path] = _best(kernel.T, scales, second_moments(layer_input(model, layer, x)), bits[path])
        layer.kernel.assign(rounded.T)
    if not tables:
        return errors
    for path, layer in walk_layers(model):
        if path not in bits or not isinstance(layer, keras.layers.Embedding):
            continue
        table = np.array(layer.embeddings)
        vectors = product_input(model, layer, x) if _becomes_small(table, bits[path]) else None
        if vectors is None:
            continue
        scales = channel_scales(table, bits[path], 0)
        rounded, errors[path] = _best(table, scales, second_moments(vectors), bits[path])
        layer.embeddings.assign(rounded)
    return errors


def second_moments(inputs: np.ndarray) -> np.ndarray:
    """Mean of x x' over inputs of shape (..., size), float64 of shape (size, size)."""
    flat = inputs.reshape(-1, inputs.shape[-1]).astype(np.float64)
    return flat.T @ flat / max(1, len(flat))


def round_with_feedback(weights: np.ndarray, scales: np.ndarray, moments: np.ndarray, bits: int) -> np.ndarray:
    """Weights on their grid, so that products with inputs of these moments come out nearest.

    Args:
        weights: Shape (channels, inputs).
        scales: Size of a step of each channel, shape (channels,).
        moments: As `second_moments` gives them, shape (inputs, inputs).

    Returns:
        float32 of shape (channels, inputs), in real units.
    """
    count = weights.shape[1]
    limit = 2 ** (bits - 1) - 1
    damped = moments + DAMPING * max(float(np.trace(moments)) / count, 1e-12) * np.eye(count)
    order = np.argsort(-np.diag(moments), kind="stable")
    factor = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    exact = weights[:, order].astype(np.float64)
    steps_of_exact = exact / scales[:, None]
    # A channel's largest magnitude is the end of the grid by definition of its scale.
    fixed = (np.abs(steps_of_exact) > limit * (1 - 1e-5)) | (exact == 0)
    left = exact.copy()
    steps = np.zeros_like(exact)
    for number in range(count):
        nearest = np.clip(np.round(left[:, number] / scales), -limit, limit)
        steps[:, number] = np.where(fixed[:, number], np.round(steps_of_exact[:, number]), nearest)
        error = (left[:, number] - steps[:, number] * scales) / factor[number, number]
        left[:, number + 1 :] -= error[:, None] * factor[number, number + 1 :]
    found = np.empty(weights.shape, np.float32)
    found[:, order] = (steps * scales[:, None]).astype(np.float32)
    return found


def _becomes_small(table: np.ndarray, bits: int) -> bool:
    """Whether the file gets the table in integers, with a scale a row."""
    return has_row_scales(table) and pays_off(table.size, len(table), bits, dequantize=True)


def _best(
    weights: np.ndarray, scales: np.ndarray, moments: np.ndarray, bits: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """The better of nearest rounding and this one, and the errors of both."""
    plain = (np.round(weights / scales[:, None]) * scales[:, None]).astype(np.float32)
    found = round_with_feedback(weights, scales, moments, bits)
    before, after = (_error(values - weights, scales, moments) for values in (plain, found))
    return (found, (before, after)) if after < before else (plain, (before, before))


def _error(difference: np.ndarray, scales: np.ndarray, moments: np.ndarray) -> float:
    steps = difference.astype(np.float64) / scales[:, None]
    return float(np.mean(np.sum((steps @ moments) * steps, axis=1)))
