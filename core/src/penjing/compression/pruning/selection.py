"""Which channels go: the least important ones, until a cost is reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from penjing.compression.structure.graph import ChannelGraph, ChannelGroup

Scope = Literal["global", "local", "isomorphic"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What no selection may pass."""

    round_to: int = 1
    min_channels: int = 1
    max_ratio: float = 1.0


class Selector:
    """Ranks the atoms of a graph once, and tells which go when a share of them does."""

    def __init__(self, graph: ChannelGraph, scores: np.ndarray, scope: Scope, limits: Limits) -> None:
        """
        Args:
            scores: By atom number, the lowest go first; atoms with NaN stay.
            scope: Rank all atoms together, those of each group, or those of groups of the same build (Fang et al.
                2024, "Isomorphic pruning for vision models": scores of layers of different kinds do not compare).
        """
        self.graph = graph
        self.scores = scores
        self.limits = limits
        pools: dict[object, list[int]] = {}
        for group in graph.groups:
            key: object = "all" if scope == "global" else group.number if scope == "local" else _build(graph, group)
            free = [a for a in group.atoms.tolist() if graph.why_protected(a) is None and not np.isnan(scores[a])]
            pools.setdefault(key, []).extend(free)
        self.pools = [
            np.array(sorted(atoms, key=lambda atom: (scores[atom], atom)), np.int64)
            for atoms in pools.values()
            if atoms
        ]
        self._axes = [graph.atom_of[use.units] for use in graph.uses if use.role == "makes"]

    def removed(self, share: float) -> np.ndarray:
        """Atoms that go when this share of every pool would, the limits held."""
        gone = np.zeros(len(self.graph.units), bool)
        for pool in self.pools:
            gone[pool[: int(share * len(pool) + 1e-6)]] = True
        changed = True
        while changed:  # putting atoms back can only be needed so often: it never takes any away
            changed = sum(self._mend(axis, gone) for axis in self._axes) > 0
        return np.flatnonzero(gone)

    def _mend(self, axis: np.ndarray, gone: np.ndarray) -> bool:
        """Put back the most important of one axis until it obeys the limits."""
        limits, size = self.limits, len(axis)
        least = max(min(limits.min_channels, size), int(np.ceil(size * (1.0 - limits.max_ratio) - 1e-9)))
        changed = False
        lost = sorted({int(atom) for atom in axis[gone[axis]]}, key=lambda atom: self.scores[atom])
        while lost:
            left = size - int(gone[axis].sum())
            if left >= least and left % limits.round_to == 0:
                break
            gone[lost.pop()] = False
            changed = True
        return changed

    def for_cost(self, cost: Callable[[np.ndarray], float], limit: float) -> tuple[np.ndarray, bool]:
        """The fewest removals whose cost is within a limit, by bisection over the share.

        Returns:
            The atoms, and whether the limit is reached; where it is not, the most that can go.
        """
        most = self.removed(1.0)
        if cost(most) > limit:
            return most, False
        low, high, best = 0.0, 1.0, most
        steps = int(np.ceil(np.log2(max(2, max((len(pool) for pool in self.pools), default=2))))) + 2
        for _ in range(steps):
            middle = (low + high) / 2
            chosen = self.removed(middle)
            if cost(chosen) <= limit:
                high, best = middle, chosen
            else:
                low = middle
        return best, True


def _build(graph: ChannelGraph, group: ChannelGroup) -> tuple[object, ...]:
    """What a group is made of, without names: kinds of layers, variables, axes and windows."""
    parts = set()
    for use in graph.members(group):
        shape = tuple(use.variable.shape)
        window = shape[:-2] if len(shape) > 2 else ()
        parts.add((use.name, use.axis, use.role, window))
    return tuple(sorted(parts, key=str))


def channels_left(graph: ChannelGraph, removed: Sequence[int] | np.ndarray) -> dict[str, tuple[int, int]]:
    """Channels before and after, of each layer that makes some, by path."""
    gone = np.zeros(len(graph.units), bool)
    gone[np.asarray(removed, np.int64)] = True
    counts: dict[str, tuple[int, int]] = {}
    for use in graph.uses:
        if use.role == "makes" and len(use.variable.shape) >= 2 and use.path not in counts:
            atoms = graph.atom_of[use.units]
            units = {int(unit) for unit in use.units}
            left = {int(unit) for unit, atom in zip(use.units, atoms, strict=True) if not gone[atom]}
            counts[use.path] = (len(units), len(left))
    return counts
