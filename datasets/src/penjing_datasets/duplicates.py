"""Exact copies of examples, found by a hash of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


def content_hashes(examples: Sequence[np.ndarray] | np.ndarray) -> list[str]:
    """SHA-256 of shape and values of each example."""
    hashes = []
    for example in examples:
        values = np.ascontiguousarray(example)
        digest = hashlib.sha256(f"{values.shape}{values.dtype.str}".encode())
        digest.update(values.tobytes())
        hashes.append(digest.hexdigest())
    return hashes


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Examples that stand in two parts."""

    first: str
    second: str
    """Names of the parts."""
    count: int
    """Contents that occur in both."""
    contradictory: int
    """Of these, such whose labels differ."""


def copies_across(
    hashes: Mapping[str, Sequence[str]], labels: Mapping[str, Sequence[object]] | None = None
) -> tuple[Copies, ...]:
    """Contents that occur in more than one part, pair by pair.

    Args:
        hashes: Hash of each example, by part.
        labels: Label of each example, by part; None leaves contradictions uncounted.
    """
    found = []
    names = list(hashes)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            shared = set(hashes[first]) & set(hashes[second])
            if shared:
                contradictory = 0
                if labels is not None:
                    one, other = (_labels_of(hashes[part], labels[part], shared) for part in (first, second))
                    contradictory = sum(one[content] != other[content] for content in shared)
                found.append(Copies(first=first, second=second, count=len(shared), contradictory=contradictory))
    return tuple(found)


def _labels_of(hashes: Sequence[str], labels: Sequence[object], wanted: set[str]) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = {}
    for content, label in zip(hashes, labels, strict=True):
        if content in wanted:
            seen.setdefault(content, set()).add(str(label))
    return seen
