"""Metrics over transactions. Outputs are log-odds of fraud, shape (n, 1); only `calibration` minds what they are."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 10


def average_precision(targets: Any, outputs: Any) -> float:
    """Area under the precision-recall curve as a sum of steps: the mean, over the frauds, of the precision at the
    score of each. Transactions of equal score stand at one threshold. NaN without a fraud.

    Source: Davis and Goadrich 2006, "The relationship between precision-recall and ROC curves"; the sum of steps is
    scikit-learn's `average_precision_score`.
    """
    fraud, score = _flat(targets, outputs)
    found, flagged = _at_thresholds(fraud, score)
    if not len(found) or found[-1] == 0:
        return float("nan")
    gained = np.diff(found, prepend=0.0)
    return float(np.sum(gained * found / flagged) / found[-1])


def auc(targets: Any, outputs: Any) -> float:
    """Area under the receiver operating characteristic: the chance that a fraud scores higher than another transaction,
    ties counted half. NaN where only one kind occurs."""
    fraud, score = _flat(targets, outputs)
    found, flagged = _at_thresholds(fraud, score)
    if not len(found) or found[-1] == 0 or found[-1] == len(fraud):
        return float("nan")
    others = flagged - found
    return float(np.trapezoid(np.append(0.0, found), np.append(0.0, others)) / (found[-1] * others[-1]))


def calibration(targets: Any, outputs: Any) -> dict[str, float]:
    """How far probabilities are from what happened.

    Returns:
        `brier`: mean of (probability - fraud)^2 (Brier 1950). `log_loss`: in nats. `expected_error`: mean over ten bins
        of equally many frauds' worth of probability, weighted by their transactions, of |mean probability - share of
        fraud| (Guo et al. 2017, with bins that hold equally much probability, since nearly all transactions would fall
        into one bin of equal width). `predicted_share` and `observed_share` of fraud.
    """
    fraud, score = _flat(targets, outputs)
    probability = probabilities(score)
    order = np.argsort(probability, kind="stable")
    mass = np.cumsum(probability[order])
    bins = np.minimum((mass / mass[-1] * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    gap = np.abs(np.bincount(bins, probability[order] - fraud[order], minlength=BINS))
    bounded = np.clip(probability, 1e-7, 1 - 1e-7)
    return {
        "brier": float(np.mean(np.square(probability - fraud))),
        "log_loss": float(-np.mean(np.where(fraud > 0, np.log(bounded), np.log1p(-bounded)))),
        "expected_error": float(gap.sum() / counts.sum()),
        "predicted_share": float(probability.mean()),
        "observed_share": float(fraud.mean()),
    }


def probabilities(outputs: Any) -> np.ndarray:
    """Log-odds as probabilities, float64 of the same shape."""
    return 1.0 / (1.0 + np.exp(-np.asarray(outputs, np.float64)))


def _flat(targets: Any, outputs: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(targets).reshape(-1).astype(np.float64), np.asarray(outputs).reshape(-1)


def _at_thresholds(fraud: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frauds, transactions) with a score at or above each distinct score, from the highest down."""
    order = np.argsort(-score)
    falling = score[order]
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(score) - 1) if len(score) else np.zeros(0, int)
    return np.cumsum(fraud[order])[last], last + 1.0
