"""Products of two tensors of activations on integer grids: the operator BATCH_MATMUL, and the scores of attention."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic
from penjing.compression.quantization.operations import QuantizedOperation
from penjing.compression.quantization.ranges import is_calibrating
from penjing.export import recording

_register = keras.saving.register_keras_serializable(package="penjing")

MARGIN = {8: 8.0, 16: 10.0}
"""How far below a row's largest score a score can count, by bits of activations: exp(-8) is a twelfth of a step of an
8-bit SOFTMAX, and the table of the 16-bit one ends at exp(-10)."""


@_register
class QuantizedMatmul(QuantizedOperation):
    """The matrix product of the last two axes of two tensors, (..., t, k) by (..., k, s).

    Args:
        transposed: Whether the second is (..., s, k).
    """

    arguments = ("transposed",)
    transposed: bool = False

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        first, second = inputs_shape
        return (*first[:-1], second[-2] if self.transposed else second[-1])

    def real(self, inputs: Any) -> Any:
        return tf.matmul(inputs[0], inputs[1], transpose_b=self.transposed)

    def exact(self, inputs: Any, grid: Any) -> Any:
        first, second = (tf.round(x / g[0]) for x, g in zip(inputs, grid, strict=True))
        wide = self.output_range.bits == 16
        if int(inputs[0].shape[-1]) * (65535 if wide else 255) ** 2 >= 2**24:  # what float32 holds exactly
            first, second = tf.cast(first, tf.float64), tf.cast(second, tf.float64)
        accumulator = tf.cast(tf.round(self.real([first, second])), tf.int64)
        own = self.output_range.grid()
        # The kernel multiplies the inputs' scales in float32, then divides in float64.
        factor = arithmetic.double(grid[0][0] * grid[1][0]) / arithmetic.double(own[0])
        scale = arithmetic.scale_wide_integers if wide else arithmetic.scale_integers
        return arithmetic.real(arithmetic.clamp(scale(accumulator, factor), own, self.output_range.bits, "linear"), own)


@_register
class QuantizedScores(QuantizedMatmul):
    """The scores of attention, queries (..., t, k) by keys (..., s, k), and the places that a mask forbids.

    A forbidden place gets the grid's lowest number, as SELECT_V2 in the file. So that this is as good as minus
    infinity, the range reaches from `MARGIN` below the smallest of the rows' largest scores; scores below are cut off,
    which SOFTMAX would turn into nothing anyway.
    """

    transposed = True

    def call(self, inputs: Any, grid: Any, training: bool | None = None, allowed: Any = None) -> tuple[Any, Any]:
        """Scores on their grid, and the grid.

        Args:
            inputs: Queries and keys.
            grid: Their grids.
            allowed: bool, broadcast against the scores: True where attention may look. None: everywhere.
        """
        own = self.output_range
        if recording.current() is not None:
            scores, marked = own.mark(self.real(inputs))
            return self._select(scores, allowed, tf.get_static_value(marked)), marked
        if is_calibrating():
            counting = self._counting(self.real(inputs), allowed)
            own.observe(counting)
            return counting, own.grid()
        if training:
            scores = self.real(inputs)
            scores = own.simulate(scores, True, watched=self._counting(scores, allowed))
        else:
            scores = self.exact(inputs, grid)
        return self._select(scores, allowed, own.grid()), own.grid()

    def _counting(self, scores: Any, allowed: Any) -> Any:
        """Scores with all that count for nothing moved up to the margin below their row's largest."""
        if allowed is not None:
            scores = tf.where(allowed, scores, -np.inf)
        largest = tf.reduce_max(scores, -1, keepdims=True)
        largest = tf.where(tf.math.is_finite(largest), largest, 0.0)  # a row where nothing is allowed
        return tf.maximum(scores, largest - MARGIN[self.output_range.bits])

    def _select(self, scores: Any, allowed: Any, grid: Any) -> Any:
        if allowed is None:
            return scores
        lowest = (arithmetic.limits(self.output_range.bits)[0] - grid[1]) * grid[0]
        return tf.where(allowed, scores, tf.cast(lowest, tf.float32))

    def compute_output_spec(self, inputs: Any, grid: Any, training: bool | None = None, allowed: Any = None) -> Any:
        return super().compute_output_spec(inputs, grid, training)
