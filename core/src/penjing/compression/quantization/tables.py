"""Activations of 8-bit tensors, which LiteRT's kernels look up: 256 entries, computed in float32 when a file is loaded.

The kernels turn each of the 256 inputs into a real number, call the C library's function, and round the result to the
output's grid. What they compute in float32 is computed here in float64 and rounded to float32 after every step, which
for sums, products and quotients is the same, and for functions the correctly rounded result. HARD_SWISH is no table: it
is computed with 16-bit fixed-point numbers (`hard_swish`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic

_Function = Callable[[Any], Any]


def _single(values: Any) -> Any:
    """float64 numbers rounded to what float32 holds, still float64."""
    return tf.cast(tf.cast(values, tf.float32), tf.float64)


def _constant(value: float) -> float:
    """A number as float32 holds it."""
    return float(np.float32(value))


def _sigmoid(x: Any) -> Any:
    return _single(1.0 / _single(1.0 + _single(tf.exp(-x))))


def _elu(x: Any) -> Any:
    return tf.where(x < 0.0, _single(tf.math.expm1(x)), x)


def _gelu(x: Any) -> Any:
    return _single(_single(0.5 * x) * _single(tf.math.erfc(_single(x * _constant(-math.sqrt(0.5))))))


def _approximate_gelu(x: Any) -> Any:
    cube = _single(_single(_single(_constant(0.044715) * x) * x) * x)
    inner = _single(_constant(2.0 / math.sqrt(math.pi) * math.sqrt(0.5)) * _single(x + cube))
    return _single(_single(0.5 * x) * _single(1.0 + _single(tf.tanh(inner))))


def function_of(name: str, options: Any) -> _Function | None:
    """The function that an operator's 8-bit kernel looks up; None where it is computed in another way.

    Args:
        name: A Keras activation's name.
        options: Its keyword arguments.
    """
    if name == "gelu":
        return _approximate_gelu if options.get("approximate") else _gelu
    if name == "elu" and options.get("alpha", 1.0) != 1.0:
        return None  # several operators in the file
    return {"sigmoid": _sigmoid, "tanh": lambda x: _single(tf.tanh(x)), "elu": _elu}.get(name)


def looked_up(function: _Function, offsets: Any, grid: Any, own: Any) -> Any:
    """The integers that an 8-bit kernel answers with, int64 of the offsets' shape.

    Args:
        function: Of `function_of`.
        offsets: Inputs in steps of their grid, zero point taken off, int64.
        grid: Scale and zero point of the input, float32 of shape (2,).
        own: Of the output.
    """
    inputs = tf.range(-128, 128, dtype=tf.float64) - tf.cast(grid[1], tf.float64)
    real = _single(arithmetic.double(grid[0]) * inputs)
    scaled = _single(function(real) * _single(1.0 / arithmetic.double(own[0])))
    table = tf.clip_by_value(arithmetic.round_away(scaled) + arithmetic.double(own[1]), -128.0, 127.0)
    return tf.gather(tf.cast(table, tf.int64), offsets + tf.cast(grid[1], tf.int64) + 128)


# --------------------------------------------------------------------------------------------------------- HARD_SWISH


def hard_swish(offsets: Any, grid: Any, own: Any) -> Any:
    """x * relu6(x + 3) / 6 as the 8-bit kernel computes it, int64: x * 2^7 in 16 bits, times a gate from 0 to 1 that is
    made of it with saturating shifts.

    Args:
        offsets: Inputs in steps of their grid, zero point taken off, int64.
        grid: Scale and zero point of the input, float32 of shape (2,).
        own: Of the output.
    """
    scale = _single(arithmetic.double(grid[0]) / 128.0)
    factor, down = _short(_single(scale / arithmetic.double(own[0])))
    gate_factor, up = _short(_single(scale / _constant(3.0 / 32768.0)))
    fine = offsets * 128
    product = _high(fine, factor)
    gate = tf.where(up > 0, _saturated(_shifted(fine, tf.maximum(up - 1, 0))), fine)
    gate = _high(gate, gate_factor)
    gate = tf.where(up > 0, _saturated(gate * 2), gate)
    gate = arithmetic.divide_by_power(gate, tf.maximum(-up, 0))
    gate = tf.bitwise.right_shift(gate + 2**15, tf.ones_like(gate))
    # This product is cut off, not rounded, to make up for the roundings before.
    outputs = _toward_zero(gate * product, 2**15)
    outputs = arithmetic.divide_by_power(outputs, tf.maximum(-down, 0))
    return tf.clip_by_value(outputs + tf.cast(own[1], tf.int64), -128, 127)


def _short(factor: Any) -> tuple[Any, Any]:
    """A factor as a 15-bit multiplier and a shift, int64."""
    multiplier, shift = arithmetic.fixed_point(factor)
    short = tf.bitwise.right_shift(tf.minimum(multiplier + 2**15, 2**31 - 1), tf.constant(16, tf.int64))
    return short, shift


def _high(a: Any, b: Any) -> Any:
    """The product of two Q0.15 numbers, rounded."""
    product = a * b
    return _toward_zero(product + tf.where(product >= 0, tf.constant(2**14, tf.int64), 1 - 2**14), 2**15)


def _toward_zero(values: Any, divisor: int) -> Any:
    return tf.sign(values) * (tf.abs(values) // divisor)


def _shifted(values: Any, power: Any) -> Any:
    return tf.bitwise.left_shift(values, tf.minimum(power, 31) + tf.zeros_like(values))


def _saturated(values: Any) -> Any:
    return tf.clip_by_value(values, -(2**15), 2**15 - 1)
