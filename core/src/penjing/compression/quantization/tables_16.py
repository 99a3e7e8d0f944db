"""Activations of 16-bit tensors as LiteRT's kernels compute them: tables with lines between their entries.

LOGISTIC and TANH share a table of the sigmoid at multiples of 1/24, since tanh(x) = 2 sigmoid(2x) - 1. SOFTMAX has one
of exp from -10 to 0 and one of 1 / (1 + x) from 0 to 1, with 512 lines each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic


def _half_away(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value)


def _sigmoids() -> np.ndarray:
    """sigmoid(number / 24) in steps of 1/65536, moved by half of what a line to the next misses in its middle."""

    def exact(number: float) -> float:
        return 65536.0 / (1.0 + math.exp(-number / 24.0))

    entries = []
    for number in range(255):
        missed = exact(number + 0.5) - (exact(number) + exact(number + 1)) / 2
        entries.append(_half_away(exact(number) + missed / 2))
    return np.array([*entries, 65535], np.int64)


SIGMOIDS = _sigmoids()


def sigmoid(offsets: Any, scale: Any) -> Any:
    """In steps of 1/32768, int64 of the same shape.

    Args:
        offsets: Inputs in steps of their grid, int64.
        scale: Of the input, float32.
    """
    scaled = _in_table_steps(offsets, scale, shifts=(0,))
    size = tf.abs(scaled)
    result = _line(size, 9, highest=0x7FFF << 10)
    result = tf.where(scaled >= 0, result + 2**9, 2**25 - result + 2**9 - 1)
    return _right(result, 10)


def tanh(offsets: Any, scale: Any) -> Any:
    """In steps of 1/32768, int64 of the same shape. Arguments as in `sigmoid`."""
    scaled = _in_table_steps(offsets, scale, shifts=(0, 1))
    size = tf.abs(scaled)
    result = _line(size, 8, highest=0xFFFF << 8)
    result = tf.where(scaled >= 0, result - 2**23 + 2**7, -result + 2**23 + 2**7 - 1)
    return _right(result, 8)


def _right(values: Any, power: int) -> Any:
    return tf.bitwise.right_shift(values, tf.constant(power, tf.int64) + tf.zeros_like(values))


def _in_table_steps(offsets: Any, scale: Any, shifts: tuple[int, ...]) -> Any:
    """Inputs in steps of 1 / (3 x 4096). A scale of almost exactly 2^(shift - 12) is taken for that power."""
    logarithm = tf.math.log(scale) * np.float32(1.0 / math.log(2.0))
    power = tf.cast(arithmetic.round_away(logarithm), tf.int64) + 12
    near = tf.abs(logarithm - arithmetic.round_away(logarithm)) < np.float32(1e-3)
    is_power = near & tf.reduce_any([tf.equal(power, shift) for shift in shifts])
    factor = arithmetic.double(scale) * 12288.0
    # As many doublings, at most 31, as keep it from exceeding 15 bits.
    doublings = tf.floor(tf.math.log(32767.0 / factor) / math.log(2.0))
    doublings += tf.cast(factor * tf.pow(tf.constant(2.0, tf.float64), doublings) <= 32767.0 / 2.0, tf.float64)
    doublings -= tf.cast(factor * tf.pow(tf.constant(2.0, tf.float64), doublings - 1.0) > 32767.0 / 2.0, tf.float64)
    doublings = tf.clip_by_value(doublings, 0.0, 31.0)
    multiplier = tf.cast(factor * tf.pow(tf.constant(2.0, tf.float64), doublings), tf.int64)
    by_factor = arithmetic.divide_up(offsets * multiplier, tf.cast(doublings, tf.int64))
    by_power = tf.bitwise.left_shift(offsets * 3, tf.maximum(power, 0) + tf.zeros_like(offsets))
    return tf.where(is_power, by_power, by_factor)


def _line(size: Any, bits: int, highest: int) -> Any:
    """The table between two entries, in steps of 1/65536 times 2^bits."""
    number = _right(size, bits)
    inside = tf.minimum(number, 254)
    below, above = tf.gather(SIGMOIDS, inside), tf.gather(SIGMOIDS, inside + 1)
    rest = tf.bitwise.bitwise_and(size, tf.constant(2**bits - 1, tf.int64))
    return tf.where(number >= 255, tf.constant(highest, tf.int64), below * 2**bits + rest * (above - below))


# ------------------------------------------------------------------------------------------------------------ SOFTMAX


def _table(function: Callable[[float], float], first: int, low: float) -> np.ndarray:
    """513 entries in steps of 1/32768 of a function on `low` x [0, 65535] / 65535, from `first` steps of it on."""
    scale, unit = abs(low) / 65535, 2.0 / 65535
    start, end = scale * first, scale * (first + 65535)
    step = (end - start) / 512
    per_unit = 65536.0 / (unit * 32767 - unit * -32768)
    entries = []
    for number in range(512):
        value, after = function(start + number * step), function(start + (number + 1) * step)
        middle = _half_away(function(start + number * step + step / 2) * per_unit)
        on_line = _half_away((after * per_unit + _half_away(value * per_unit)) / 2)
        entries.append(_half_away(value * per_unit) - _half_away((on_line - middle) / 2))
    entries.append(_half_away(function(end) * per_unit))
    return np.clip(entries, -32768, 32767).astype(np.int64)


EXPONENTIALS = _table(math.exp, -65535, 10.0)
RECIPROCALS = _table(lambda x: 1.0 / (1.0 + x), 0, 1.0)


def _between(table: np.ndarray, positions: Any) -> Any:
    """A table at 16-bit positions, 128 of them from one entry to the next."""
    number = 256 + _right(positions, 7)
    below = tf.gather(table, number)
    slope = tf.gather(table, number + 1) - below
    return below + _right(slope * tf.bitwise.bitwise_and(positions, tf.constant(127, tf.int64)) + 64, 7)


def softmax(offsets: Any, scale: Any) -> Any:
    """Probabilities in steps of 1/32768, int64 of the same shape; the last axis is normalised.

    Args:
        offsets: Logits in steps of their grid, int64.
        scale: The logits' scale, float32.
    """
    difference = offsets - tf.reduce_max(offsets, -1, keepdims=True)
    multiplier, shift = arithmetic.fixed_point(arithmetic.double(scale) / (10.0 / 65535.0))
    scaled = arithmetic.apply_fixed_point(difference, multiplier, shift)
    exponentials = _between(EXPONENTIALS, tf.clip_by_value(scaled + 32767, -32768, 32767))
    total = tf.reduce_sum(exponentials, -1, keepdims=True)
    # The sum is shifted to 1 + x with x from 0 to 1, in 16 bits behind the point.
    spare = 32 - arithmetic.bit_length(total)
    shifted = arithmetic.divide_up(tf.bitwise.left_shift(total, spare - 1), tf.constant(14, tf.int64))
    reciprocal = _between(RECIPROCALS, tf.clip_by_value(shifted - (2**15 + 2**16), -32768, 32767))
    return tf.clip_by_value(arithmetic.divide_up(exponentials * reciprocal, 31 - spare), 0, 32767)
