"""What the accuracy does not say: how much of the catalogue is shown, how known it is, and for whom it fails.

Each takes `(predict, split, splits)`; the popularity of items is their number of interactions in training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing_recommendation.metrics import CUT, gains, hit_rate, ndcg, reciprocal_rank
from penjing_recommendation.ranking import places, recommended

Predict = Callable[[Any], Any]
COLD = 5
"""Interactions below which an item, or a user, is cold."""
LAST = (0, 1, 2, 5, 10, 20, 50)
"""How many of the newest items the recency curve leaves in the history."""
RECENCY_EXAMPLES = 1_000
"""Examples of the recency curve, the first, at most."""


def by_protocol(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """The accuracy metrics again, under names that hold the protocol, so that no figure is taken for another's."""
    outputs = _outputs(predict, split)
    protocol = f"{splits.extra['protocol']}, full ranking"
    return {
        f"{protocol}, ndcg_at_10": ndcg(split.y, outputs),
        f"{protocol}, hit_rate_at_10": hit_rate(split.y, outputs),
        f"{protocol}, mrr_at_100": reciprocal_rank(split.y, outputs),
    }


def beyond_accuracy(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """Figures of the first ten recommendations.

    Returns:
        `coverage`: share of the catalogue that is recommended to anybody. `gini`: how unequally items are recommended,
        0 all alike, 1 always the same. `novelty`: mean self-information of what is recommended, in bits: -log2 of an
        item's share of the interactions in training (Zhou et al. 2010). `popularity`: mean interactions in training of
        what is recommended. `popularity_lift`: that, relative to the mean of what the users had taken, minus 1
        (Abdollahpouri et al. 2019). `hit_rate_cold_items`, `hit_rate_cold_users`: hit rate where the right item, or the
        history, has fewer than five interactions; NaN where there is none. `unseen_targets`: share of right items that
        training has not seen, each a miss. `short_lists`: share of examples for which fewer than ten items remained.
    """
    outputs = _outputs(predict, split)
    counts = np.concatenate([[0], np.asarray(splits.extra["counts"])]).astype(np.float64)
    targets = np.asarray(split.y)
    shown = recommended(outputs, targets[:, 1:], CUT)
    given = shown[shown > 0]
    how_often = np.sort(np.bincount(given, minlength=len(counts))[1:]).astype(np.float64)
    ranks = np.arange(1, len(how_often) + 1)
    items = len(how_often)
    share = counts[given] / counts.sum()
    seen = targets[:, 1:]
    known = seen > 0
    taken = counts[np.where(known, seen, 0)].sum(axis=1)[known.any(axis=1)] / known.sum(axis=1)[known.any(axis=1)]
    popularity = float(counts[given].mean()) if len(given) else float("nan")
    hit = places(targets, outputs, CUT) < CUT
    cold_item = (targets[:, 0] > 0) & (counts[np.maximum(targets[:, 0], 0)] < COLD)
    return {
        "coverage_at_10": float((how_often > 0).mean()),
        "gini_at_10": float(((2 * ranks - items - 1) * how_often).sum() / max(1.0, items * how_often.sum())),
        "novelty_at_10": float(-np.log2(share).mean()) if len(share) else float("nan"),
        "popularity_at_10": popularity,
        "popularity_lift_at_10": popularity / float(taken.mean()) - 1 if len(taken) else float("nan"),
        "hit_rate_cold_items": _mean(hit[cold_item]),
        "hit_rate_cold_users": _mean(hit[known.sum(axis=1) < COLD]),
        "unseen_targets": float((targets[:, 0] == 0).mean()),
        "short_lists": float((shown[:, -1] == 0).mean()),
    }


def hit_rate_by_popularity(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """Hit rate at ten by the popularity of the right item: 1 is the most popular tenth of the catalogue."""
    hit = places(split.y, _outputs(predict, split), CUT) < CUT
    tenth = popularity_tenth(np.asarray(split.y)[:, 0], len(splits.extra["counts"]))
    return {f"tenth {number}": _mean(hit[tenth == number]) for number in range(1, 11)}


def popularity_tenth(numbers: np.ndarray, items: int) -> np.ndarray:
    """1 for the most popular tenth of the catalogue to 10; 0 for items that training has not seen. Numbers of items
    fall with their popularity."""
    return np.where(numbers > 0, (numbers - 1) * 10 // items + 1, 0)


def recency_curve(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """NDCG at ten when the model sees only so many of the newest items; what was seen is left out all the same."""
    x, y = np.asarray(split.x)[:RECENCY_EXAMPLES], np.asarray(split.y)[:RECENCY_EXAMPLES]
    found = {}
    for last in LAST:
        if last > x.shape[1]:
            break
        cut = x.copy()
        cut[:, : x.shape[1] - last] = 0
        found[f"last {last}"] = float(np.mean(gains(places(y, predict(cut), CUT))))
    return found


_kept: list[Any] = [None, None, None]


def _outputs(predict: Predict, split: Split) -> np.ndarray:
    """The outputs on a split; the last are kept, since several metrics ask for the same."""
    if _kept[0] is not predict or _kept[1] is not split:
        _kept[:] = [predict, split, np.asarray(predict(split.x))]
    return _kept[2]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
