"""The simple things to beat: logistic regression and a random forest on the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.contract import FittedBaseline, Splits
from penjing_datasets.images import scaled

SIDE = 28
"""Larger images are brought to this many pixels a side, so that a forest on colour images ends in minutes."""
MOST_EXAMPLES = 10_000
"""Training images that a baseline is fitted on, at most."""


def fit_logistic(splits: Splits, seed: int) -> FittedBaseline:
    """Logistic regression on the normalised pixels, fitted on the training part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def make() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300, random_state=seed))

    return FittedBaseline(name="logistic regression on pixels", predict=_fitted(make, splits, seed))


def fit_forest(splits: Splits, seed: int) -> FittedBaseline:
    """A random forest on the normalised pixels, fitted on the training part."""
    from sklearn.ensemble import RandomForestClassifier

    def make() -> Any:
        return RandomForestClassifier(n_estimators=200, min_samples_leaf=2, n_jobs=2, random_state=seed)

    return FittedBaseline(name="random forest on pixels", predict=_fitted(make, splits, seed))


def _fitted(make: Any, splits: Splits, seed: int) -> Any:
    """A function from inputs to outputs shaped like the model's."""
    rows = np.arange(len(splits.train))
    if len(rows) > MOST_EXAMPLES:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_EXAMPLES])
    x, y = _pixels(np.asarray(splits.train.x)[rows]), np.asarray(splits.train.y)[rows]
    labels = y if y.ndim == 2 else y[:, None]
    models = []
    for column in range(labels.shape[1]):
        if len(np.unique(labels[:, column])) < 2:
            models.append(None)
        else:
            models.append(make().fit(x, labels[:, column].astype(int)))
    outputs = 1 if splits.task == "binary" else len(splits.labels)

    def predict(given: Any) -> np.ndarray:
        pixels = _pixels(np.asarray(given))
        if y.ndim == 2:
            known = [np.zeros(len(pixels)) if model is None else model.predict_proba(pixels)[:, 1] for model in models]
            return np.stack(known, axis=1).astype(np.float32)
        probabilities = models[0].predict_proba(pixels)
        if outputs == 1:
            return probabilities[:, 1:].astype(np.float32)
        full = np.zeros((len(pixels), outputs), np.float32)
        full[:, models[0].classes_] = probabilities
        return full

    return predict


def _pixels(x: np.ndarray) -> np.ndarray:
    if x.shape[1] > SIDE:
        x = np.stack([scaled(image, SIDE) for image in x])
    return x.reshape(len(x), -1)
