"""Finding a model's weight tensors again in a .tflite file, which has no names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np


def axis_orders(shape: Sequence[int], target: Sequence[int]) -> list[tuple[int, ...]]:
    """Orders of axes that turn one shape into the other."""
    if sorted(shape) != sorted(target):
        return []
    return [
        axes
        for axes in itertools.permutations(range(len(shape)))
        if tuple(shape[axis] for axis in axes) == tuple(target)
    ]


def unmatched(fits: np.ndarray) -> list[int]:
    """Rows that are left over when as many rows as possible get a column of their own.

    Args:
        fits: bool of shape (promises, tensors): whether a tensor keeps a promise.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if fits.shape[1] == 0:
        return list(range(len(fits)))
    matched = maximum_bipartite_matching(csr_array(fits.astype(np.int8)), perm_type="column")
    return [row for row, column in enumerate(matched) if column < 0]
