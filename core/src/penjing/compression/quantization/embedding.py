"""Embedding with simulated quantization: rows of a table of bytes, a GATHER in the file."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic
from penjing.compression.quantization.ranges import is_calibrating
from penjing.export import recording

BITS = 8


@keras.saving.register_keras_serializable(package="penjing")
class QuantizedEmbedding(keras.layers.Embedding):
    """Embedding whose table has one affine grid of 8 bits, from its smallest to its largest value. Zero is on it, and
    equal values stay equal."""

    def grid(self) -> Any:
        """(scale, zero point) of the table, float32 of shape (2,)."""
        table = tf.convert_to_tensor(self.embeddings)
        low, high = tf.minimum(tf.reduce_min(table), 0.0), tf.maximum(tf.reduce_max(table), 0.0)
        scale = tf.maximum((high - low) * np.float32(1 / 255), 1e-7)
        return tf.stack([scale, tf.clip_by_value(tf.round(-128.0 - low / scale), -128.0, 127.0)])

    def call(self, inputs: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Rows (n, ..., output_dim) on the table's grid, and the grid."""
        table, numbers = tf.convert_to_tensor(self.embeddings), tf.cast(inputs, tf.int32)
        made = recording.current()
        if made is not None:
            with tf.init_scope():
                scale, zero_point = np.asarray(self.grid(), np.float32)
            grid = recording.Grid(scale=float(scale), zero_point=int(zero_point), bits=BITS)
            return made.mark(tf.gather(table, numbers), grid, rows=True), tf.constant([scale, zero_point], tf.float32)
        own = self.grid()
        if not is_calibrating():
            rounded = arithmetic.real(arithmetic.quantize(table, own, BITS), own)
            table = table + tf.stop_gradient(rounded - table) if training else rounded
        return tf.gather(table, numbers), own

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype="float32"), keras.KerasTensor((2,), dtype="float32")
