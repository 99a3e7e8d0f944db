"""The last items before a place in a sequence, for many places at once."""

from __future__ import annotations

import numpy as np


def windows_of(
    items: np.ndarray,
    first: np.ndarray,
    places: np.ndarray,
    length: int,
    *,
    newest_last: bool = True,
    empty: int = 0,
) -> np.ndarray:
    """What stands before each place, int32 of shape (n, length).

    Args:
        items: Sequences one after the other.
        first: Where the sequence of each place begins, shape (n,).
        places: Shape (n,); the item at a place itself is not in its window.
        length: How many items; earlier ones are left out.
        newest_last: Whether the window ends with the newest item, filled up in front; otherwise it begins with the
            oldest and is filled up behind.
        empty: What fills up.
    """
    steps = np.arange(length)
    if newest_last:
        index = places[:, None] - length + steps
        inside = index >= first[:, None]
    else:
        start = np.maximum(first, places - length)
        index = start[:, None] + steps
        inside = index < places[:, None]
    return np.where(inside, items[np.clip(index, 0, len(items) - 1)], empty).astype(np.int32)
