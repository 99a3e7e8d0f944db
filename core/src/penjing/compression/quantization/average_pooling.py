"""Average pooling on integers: the grid of the input stays, means are rounded to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic
from penjing.compression.quantization.ranges import is_calibrating
from penjing.export import recording


@keras.saving.register_keras_serializable(package="penjing")
class QuantizedAveragePooling(keras.layers.Layer):
    """Average pooling of a tensor on a grid.

    Args:
        pool_size, strides: One number per axis of space.
        padding: "valid" or "same".
        bits: Of the grid, 8 or 16.
    """

    def __init__(
        self, *, pool_size: Sequence[int], strides: Sequence[int], padding: str, bits: int, **options: Any
    ) -> None:
        super().__init__(**options)
        self.pool_size, self.strides, self.padding, self.bits = tuple(pool_size), tuple(strides), padding, bits

    def get_config(self) -> dict[str, Any]:
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding, "bits": self.bits}
        return {**super().get_config(), **own}

    def build(self, inputs_shape: Any, grid_shape: Any = None) -> None:
        self.built = True

    def _mean(self, inputs: Any) -> Any:
        return keras.ops.average_pool(inputs, self.pool_size, self.strides, self.padding)

    def call(self, inputs: Any, grid: Any, training: bool | None = None) -> tuple[Any, Any]:
        made = recording.current()
        if made is not None:
            scale, zero_point = tf.get_static_value(grid)
            same = recording.Grid(scale=float(scale), zero_point=int(zero_point), bits=self.bits)
            return made.mark(self._mean(inputs), same), grid
        if training or is_calibrating():
            mean = self._mean(inputs)
            if training:
                rounded = tf.round(mean / grid[0]) * grid[0]
                mean = mean + tf.stop_gradient(rounded - mean)
            return mean, grid
        integers = tf.round(inputs / grid[0]) + grid[1]
        area = float(np.prod(self.pool_size))
        low, high = self._padding(inputs.shape)
        pads = [[0, 0], *([int(a), int(b)] for a, b in zip(low, high, strict=True)), [0, 0]]

        def total(values: Any) -> Any:
            mean = keras.ops.average_pool(tf.pad(values, pads), self.pool_size, self.strides, "valid")
            return tf.cast(tf.round(mean * area), tf.int64)

        summed, count = total(integers), total(tf.ones_like(integers[:1, ..., :1]))
        half = count // 2
        return arithmetic.real(tf.where(summed > 0, (summed + half) // count, -((half - summed) // count)), grid), grid

    def _padding(self, shape: Any) -> tuple[list[int], list[int]]:
        sizes = [int(size) for size in shape[1:-1]]
        if self.padding == "valid":
            return [0] * len(sizes), [0] * len(sizes)
        needed = [
            max((-(-size // stride) - 1) * stride + pool - size, 0)
            for size, stride, pool in zip(sizes, self.strides, self.pool_size, strict=True)
        ]
        return [n // 2 for n in needed], [n - n // 2 for n in needed]

    def compute_output_spec(self, inputs: Any, grid: Any, training: bool | None = None) -> Any:
        mean = keras.ops.average_pool(inputs, self.pool_size, self.strides, self.padding)
        return keras.KerasTensor(mean.shape, dtype="float32"), keras.KerasTensor((2,), dtype="float32")
