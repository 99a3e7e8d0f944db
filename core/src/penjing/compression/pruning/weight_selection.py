"""Which weights become zero: the lowest scores, in units of single weights, blocks or N:M groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from penjing.compression.matrix_layout import InputAxes
from penjing.compression.pruning.patterns import group_mask


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Matrices that share one ranking, and the share of their weights that becomes zero in the end."""

    keys: tuple[str, ...]
    share: float


@dataclass(frozen=True, kw_only=True)
class Units:
    """What becomes zero together."""

    blocks: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Block number of each weight, by key; a matrix without blocks goes weight by weight."""
    groups: Mapping[str, InputAxes] = field(default_factory=dict)
    """Input axes of the matrices that get N:M groups; all others stay whole when there are any."""
    kept_of_group: tuple[int, int] | None = None
    """(N, M)."""


def select(
    scores: Mapping[str, np.ndarray],
    gone: Mapping[str, np.ndarray],
    pools: Sequence[Pool],
    units: Units,
    done: float = 1.0,
) -> dict[str, np.ndarray]:
    """Masks by key (True = kept).

    Args:
        scores: By key, of the matrix's shape; the lowest go first, ties by position.
        gone: By key, True where a weight is zero for good; these go before all others.
        pools: What is ranked together. Every key stands in one.
        units: What goes together.
        done: Share of the final sparsity that is reached, 0 to 1.
    """
    masks: dict[str, np.ndarray] = {}
    for pool in pools:
        chosen = {key: scores[key] for key in pool.keys}
        if units.kept_of_group is not None:
            masks |= _groups(chosen, gone, units, done)
        else:
            masks |= _lowest(chosen, gone, units.blocks, pool.share * done)
    return masks


def _lowest(
    scores: Mapping[str, np.ndarray], gone: Mapping[str, np.ndarray], blocks: Mapping[str, np.ndarray], share: float
) -> dict[str, np.ndarray]:
    """Drop the lowest units, as many as fit into round(share * weights). Every matrix keeps its highest unit."""
    means, sizes, candidates, starts = [], [], [], [0]
    for key, values in scores.items():
        mean, size = _unit_scores(values, gone.get(key), blocks.get(key))
        free = np.ones(len(mean), bool)
        free[int(mean.argmax())] = False
        means.append(mean)
        sizes.append(size)
        candidates.append(free)
        starts.append(starts[-1] + len(mean))
    flat, size = np.concatenate(means), np.concatenate(sizes)
    order = np.argsort(flat, kind="stable")
    order = order[np.concatenate(candidates)[order]]
    target = round(share * int(size.sum()))
    kept = np.ones(len(flat), bool)
    kept[order[np.cumsum(size[order]) <= target]] = False
    masks = {}
    for start, (key, values) in zip(starts, scores.items(), strict=False):
        numbers = blocks.get(key)
        if numbers is None:
            masks[key] = kept[start : start + values.size].reshape(values.shape)
        else:
            masks[key] = kept[start + numbers]
    return masks


def _unit_scores(
    values: np.ndarray, gone: np.ndarray | None, numbers: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean score and number of weights of each unit. A unit that is gone altogether scores -inf."""
    lost = np.zeros(values.shape, bool) if gone is None else gone
    if numbers is None:
        return np.where(lost, -np.inf, values).ravel(), np.ones(values.size, np.int64)
    flat = numbers.ravel()
    left = np.bincount(flat, ~lost.ravel())
    total = np.bincount(flat, np.where(lost, 0.0, values).ravel())
    mean = np.where(left > 0, total / np.maximum(left, 1), -np.inf)
    return mean, np.bincount(flat)


def _groups(
    scores: Mapping[str, np.ndarray], gone: Mapping[str, np.ndarray], units: Units, done: float
) -> dict[str, np.ndarray]:
    """Of the weights that the N:M groups drop in the end, the lowest share."""
    assert units.kept_of_group is not None
    kept, group = units.kept_of_group
    masks = {key: np.ones(values.shape, bool) for key, values in scores.items()}
    ranked: list[np.ndarray] = []
    places: list[tuple[str, np.ndarray]] = []
    for key, values in scores.items():
        if key not in units.groups:
            continue
        lost = gone.get(key)
        allowed = values if lost is None else np.where(lost, -np.inf, values)
        positions = np.flatnonzero(~group_mask(allowed, units.groups[key], kept, group))
        ranked.append(allowed.ravel()[positions])
        places.append((key, positions))
    if not places:
        return masks
    flat = np.concatenate(ranked)
    dropped = np.zeros(len(flat), bool)
    dropped[np.argsort(flat, kind="stable")[: round(done * len(flat))]] = True
    start = 0
    for key, positions in places:
        masks[key].flat[positions[dropped[start : start + len(positions)]]] = False
        start += len(positions)
    return masks
