"""AdaRound: whether a weight is rounded up or down is learned, layer by layer, from the layer's outputs.

Source: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", equations 21 to 25. With
W the kernel, s its scales and V learned, W' = s (floor(W/s) + h(V)), h a sigmoid stretched to [-0.1, 1.1] and cut to
[0, 1]. Least squares of the output with W' on the inputs that the rounded layers before give, against the output with W
on the exact inputs, plus a regularizer sum(1 - |2h - 1|^beta) that drives every h to 0 or 1 as beta falls.

The outputs' errors are counted in steps of their channel's grid and relative to the inputs' mean square, so that the
regularizer's weight means the same for every layer. A channel's largest weight keeps its place, so that the converter
finds the same scale and with it the same integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from penjing.compression.quantization.channel_grid import kernel_scales, kernel_values, nearest, rounded_layers
from penjing.compression.quantization.recording import in_order_of_use, layer_input

STRETCH = (-0.1, 1.1)
REGULARIZER = 0.02
BETAS = (20.0, 2.0)
WARM_START = 0.2
"""Share of the updates without regularizer."""
TRAVEL = 10.0
"""Updates times learning rate (Adam): how far V may move, from 0.01 at a thousand updates to 0.001 at ten thousand."""
BATCH = 32
ON_GRID = 1e-3
"""Weights nearer than this to a point of the grid, in steps, stay there: the largest of a channel, and zeros."""


def learn_rounding(
    model: keras.Model,
    bits: dict[str, int],
    x: Any,
    *,
    updates: int,
    seed: int,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, tuple[float, float]]:
    """Put the kernels of a model onto their grids, in place.

    Args:
        bits: Of the kernel by layer path.
        x: Calibration inputs: an array of shape (n, ...), or a dict by input name.
        updates: Of the optimizer, a layer.

    Returns:
        Mean squared error of the output with nearest rounding and with the learned one, in squared steps, by path. A
        layer for which nothing better was found keeps nearest rounding.
    """
    layers = rounded_layers(model, bits)
    exact = kernel_values(model, bits)
    placed: dict[str, np.ndarray] = {}
    errors = {}
    order = in_order_of_use(model, layers, x)
    try:
        for number, path in enumerate(order):
            layer = layers[path]
            progress(f"learning the rounding of '{path}' ({number + 1} of {len(order)})")
            _assign(layers, exact)
            inputs = layer_input(model, layer, x)
            _assign(layers, {**exact, **placed})
            rounded_inputs = layer_input(model, layer, x)
            generator = np.random.default_rng([seed, number])
            placed[path], errors[path] = _layer_rounding(
                layer, exact[path], bits[path], inputs, rounded_inputs, updates, generator
            )
    finally:
        _assign(layers, {**exact, **placed})
    return errors


def _assign(layers: dict[str, Any], kernels: dict[str, np.ndarray]) -> None:
    for path, layer in layers.items():
        layer.kernel.assign(kernels[path])


def _layer_rounding(
    layer: Any,
    kernel: np.ndarray,
    bits: int,
    inputs: np.ndarray,
    rounded_inputs: np.ndarray,
    updates: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, tuple[float, float]]:
    import tensorflow as tf

    scales = kernel_scales(layer, kernel, bits)
    steps = kernel / scales
    floor = np.floor(steps)
    rest = steps - floor
    free = ((rest > ON_GRID) & (rest < 1 - ON_GRID)).astype(np.float32)
    fixed = np.where(free > 0, floor, np.round(steps)).astype(np.float32)
    low, high = STRETCH
    variable = tf.Variable(-np.log((high - low) / (np.clip(rest, 1e-3, 1 - 1e-3) - low) - 1), dtype=tf.float32)
    activation = layer.activation if layer.activation is keras.activations.relu else keras.activations.linear
    channel_steps = scales.reshape(-1).astype(np.float32)
    energy = float(np.mean(np.square(inputs))) or 1.0

    def output(values: Any, weights: Any) -> Any:
        variables = [weights if known is layer.kernel else known.value for known in layer.trainable_variables]
        return activation(layer.stateless_call(variables, [], values)[0])

    def error(values: Any, target: Any, weights: Any) -> Any:
        difference = (output(values, weights) - target) / channel_steps
        return tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=-1)) / energy

    def soft(values: Any) -> Any:
        return tf.clip_by_value(tf.sigmoid(values) * (high - low) + low, 0.0, 1.0)

    optimizer = keras.optimizers.Adam(TRAVEL / updates)
    optimizer.build([variable])

    @tf.function(reduce_retracing=True)
    def update(values: Any, target: Any, beta: Any, weight: Any) -> None:
        with tf.GradientTape() as tape:
            share = soft(variable)
            loss = error(values, target, (fixed + free * share) * scales)
            loss += weight * tf.reduce_sum(free * (1.0 - tf.abs(2.0 * share - 1.0) ** beta))
        optimizer.apply_gradients([(tape.gradient(loss, variable), variable)])

    own = layer.activation
    trainable = layer.trainable
    try:
        layer.activation, layer.trainable = keras.activations.linear, True
        target = _in_parts(lambda part: output(part, tf.constant(kernel)), inputs)
        for number in range(updates):
            chosen = generator.integers(0, len(inputs), min(BATCH, len(inputs)))
            done = (number / updates - WARM_START) / (1 - WARM_START)
            beta = BETAS[1] + (BETAS[0] - BETAS[1]) * 0.5 * (1 + np.cos(np.pi * max(0.0, done)))
            update(
                tf.constant(rounded_inputs[chosen]),
                tf.constant(target[chosen]),
                tf.constant(beta, tf.float32),
                tf.constant(REGULARIZER if done > 0 else 0.0),
            )
        learned = ((fixed + free * (np.asarray(soft(variable)) >= 0.5)) * scales).astype(np.float32)
        plain = nearest(layer, kernel, bits)
        errors = tuple(
            float(
                np.mean(
                    [
                        np.mean(np.square((np.asarray(output(values, tf.constant(weights))) - wanted) / channel_steps))
                        for values, wanted in _batches(rounded_inputs, target)
                    ]
                )
            )
            for weights in (plain, learned)
        )
    finally:
        layer.activation, layer.trainable = own, trainable
    if errors[1] > errors[0]:
        return plain, (errors[0], errors[0])
    return learned, (errors[0], errors[1])


def _in_parts(function: Callable[[np.ndarray], Any], values: np.ndarray, size: int = 256) -> np.ndarray:
    return np.concatenate([np.asarray(function(values[start : start + size])) for start in range(0, len(values), size)])


def _batches(*arrays: np.ndarray, size: int = 256) -> Any:
    for start in range(0, len(arrays[0]), size):
        yield tuple(array[start : start + size] for array in arrays)
