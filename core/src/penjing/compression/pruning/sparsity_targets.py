"""How sparse each layer becomes, so that all cost the same by the sensitivity analysis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_SLOPE = 1e-6
"""Drop per share that a layer has at least: where nothing is lost, all layers give alike."""


def equal_drop_shares(
    drops: Mapping[str, Mapping[float, float]], weights: Mapping[str, int], total: float
) -> dict[str, float]:
    """Sparsities by matrix with equal estimated drops, which together make the total.

    Each matrix's drop is taken as the straight lines between the measured levels, from none at sparsity 0, made
    ascending (a drop that falls again is noise of the metric). For a drop d each matrix gets the highest sparsity
    that costs at most d; d is found by bisection so that the zeros add up. No matrix goes beyond the highest level
    that was measured; those that reach it cost less than the others.

    Args:
        drops: By matrix and level of sparsity, as `Sensitivity.drops("sparsity")` has them.
        weights: Number of weights of each matrix.
        total: Share of all weights that is to be zero; at most the highest level that was measured.

    Returns:
        Sparsity by matrix.

    Raises:
        ValueError: The total lies above what the measured levels allow.
    """
    curves = {key: _curve(levels) for key, levels in drops.items()}
    size = sum(weights[key] for key in curves)

    def shares(drop: float) -> dict[str, float]:
        return {key: float(np.interp(drop, costs, levels)) for key, (levels, costs) in curves.items()}

    def reached(drop: float) -> float:
        return sum(share * weights[key] for key, share in shares(drop).items()) / size

    high = max(float(costs[-1]) for _, costs in curves.values())
    if reached(high) < total - 1e-9:
        raise ValueError(f"a total sparsity of {total} lies above the measured levels")
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        if reached(middle) < total:
            low = middle
        else:
            high = middle
    return shares(high)


def _curve(levels: Mapping[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """(sparsities, drops), both from 0 and strictly ascending."""
    order = sorted(levels)
    shares = np.array([0.0, *order])
    costs = np.maximum.accumulate(np.array([0.0, *(levels[level] for level in order)]))
    return shares, costs + _SLOPE * shares
