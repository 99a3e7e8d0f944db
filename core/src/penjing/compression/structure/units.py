"""Units and the ties between them: a union-find over everything that can be removed only together.

A unit is one channel of a layer's output (a filter, a neuron, a recurrent unit, an attention head, a column of an
embedding). Two units are tied where removing one forces removing the other: the k-th filters of two convolutions whose
outputs are added, say. A class of tied units is an atom: the smallest thing that can be removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Where a tensor's channels are: one axis of it, and the unit of each index along that axis.

    Every tensor has at most one labelled axis. What flattening or reshaping would spread over several is tied until it
    fits one.
    """

    axis: int
    """Counted without the batch dimension: 2 for the channels of (batch, height, width, channels)."""
    units: np.ndarray
    """Unit numbers, int64 of the axis' size."""

    def moved(self, axis: int) -> Labels:
        """The same units on another axis."""
        return Labels(axis=axis, units=self.units)

    def full(self, shape: Sequence[int]) -> np.ndarray:
        """Unit numbers of every element of a tensor of this shape (without batch)."""
        view = [1] * len(shape)
        view[self.axis] = -1
        return np.broadcast_to(self.units.reshape(view), tuple(shape))


@dataclass(frozen=True, kw_only=True)
class Tie:
    """Why units became one: 'added to each other in add_3'."""

    unit: int
    """Any of the units concerned."""
    why: str


class Units:
    """Hands out units and remembers what ties or protects them."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._protected: list[tuple[int, str]] = []
        self.ties: list[Tie] = []
        """Ties that joined units of different origin, in the order of the graph."""

    def __len__(self) -> int:
        return len(self._parent)

    def fresh(self, count: int) -> np.ndarray:
        """New units, tied to nothing. int64 of shape (count,)."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def tie(self, left: np.ndarray, right: np.ndarray, why: str) -> None:
        """Tie units pairwise. Both arrays have one shape."""
        joined = -1
        for a, b in zip(left.ravel().tolist(), right.ravel().tolist(), strict=True):
            a, b = self._root(a), self._root(b)
            if a != b:
                self._parent[max(a, b)] = min(a, b)
                joined = a
        if joined >= 0:
            self.ties.append(Tie(unit=joined, why=why))

    def protect(self, units: np.ndarray, why: str) -> None:
        """Keep units for good; everything tied to them, now or later, stays as well."""
        for root in {self._root(unit) for unit in units.ravel().tolist()}:
            self._protected.append((root, why))

    def protected(self) -> dict[int, str]:
        """The first reason of each protected atom, by its root."""
        reasons: dict[int, str] = {}
        for unit, why in self._protected:
            reasons.setdefault(self._root(unit), why)
        return reasons

    def roots(self) -> np.ndarray:
        """The atom of each unit, as the number of one of its units. int64 of shape (units,)."""
        return np.array([self._root(unit) for unit in range(len(self._parent))], np.int64)

    def _root(self, unit: int) -> int:
        parent = self._parent
        root = unit
        while parent[root] != root:
            root = parent[root]
        while parent[unit] != root:
            parent[unit], unit = root, parent[unit]
        return root
