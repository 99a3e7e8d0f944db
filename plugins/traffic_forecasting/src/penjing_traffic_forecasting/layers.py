"""Layers of this domain's networks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="penjing_traffic_forecasting")
class NeighbourMean(keras.layers.Layer):
    """Mean of each sensor's nearest neighbours: one step of a graph convolution, kept sparse.

    A dense matrix of N sensors takes N^2 bytes of a file, this takes 4 N k. It is a plain mean and not a weighted sum:
    the int8 kernels of LiteRT disagree about sums, and weights gained nothing on the validation part.

    Args:
        neighbours: Numbers of each sensor's neighbours, shape (sensors, k).
    """

    def __init__(self, neighbours: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.neighbours = np.asarray(neighbours, np.int32)

    def call(self, x: Any) -> Any:
        """(n, sensors, channels) -> (n, sensors, channels)."""
        sensors, count = self.neighbours.shape
        taken = ops.take(x, self.neighbours.reshape(-1), axis=1)
        return ops.mean(ops.reshape(taken, (-1, sensors, count, x.shape[2])), axis=2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "neighbours": self.neighbours.tolist()}
