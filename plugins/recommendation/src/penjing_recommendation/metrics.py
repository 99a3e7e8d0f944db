"""Accuracy of the first ten, over examples. The whole catalogue was ranked, without what the user had taken before.

Targets are int32 of shape (n, 1 + seen), outputs float32 of shape (n, 2, list): see `penjing_recommendation.data` and
`penjing_recommendation.layers.BestItems`. One item is right, so recall at ten is the hit rate, and the ideal gain is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing_recommendation.ranking import DEPTH, places

CUT = 10
ByCount = Callable[[np.ndarray], float]


def ndcg(targets: Any, outputs: Any) -> float:
    """Mean of 1 / log2(place + 2) where the right item stands among the first ten, else 0 (Järvelin and Kekäläinen
    2002, with one relevant item)."""
    return float(np.mean(gains(places(targets, outputs))))


def hit_rate(targets: Any, outputs: Any) -> float:
    """Share of examples whose right item stands among the first ten."""
    return float(np.mean(places(targets, outputs) < CUT))


def reciprocal_rank(targets: Any, outputs: Any) -> float:
    """Mean of 1 / (place + 1) where the right item stands among the first hundred, else 0."""
    return float(np.mean(reciprocals(places(targets, outputs))))


def gains(place: np.ndarray) -> np.ndarray:
    """Discounted gain of each example, float64 of shape (n,)."""
    return np.where(place < CUT, 1.0 / np.log2(place + 2.0), 0.0)


def reciprocals(place: np.ndarray) -> np.ndarray:
    """Reciprocal rank of each example, float64 of shape (n,)."""
    return np.where(place < DEPTH, 1.0 / (place + 1.0), 0.0)


def _prepared(of_place: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any, Any], ByCount]:
    def prepare(targets: Any, outputs: Any) -> ByCount:
        values = of_place(places(targets, outputs)).astype(np.float64)

        def by_count(counts: np.ndarray) -> float:
            total = counts.sum()
            return float(values @ counts / total) if total else float("nan")

        return by_count

    return prepare


# The bootstrap then goes through the lists once and not once a resample.
ndcg.prepare = _prepared(gains)  # type: ignore[attr-defined]
hit_rate.prepare = _prepared(lambda place: place < CUT)  # type: ignore[attr-defined]
reciprocal_rank.prepare = _prepared(reciprocals)  # type: ignore[attr-defined]
