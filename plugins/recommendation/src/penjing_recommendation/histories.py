"""What baselines learn from, and whole histories for them: the model sees the newest items only, they see all.

A baseline is asked with the model's input. Where that is shorter than its length it is the whole history; where it is
full, the whole history is looked up by its newest items among those of the evaluated examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.contract import Splits

MOST = 3_000_000
"""Interactions that a baseline learns from, at most: whole users, drawn by the seed."""


def training_matrix(splits: Splits, seed: int) -> tuple[Any, str]:
    """Users by items, 1 where taken in training.

    Returns:
        A scipy CSR matrix, float32, of shape (users, items), column i being item i + 1; and what was left out, in
        words.
    """
    from scipy import sparse

    sequences = splits.extra["sequences"]
    row = np.cumsum(sequences.first == np.arange(len(sequences.first))) - 1
    item, said = sequences.items - 1, ""
    if len(item) > MOST:
        users = int(row[-1]) + 1
        order = np.random.default_rng([seed, 13]).permutation(users)
        sizes = np.bincount(row)[order]
        chosen = np.zeros(users, bool)
        chosen[order[: int(np.searchsorted(np.cumsum(sizes), MOST))]] = True
        kept = chosen[row]
        row, item = np.unique(row[kept], return_inverse=True)[1], item[kept]
        said = f", of {int(chosen.sum()):,} of {users:,} users"
    values = np.ones(len(item), np.float32)
    shape = (int(row[-1]) + 1, len(splits.extra["counts"]))
    return sparse.csr_matrix((values, (row, item)), shape=shape), said


class Histories:
    """Whole histories by the model's input."""

    def __init__(self, splits: Splits) -> None:
        self._items = len(splits.extra["counts"])
        self._known: dict[bytes, np.ndarray] = {}
        for part in (splits.validation, splits.test):
            for newest, target in zip(np.asarray(part.x), np.asarray(part.y), strict=True):
                if newest[0] > 0:
                    self._known[newest.astype(np.int32).tobytes()] = target[1:][target[1:] > 0]

    def of(self, x: Any) -> Any:
        """A scipy CSR matrix, float32, of shape (n, items): 1 where an item was taken.

        Args:
            x: int32 of shape (n, length): item numbers, 0 for none.
        """
        from scipy import sparse

        rows = [self._known.get(newest.tobytes(), newest[newest > 0]) for newest in np.asarray(x, np.int32)]
        columns = np.concatenate(rows) - 1 if rows else np.zeros(0, np.int64)
        places = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        return sparse.csr_matrix((np.ones(len(columns), np.float32), columns, places), shape=(len(rows), self._items))
