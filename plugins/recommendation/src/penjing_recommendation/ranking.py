"""From the model's lists to recommendations, and where in them the right item stands."""

from __future__ import annotations

from typing import Any

import numpy as np

DEPTH = 100
"""Recommendations that are looked at."""


def recommended(outputs: Any, seen: Any, depth: int = DEPTH) -> np.ndarray:
    """What is recommended: the lists without what was seen.

    Args:
        outputs: float32 of shape (n, 2, list): falling scores, and item numbers.
        seen: Integers of shape (n, s): item numbers, other values fill up.

    Returns:
        int32 of shape (n, depth): item numbers, the best first, 0 behind the end of a list.
    """
    numbers = np.asarray(outputs)[:, 1, :].astype(np.int32)
    seen = np.asarray(seen).astype(np.int64)
    known = np.zeros(max(int(numbers.max(initial=0)), int(seen.max(initial=0))) + 1, bool)
    found = np.zeros((len(numbers), depth), np.int32)
    for row, (listed, taken) in enumerate(zip(numbers, seen, strict=True)):
        taken = taken[taken > 0]
        known[taken] = True
        left = listed[~known[listed]][:depth]
        found[row, : len(left)] = left
        known[taken] = False
    return found


def places(targets: Any, outputs: Any, depth: int = DEPTH) -> np.ndarray:
    """Where the right item stands among the recommendations, counted from 0; `depth` where it does not.

    Args:
        targets: Shape (n, 1 + s): the right item's number (0: unknown to the model, always a miss), then what was seen.
        outputs: As in `recommended`.

    Returns:
        int64 of shape (n,).
    """
    targets = np.asarray(targets)
    hits = recommended(outputs, targets[:, 1:], depth) == targets[:, :1]
    hits &= targets[:, :1] > 0
    return np.where(hits.any(axis=1), hits.argmax(axis=1), depth)


def as_lists(scores: np.ndarray, count: int) -> np.ndarray:
    """Scores of all items as the model gives its own: the best, equal scores by number.

    Args:
        scores: Shape (n, items), of the items 1, 2, ...
        count: Length of the lists.

    Returns:
        float32 of shape (n, 2, count).
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    best = np.take_along_axis(scores, order, axis=1)
    return np.stack([best, order + 1], axis=1).astype(np.float32)
