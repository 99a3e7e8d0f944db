"""Metrics over transactions. Outputs are log-odds of fraud, shape (n, 1); only `calibration` minds what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

BINS = 10
ByCount = Callable[[np.ndarray], float]
"""How often each transaction counts, shape (n,) -> the metric."""


def average_precision(targets: Any, outputs: Any) -> float:
    """Area under the precision-recall curve as a sum of steps: the mean, over the frauds, of the precision at the
    score of each. Transactions of equal score stand at one threshold. NaN without a fraud.

    Source: Davis and Goadrich 2006, "The relationship between precision-recall and ROC curves"; the sum of steps is
    scikit-learn's `average_precision_score`.
    """
    return _prepared_average_precision(targets, outputs)(np.ones(len(np.asarray(targets))))


def auc(targets: Any, outputs: Any) -> float:
    """Area under the receiver operating characteristic: the chance that a fraud scores higher than another transaction,
    ties counted half. NaN where only one kind occurs."""
    return _prepared_auc(targets, outputs)(np.ones(len(np.asarray(targets))))


def _prepared_average_precision(targets: Any, outputs: Any) -> ByCount:
    ranking = _Ranking(targets, outputs)

    def by_count(counts: np.ndarray) -> float:
        frauds = ranking.frauds(counts)
        found, flagged, total = ranking.at_least(ranking.fraud * counts), ranking.at_least(counts), frauds.sum()
        # A fraud that was not drawn may stand where nothing was drawn at all.
        precision = np.divide(found, flagged, out=np.zeros(len(flagged)), where=flagged > 0)
        return float(np.sum(frauds * precision) / total) if total else float("nan")

    return by_count


def _prepared_auc(targets: Any, outputs: Any) -> ByCount:
    ranking = _Ranking(targets, outputs)

    def by_count(counts: np.ndarray) -> float:
        others = (1.0 - ranking.fraud) * counts
        frauds, total = ranking.frauds(counts), others.sum()
        lower_or_equal = total - ranking.above(others)
        lower = total - ranking.at_least(others)
        pairs = frauds.sum() * total
        return float(np.sum(frauds * (lower + lower_or_equal) / 2) / pairs) if pairs else float("nan")

    return by_count


# The bootstrap then ranks the outputs once and not once a resample.
average_precision.prepare = _prepared_average_precision  # type: ignore[attr-defined]
auc.prepare = _prepared_auc  # type: ignore[attr-defined]


class _Ranking:
    """Transactions from the highest score down; sums over those above each fraud."""

    def __init__(self, targets: Any, outputs: Any) -> None:
        self.fraud = np.asarray(targets).reshape(-1).astype(np.float64)
        score = np.asarray(outputs).reshape(-1)
        self._order = np.argsort(-score)
        falling = -score[self._order]
        self._rows = np.flatnonzero(self.fraud > 0)
        self._first = np.searchsorted(falling, -score[self._rows], side="left")
        self._last = np.searchsorted(falling, -score[self._rows], side="right")

    def frauds(self, counts: np.ndarray) -> np.ndarray:
        """The counts of the frauds, shape (frauds,)."""
        return counts[self._rows]

    def at_least(self, values: np.ndarray) -> np.ndarray:
        """Sum of the values of all that score at least as high as each fraud, shape (frauds,)."""
        return self._sums(values)[self._last]

    def above(self, values: np.ndarray) -> np.ndarray:
        """Sum of the values of all that score higher than each fraud, shape (frauds,)."""
        return self._sums(values)[self._first]

    def _sums(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(values[self._order])])


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
