"""The integer arithmetic of LiteRT's reference kernels, in TensorFlow operations.

A kernel multiplies an integer accumulator by a real factor (input scale x weight scale / output scale) that is held as
a 31-bit integer and a shift, and rounds twice. A simulation in float32 differs from it by one step now and then, and
such steps add up over layers; so a model with simulated quantization computes with these functions at inference.

Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", section 2.2; the rounding is that of gemmlowp's fixed-point functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def limits(bits: int) -> tuple[int, int]:
    """The smallest and largest integer of an activation."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def round_away(values: Any) -> Any:
    """Nearest integers, halves away from zero, as the kernels round real numbers."""
    return tf.sign(values) * tf.floor(tf.abs(values) + 0.5)


def quantize(values: Any, grid: Any, bits: int) -> Any:
    """Real numbers as integers of a grid: clip(round(x / scale) + zero_point). int64 of the same shape."""
    low, high = limits(bits)
    return tf.cast(tf.clip_by_value(round_away(values / grid[0]) + grid[1], low, high), tf.int64)


def offsets(values: Any, grid: Any) -> Any:
    """Real numbers that lie on a grid as (q - zero_point), int64. No limits: float32 holds them exactly."""
    return tf.cast(tf.round(values / grid[0]), tf.int64)


def real(integers: Any, grid: Any) -> Any:
    """Integers of a grid as real numbers, float32: (q - zero_point) * scale."""
    return (tf.cast(integers, tf.float32) - grid[1]) * grid[0]


def fixed_point(factor: Any) -> tuple[Any, Any]:
    """A positive float64 factor as (multiplier, shift), int64: factor = multiplier * 2^(shift - 31) with a multiplier
    from 2^30 to 2^31 - 1. Factors below 2^-32 become zero."""
    # Found by comparing, since a logarithm may be off by one at powers of two.
    shift = tf.floor(tf.math.log(factor) / np.log(2.0)) + 1.0
    fraction = factor * tf.pow(tf.constant(2.0, tf.float64), -shift)
    shift = tf.where(fraction >= 1.0, shift + 1.0, tf.where(fraction < 0.5, shift - 1.0, shift))
    fraction = factor * tf.pow(tf.constant(2.0, tf.float64), -shift)
    multiplier = round_away(fraction * 2.0**31)
    shift = tf.where(multiplier >= 2.0**31, shift + 1.0, shift)
    multiplier = tf.where(multiplier >= 2.0**31, tf.constant(2.0**30, tf.float64), multiplier)
    tiny = shift < -31.0
    shift = tf.where(tiny, tf.zeros_like(shift), shift)
    return tf.cast(tf.where(tiny, tf.zeros_like(multiplier), multiplier), tf.int64), tf.cast(shift, tf.int64)


def scale_integers(integers: Any, factor: Any) -> Any:
    """round(integers * factor) as the kernels with 32-bit accumulators compute it; int64.

    Args:
        integers: int64 accumulators.
        factor: float64, broadcast against them.
    """
    return apply_fixed_point(integers, *fixed_point(factor))


def apply_fixed_point(integers: Any, multiplier: Any, shift: Any) -> Any:
    """round(integers * multiplier * 2^(shift - 31)), rounded twice: first to the high 32 bits of the product (halves
    up), then to the result (halves away from zero)."""
    left = tf.maximum(shift, 0)
    right = tf.maximum(-shift, 0)
    product = tf.bitwise.left_shift(integers, left + tf.zeros_like(integers)) * multiplier
    high = tf.bitwise.right_shift(product + 2**30, tf.constant(31, tf.int64))
    half = tf.bitwise.right_shift(tf.bitwise.left_shift(tf.ones_like(right), right), tf.ones_like(right))
    rounded = high + half - tf.where((right > 0) & (high < 0), tf.ones_like(high), tf.zeros_like(high))
    return tf.bitwise.right_shift(rounded, right + tf.zeros_like(rounded))


def divide_by_power(values: Any, power: Any) -> Any:
    """values / 2^power, halves away from zero."""
    power = tf.cast(power, tf.int64) + tf.zeros_like(values)
    half = tf.bitwise.right_shift(tf.bitwise.left_shift(tf.ones_like(power), power), tf.ones_like(power))
    return tf.bitwise.right_shift(values + half - tf.cast((values < 0) & (power > 0), tf.int64), power)


def divide_up(values: Any, power: Any) -> Any:
    """values / 2^power, halves up."""
    power = power + tf.zeros_like(values)
    half = tf.bitwise.right_shift(tf.bitwise.left_shift(tf.ones_like(power), power), tf.ones_like(power))
    return tf.bitwise.right_shift(values + half, power)


def bit_length(values: Any) -> Any:
    """Bits of positive numbers below 2^32, int64."""
    length = tf.zeros_like(values)
    for power in range(32):
        length += tf.cast(values >= 2**power, tf.int64)
    return length


def scale_wide_integers(integers: Any, factor: Any) -> Any:
    """The same for 64-bit accumulators (16-bit activations): the multiplier is cut to 15 bits, rounded once."""
    multiplier, shift = fixed_point(factor)
    short = tf.where(
        multiplier < 0x7FFF0000, tf.bitwise.right_shift(multiplier + 2**15, tf.constant(16, tf.int64)), 0x7FFF
    )
    total = 15 - shift
    half = tf.bitwise.left_shift(tf.ones_like(total), total - 1)
    product = integers * short + half
    return tf.bitwise.right_shift(product, total + tf.zeros_like(product))


def double(scale: Any) -> Any:
    """A float32 scale as float64."""
    return tf.cast(scale, tf.float64)


def clamp(integers: Any, grid: Any, bits: int, activation: str) -> Any:
    """The limits of an output: those of its type, and those of an activation fused into the operator.

    Args:
        integers: int64, before the output's zero point is added.
        activation: "linear", "relu" or "relu6".

    Returns:
        Integers of the grid, int64.
    """
    low, high = (tf.cast(value, tf.int64) for value in limits(bits))
    zero = tf.cast(grid[1], tf.int64)
    if activation in ("relu", "relu6"):
        low = tf.maximum(low, zero)
    if activation == "relu6":
        high = tf.minimum(high, zero + tf.cast(round_away(6.0 / grid[0]), tf.int64))
    return tf.clip_by_value(integers + zero, low, high)
