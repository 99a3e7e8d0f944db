"""Bilinear resizing on integers: the grid of the input stays, as in LiteRT's reference kernel of RESIZE_BILINEAR.

The kernel computes where each pixel comes from in units of 1 / 1024 and weighs its four neighbours with integers, so
that its answers are known to the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic
from penjing.compression.quantization.ranges import is_calibrating
from penjing.export import recording

_UNIT = 1 << 10


@keras.saving.register_keras_serializable(package="penjing")
class QuantizedResizing(keras.layers.Layer):
    """Images on a grid, (n, height, width, channels), brought to another size with half-pixel centres.

    Args:
        size: Height and width of the results.
    """

    def __init__(self, *, size: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.size = tuple(int(each) for each in size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}

    def build(self, inputs_shape: Any, grid_shape: Any = None) -> None:
        self.built = True

    def call(self, inputs: Any, grid: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Shape (n, *size, channels), and the grid."""
        if recording.current() is not None:
            return tf.image.resize(inputs, self.size, "bilinear"), grid
        if training or is_calibrating():
            resized = tf.image.resize(inputs, self.size, "bilinear")
            if training:
                resized = resized + tf.stop_gradient(tf.round(resized / grid[0]) * grid[0] - resized)
            return resized, grid
        rows, columns = (
            tf.constant(weights(before, after), tf.float64)
            for before, after in zip(inputs.shape[1:3], self.size, strict=True)
        )
        integers = tf.cast(tf.round(inputs / grid[0]) + grid[1], tf.float64)
        # Below 2^53, so that float64 holds every sum exactly.
        total = tf.einsum("yi,nijc,xj->nyxc", rows, integers, columns)
        half, whole = float(_UNIT**2 // 2), float(_UNIT**2)
        rounded = tf.where(total > 0.0, tf.floor((total + half) / whole), -tf.floor((half - total) / whole))
        return arithmetic.real(tf.cast(rounded, tf.int64), grid), grid

    def compute_output_spec(self, inputs: Any, grid: Any, training: bool | None = None) -> Any:
        shape = (inputs.shape[0], *self.size, inputs.shape[-1])
        return keras.KerasTensor(shape, dtype="float32"), keras.KerasTensor((2,), dtype="float32")


def weights(before: int, after: int) -> np.ndarray:
    """What each of `before` pixels counts in each of `after`, in units of 1 / 1024: int64 of shape (after, before)."""
    made = np.zeros((after, before), np.int64)
    scale = (_UNIT * before + after // 2) // after
    for number in range(after):
        place = number * scale + scale // 2 - _UNIT // 2
        lower = max(place // _UNIT if place > 0 else 0, 0)
        upper = min((place + _UNIT - 1) // _UNIT, before - 1)
        share = place - _UNIT * lower
        made[number, lower] += _UNIT - share
        made[number, max(upper, 0)] += share
    return made
