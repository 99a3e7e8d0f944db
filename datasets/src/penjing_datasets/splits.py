"""Splits that keep together what belongs together: a speaker, a patient or a card stands in one part only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from penjing_datasets.errors import DatasetError

PARTS = ("train", "validation", "test")
SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


def split_by_group(groups: Sequence[str], *, seed: int = 0, shares: Mapping[str, float] = SHARES) -> np.ndarray:
    """Assign whole groups to parts, so that the parts' shares of examples come out near the wish.

    The order of groups is by a hash of (seed, group): it does not depend on the order of the examples. Groups fill
    test and validation first, then training.

    Args:
        groups: The group of each example, shape (n,).
        shares: Wished share of each part; they sum to 1.

    Returns:
        Part names, array of str of shape (n,).

    Raises:
        DatasetError: There are fewer groups than parts.
    """
    names = np.asarray(groups).astype(str)
    unique, counts = np.unique(names, return_counts=True)
    if len(unique) < len(PARTS):
        raise DatasetError(
            f"{len(unique)} groups cannot fill training, validation and test",
            why="a group (speaker, patient) must stand in one part only",
            hint="collect from more speakers, or give a split column in manifest.csv",
        )
    order = sorted(range(len(unique)), key=lambda i: _hash(seed, unique[i]))
    assigned: dict[str, str] = {}
    queue = list(order)
    for part in ("test", "validation"):
        filled = 0
        # One group at least, and enough left for the parts that follow.
        while queue and (filled == 0 or filled + counts[queue[0]] / 2 <= shares[part] * len(names)):
            if len(queue) <= (2 if part == "test" else 1) and filled:
                break
            index = queue.pop(0)
            assigned[unique[index]] = part
            filled += int(counts[index])
    for index in queue:
        assigned[unique[index]] = "train"
    return np.array([assigned[name] for name in names])


def split_by_class(
    classes: Sequence[str], ids: Sequence[str], *, seed: int = 0, shares: Mapping[str, float] = SHARES
) -> np.ndarray:
    """Assign single examples to parts, each class alike; for data whose groups are not known.

    Returns:
        Part names, array of str of shape (n,). Each class has at least one example in every part where it has three.
    """
    parts = np.full(len(ids), "train", dtype="<U10")
    classes_array = np.asarray(classes).astype(str)
    for value in np.unique(classes_array):
        rows = sorted(np.flatnonzero(classes_array == value), key=lambda row: _hash(seed, ids[row]))
        start = 0
        for part in ("test", "validation"):
            count = max(1, round(shares[part] * len(rows))) if len(rows) >= 3 else 0
            parts[rows[start : start + count]] = part
            start += count
    return parts


def refuse_overlap(parts: Sequence[str], groups: Sequence[str], word: str) -> None:
    """Check a given split.

    Args:
        parts: Part of each example.
        groups: Group of each example.
        word: What a group is, for the message: 'speaker'.

    Raises:
        DatasetError: A group stands in two parts.
    """
    seen: dict[str, str] = {}
    shared: dict[str, tuple[str, str]] = {}
    for part, group in zip(parts, groups, strict=True):
        first = seen.setdefault(str(group), str(part))
        if first != part:
            shared.setdefault(str(group), (first, str(part)))
    if shared:
        group, (first, second) = next(iter(sorted(shared.items())))
        raise DatasetError(
            f"{len(shared):,} {word}s stand in two parts of the split",
            where=f"{word} '{group}' in {first} and {second}",
            why=f"a result on {word}s that training has heard says nothing about new ones",
            hint="leave the split column out: penjing then splits by " + word,
        )


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
