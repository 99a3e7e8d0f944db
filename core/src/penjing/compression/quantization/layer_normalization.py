"""LayerNormalization in float32 between two grids, with the additions in the order in which the file makes them.

Nothing of it is quantized: its squares and its reciprocal root would need more than 8 bits. A file computes it with
float32 operators between a DEQUANTIZE and a QUANTIZE. Sums of float32 numbers depend on their order, and a sum that
differs in its last digit falls, now and then, to the other side of a border between two steps.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from penjing.compression.quantization.ranges import is_calibrating
from penjing.export import recording


@keras.saving.register_keras_serializable(package="penjing")
class OrderedLayerNormalization(keras.layers.LayerNormalization):
    """LayerNormalization over the last axis: at inference, sums run from the first channel to the last, as in LiteRT's
    reference kernel of MEAN."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training or is_calibrating():
            return super().call(inputs)
        mean, inverse_root = _ordered_mean, _inverse_root
        if recording.current() is not None:
            mean, inverse_root = _recorded_mean, tf.math.rsqrt
        centred = inputs - mean(inputs)
        outputs = centred * inverse_root(mean(centred * centred) + self.epsilon)
        if self.scale:
            outputs *= self.gamma.value
        if self.center:
            outputs += self.beta.value
        return outputs


def _recorded_mean(values: Any) -> Any:
    return tf.reduce_mean(values, -1, keepdims=True)


# Divisions and roots are computed in float64 and rounded, which for one operation is the same as in float32: graphs are
# rewritten to multiplications with a reciprocal, and to an rsqrt of their own, where they hold them in float32.


def _ordered_mean(values: Any) -> Any:
    total = tf.cast(tf.cumsum(values, -1)[..., -1:], tf.float64)
    return tf.cast(total / float(values.shape[-1]), tf.float32)


def _inverse_root(values: Any) -> Any:
    """1 / sqrt as the kernel computes it, each step rounded to float32."""
    root = tf.cast(tf.sqrt(tf.cast(values, tf.float64)), tf.float32)
    return tf.cast(1.0 / tf.cast(root, tf.float64), tf.float32)
