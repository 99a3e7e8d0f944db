"""The small model, and the simple thing to beat. Only what trains imports Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from penjing.contract import FittedBaseline, ModelRequest, Splits
from penjing.options import with_defaults

from penjing_image_classification import DOMAIN

DEFAULTS: dict[str, Any] = {"filters": 16}
"""Options of the `[model]` table: channels of the first convolution; later ones have two and four times as many."""
RANGES = {"filters": (1, 1_024)}
TEACHER_DEFAULTS: dict[str, Any] = {"filters": 32}


def build_model(request: ModelRequest) -> keras.Model:
    """Three stages of convolutions, each at half the size, the mean over the image, softmax."""
    return _network(request, with_defaults(DOMAIN, "model", request.options, DEFAULTS, RANGES)["filters"])


def build_teacher(request: ModelRequest) -> keras.Model:
    """The same network, twice as wide."""
    return _network(request, with_defaults(DOMAIN, "teacher", request.options, TEACHER_DEFAULTS, RANGES)["filters"])


def fit_baseline(splits: Splits, seed: int) -> FittedBaseline:
    """Logistic regression on the mean colours of sixteen fields: what somebody would try first."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=300, random_state=seed)
    model.fit(_fields(splits.train.x), splits.train.y)
    columns = np.asarray(model.classes_)

    def predict(x: Any) -> np.ndarray:
        outputs = np.zeros((len(x), len(splits.labels)), np.float32)
        outputs[:, columns] = model.predict_proba(_fields(x))
        return outputs

    return FittedBaseline(name="logistic regression on the mean colours of sixteen fields", predict=predict)


def _network(request: ModelRequest, filters: int) -> keras.Model:
    layers = keras.layers
    inputs = keras.Input(request.splits.train.x.shape[1:], name="image")
    x = inputs
    for stage, width in enumerate((filters, 2 * filters, 4 * filters), start=1):
        for number in (1, 2):
            name = f"stage{stage}_{number}"
            stride = 2 if stage > 1 and number == 1 else 1
            x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False, name=name)(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    outputs = layers.Dense(len(request.splits.labels), activation="softmax", name="class")(x)
    return keras.Model(inputs, outputs, name="three_stages")


def _fields(x: Any) -> np.ndarray:
    """Means over a grid of 4 x 4 fields, shape (n, 16 * channels)."""
    rows = [part.mean(axis=1) for part in np.array_split(np.asarray(x), 4, axis=1)]
    fields = [part.mean(axis=1) for row in rows for part in np.array_split(row, 4, axis=1)]
    return np.concatenate(fields, axis=1)
