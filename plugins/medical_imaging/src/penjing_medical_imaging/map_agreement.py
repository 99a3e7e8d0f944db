"""How far compression moved the heat maps: Keras' Grad-CAM before, the file's own maps after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata


def grad_cam(model: Any, x: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Grad-CAM by Keras and TensorFlow, without the final ReLU, so that what speaks against counts in a comparison.

    Args:
        model: A network with a layer "pool" after its last feature map.
        x: Inputs, shape (n, *input_shape).
        outputs: The output that each map is about, shape (n,).

    Returns:
        float32 of shape (n, height, width).
    """
    import keras
    import tensorflow as tf

    split = keras.Model(model.inputs, [model.get_layer("pool").input, model.outputs[0]])
    made = []
    for start in range(0, len(x), 64):
        rows = slice(start, start + 64)
        with tf.GradientTape() as tape:
            features, answers = split(tf.constant(x[rows]), training=False)
            # The logit, not the probability: where a sigmoid is saturated its gradient is lost in rounding.
            chosen = tf.gather(answers, outputs[rows].astype(int), axis=1, batch_dims=1)
            bounded = tf.clip_by_value(chosen, 1e-6, 1 - 1e-6)
            logit = tf.math.log(bounded) - tf.math.log1p(-bounded)
        gradient = tape.gradient(logit, features)
        weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
        made.append(tf.reduce_sum(weights * features, axis=3).numpy())
    return np.concatenate(made)


@dataclass(frozen=True, kw_only=True)
class MapAgreement:
    """Rank correlations of two models' maps, image by image."""

    correlations: np.ndarray
    """Spearman's of each image, shape (n,); NaN where a map is constant."""

    @property
    def summary(self) -> str:
        valid = self.correlations[np.isfinite(self.correlations)]
        if not len(valid):
            return "not defined: the maps are constant"
        low, middle, high = np.quantile(valid, [0.05, 0.5, 0.95])
        return f"median {middle:.3f}, 5 % below {low:.3f}, 5 % above {high:.3f}, over {len(valid):,} test images"


def map_agreement(first: np.ndarray, second: np.ndarray) -> MapAgreement:
    """Spearman's rank correlation of maps of shape (n, height, width), image by image."""
    found = []
    for one, other in zip(first, second, strict=True):
        a, b = rankdata(one.reshape(-1)), rankdata(other.reshape(-1))
        a, b = a - a.mean(), b - b.mean()
        length = np.sqrt(np.square(a).sum() * np.square(b).sum())
        found.append(float((a * b).sum() / length) if length else float("nan"))
    return MapAgreement(correlations=np.array(found))
