"""SOFTMAX of int8 tensors as LiteRT's reference kernel computes it: exponentials and a reciprocal in fixed point.

Numbers are int64 tensors that hold Qm.n values in 32 bits: n bits behind the point, m = 31 - n before it. The
exponential of a negative number is a polynomial on (-1/4, 0] times the powers exp(-2^k) of the remaining binary digits;
the reciprocal is three steps of Newton's method (Jacob et al. 2018, appendix A; the fixed-point library is gemmlowp).
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from penjing.compression.quantization import arithmetic

_DIFFERENCE_BITS = 26
"""Differences of logits are Q5.26."""
_SUM_BITS = 19
"""The sum of exponentials is Q12.19."""
_ONE = 2**31 - 1
"""One in Q0.31, as near as 32 bits come to it."""


def softmax(offsets: Any, scale: Any) -> Any:
    """Probabilities in steps of 1/256, int64 of the same shape, 0 to 255.

    Args:
        offsets: Logits in steps of their grid, int64; the last axis is normalised.
        scale: The logits' scale, float32.
    """
    factor = tf.minimum(arithmetic.double(scale) * 2.0**_DIFFERENCE_BITS, tf.constant(float(_ONE), tf.float64))
    multiplier, shift = arithmetic.fixed_point(factor)
    lowest = -tf.floor(31.0 * 2.0**_DIFFERENCE_BITS / tf.pow(tf.constant(2.0, tf.float64), tf.cast(shift, tf.float64)))
    difference = offsets - tf.reduce_max(offsets, -1, keepdims=True)
    counts = difference >= tf.cast(lowest, tf.int64)
    shifted = difference * tf.cast(counts, tf.int64) * tf.bitwise.left_shift(tf.ones_like(shift), shift)
    exponentials = _exponential(_high(shifted, multiplier)) * tf.cast(counts, tf.int64)
    total = tf.reduce_sum(arithmetic.divide_by_power(exponentials, 31 - _SUM_BITS), -1, keepdims=True)
    # Shift the sum until its first bit is the 32nd; what is left of it is 1 + x with x from 0 to 1.
    spare = 32 - arithmetic.bit_length(total)
    reciprocal = _reciprocal(tf.bitwise.left_shift(total, spare) - 2**31)
    return tf.clip_by_value(
        arithmetic.divide_by_power(_high(reciprocal, exponentials), (31 - _SUM_BITS) - spare + 31 - 8), 0, 255
    )


def _high(a: Any, b: Any) -> Any:
    """The product of two Q0.31 numbers: rounded high half of twice the product."""
    return tf.bitwise.right_shift(a * b + 2**30, tf.constant(31, tf.int64) + 0 * (a * b))


def _saturate(values: Any) -> Any:
    return tf.clip_by_value(values, -(2**31), 2**31 - 1)


def _exponential(values: Any) -> Any:
    """exp of negative Q5.26 numbers, Q0.31."""
    quarter = 2 ** (_DIFFERENCE_BITS - 2)
    rest = tf.bitwise.bitwise_and(values, tf.constant(quarter - 1, tf.int64)) - quarter
    result = _exponential_near_zero(rest * 2 ** (31 - _DIFFERENCE_BITS))
    digits = rest - values
    for power in range(-2, 5):
        factor = round(math.exp(-(2.0**power)) * 2**31)
        has_digit = tf.bitwise.bitwise_and(digits, tf.constant(2 ** (_DIFFERENCE_BITS + power), tf.int64)) != 0
        result = tf.where(has_digit, _high(result, tf.constant(factor, tf.int64)), result)
    return tf.where(values == 0, tf.constant(_ONE, tf.int64), result)


def _exponential_near_zero(values: Any) -> Any:
    """exp of Q0.31 numbers from -1/4 to 0: the series around -1/8 up to the fourth power."""
    centre = tf.constant(round(math.exp(-1 / 8) * 2**31), tf.int64)
    x = values + 2**28
    x2 = _high(x, x)
    x3, x4 = _high(x2, x), _high(x2, x2)
    third = tf.constant(round(2**31 / 3), tf.int64)
    higher = arithmetic.divide_by_power(_high(arithmetic.divide_by_power(x4, 2) + x3, third) + x2, 1)
    return _saturate(centre + _high(centre, x + higher))


def _reciprocal(values: Any) -> Any:
    """1 / (1 + x) for Q0.31 numbers from 0 to 1, Q0.31."""
    half_denominator = (values + _ONE + 1) // 2
    x = round(48 / 17 * 2**29) + _high(half_denominator, tf.constant(round(-32 / 17 * 2**29), tf.int64))
    for _ in range(3):
        error = 2**29 - _high(half_denominator, x)
        x = x + _saturate(_high(x, error) * 4)
    return _saturate(x * 2)
