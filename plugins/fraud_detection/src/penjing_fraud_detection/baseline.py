"""The simple things to beat: logistic regression, and gradient boosting, which is not small."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.contract import FittedBaseline, Splits

BOOSTING = {
    "max_iter": 150,
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "l2_regularization": 5.0,
    "min_samples_leaf": 50,
}
"""Chosen on the validation part among four settings."""


def fit_baseline(splits: Splits, seed: int) -> FittedBaseline:
    """Logistic regression on the model's inputs, fitted on the training part."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000, random_state=seed)
    model.fit(splits.train.x, splits.train.y)
    return FittedBaseline(name="logistic regression on the same inputs", predict=lambda x: _log_odds(model, x))


def fit_boosting(splits: Splits, seed: int) -> FittedBaseline:
    """Gradient boosting on the model's inputs, fitted on the training part; the README has its figures."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(random_state=seed, early_stopping=False, **BOOSTING)
    model.fit(splits.train.x, splits.train.y)
    return FittedBaseline(name="gradient boosting on the same inputs", predict=lambda x: _log_odds(model, x))


def _log_odds(model: Any, x: Any) -> np.ndarray:
    return np.asarray(model.decision_function(np.asarray(x)), np.float32).reshape(-1, 1)
