"""The simple things to beat: logistic regression and a random forest on the pixels."""

from __future__ import annotations

from collections.abc import Sequence
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

    return FittedBaseline(name="random forest on pixels", predict=_fitted(make, splits, seed, together=True))


def _fitted(make: Any, splits: Splits, seed: int, *, together: bool = False) -> Any:
    """A function from inputs to outputs shaped like the model's.

    Args:
        make: Makes an estimator.
        together: Whether one estimator learns all labels of an image; else each has one of its own.
    """
    rows = np.arange(len(splits.train))
    if len(rows) > MOST_EXAMPLES:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_EXAMPLES])
    x, y = _pixels(np.asarray(splits.train.x)[rows]), np.asarray(splits.train.y)[rows].astype(int)
    if y.ndim == 1:
        outputs = 1 if splits.task == "binary" else len(splits.labels)
        model = make().fit(x, y)
        return lambda given: _of_classes(model, _pixels(np.asarray(given)), outputs)
    # A label that no image has cannot be learned; its probability is its share, 0 or 1.
    known = [k for k in range(y.shape[1]) if len(np.unique(y[:, k])) == 2]
    if together and len(known) > 1:
        one = make().fit(x, y[:, known])
        return lambda given: _of_labels(one.predict_proba(_pixels(np.asarray(given))), known, y)
    models = [make().fit(x, y[:, k]) for k in known]

    def predict(given: Any) -> np.ndarray:
        pixels = _pixels(np.asarray(given))
        return _of_labels([model.predict_proba(pixels) for model in models], known, y)

    return predict


def _of_classes(model: Any, pixels: np.ndarray, outputs: int) -> np.ndarray:
    probabilities = model.predict_proba(pixels)
    if outputs == 1:
        return probabilities[:, 1:].astype(np.float32)
    full = np.zeros((len(pixels), outputs), np.float32)
    full[:, model.classes_] = probabilities
    return full


def _of_labels(probabilities: Sequence[np.ndarray], known: Sequence[int], y: np.ndarray) -> np.ndarray:
    full = np.repeat(y.mean(axis=0, dtype=np.float32)[None], len(probabilities[0]), axis=0)
    for k, values in zip(known, probabilities, strict=True):
        full[:, k] = values[:, 1]
    return full


def _pixels(x: np.ndarray) -> np.ndarray:
    if x.shape[1] > SIDE:
        x = np.stack([scaled(image, SIDE) for image in x])
    return x.reshape(len(x), -1)
