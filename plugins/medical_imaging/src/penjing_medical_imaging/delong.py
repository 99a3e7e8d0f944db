"""Variance of the area under the ROC curve, and of the difference of two on the same examples.

Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837; computed from midranks as in Sun and Xu 2014, "Fast
implementation of DeLong's algorithm", IEEE Signal Processing Letters 21:1389, in n log n time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, rankdata


@dataclass(frozen=True, kw_only=True)
class DeLong:
    """Areas of k models on the same examples."""

    areas: np.ndarray
    """Shape (k,)."""
    covariance: np.ndarray
    """Shape (k, k)."""

    def interval(self, model: int = 0, confidence: float = 0.95) -> tuple[float, float]:
        """Normal interval of an area, on the logit scale where the area allows it, so that it stays between 0 and 1."""
        area, deviation = float(self.areas[model]), float(np.sqrt(max(self.covariance[model, model], 0.0)))
        z = float(norm.ppf(0.5 + confidence / 2))
        if not 0 < area < 1 or deviation == 0:
            return max(0.0, area - z * deviation), min(1.0, area + z * deviation)
        middle, reach = np.log(area / (1 - area)), z * deviation / (area * (1 - area))
        return float(1 / (1 + np.exp(reach - middle))), float(1 / (1 + np.exp(-reach - middle)))

    def difference(
        self, first: int = 0, second: int = 1, confidence: float = 0.95
    ) -> tuple[float, float, float, float]:
        """(second - first, low, high, two-sided p of no difference)."""
        gap = float(self.areas[second] - self.areas[first])
        c = self.covariance
        deviation = float(np.sqrt(max(c[first, first] + c[second, second] - 2 * c[first, second], 0.0)))
        reach = float(norm.ppf(0.5 + confidence / 2)) * deviation
        chance = 1.0 if gap == 0 else 0.0 if deviation == 0 else float(2 * norm.sf(abs(gap) / deviation))
        return gap, gap - reach, gap + reach, chance


def delong(positive: Any, scores: Any) -> DeLong:
    """Areas and their covariance.

    Args:
        positive: bool of shape (n,), with at least two of each kind.
        scores: Shape (n,) or (k, n); higher means more likely positive.

    Raises:
        ValueError: There are fewer than two positives or two negatives.
    """
    positive = np.asarray(positive, bool).reshape(-1)
    scores = np.atleast_2d(np.asarray(scores, np.float64))
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise ValueError("DeLong's variance needs two examples of each kind")
    of_all = np.stack([rankdata(row) for row in scores])
    of_positive = np.stack([rankdata(row[positive]) for row in scores])
    of_negative = np.stack([rankdata(row[~positive]) for row in scores])
    # How often each positive wins against the negatives, and each negative loses against the positives.
    wins = (of_all[:, positive] - of_positive) / n
    losses = 1 - (of_all[:, ~positive] - of_negative) / m
    covariance = np.cov(wins).reshape(len(scores), -1) / m + np.cov(losses).reshape(len(scores), -1) / n
    return DeLong(areas=wins.mean(axis=1), covariance=covariance)
