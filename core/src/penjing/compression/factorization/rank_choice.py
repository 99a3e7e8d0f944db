"""Which ranks to take: the cheapest that keep enough, or those that keep most of what a budget can pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to have a layer: as it is, or as a product at certain ranks."""

    method: str
    """'whole', 'svd' or 'tucker-2'."""
    ranks: tuple[int, ...]
    parameters: int
    """Of the kernels."""
    macs: int
    loss: float
    """Share of the squared weights that is lost, 0 to 1."""


def cheapest(options: Sequence[Option], energy: float) -> Option | None:
    """The option of fewest MACs that keeps an energy; None where there is none."""
    enough = [option for option in options if 1.0 - option.loss >= energy - 1e-9]
    return min(enough, key=lambda option: (option.macs, option.parameters, option.loss), default=None)


def best_within(options: Sequence[Option], macs: float) -> Option | None:
    """The option of least loss that costs no more MACs; None where there is none."""
    fitting = [option for option in options if option.macs <= macs]
    return min(fitting, key=lambda option: (option.loss, option.macs, option.parameters), default=None)


def best_in_total(
    options: Mapping[str, Sequence[Option]], costs: Mapping[str, Sequence[float]], budget: float
) -> dict[str, Option] | None:
    """One option for each layer, so that the costs sum to no more than a budget and the losses to little.

    The sum of losses plus lambda times the sum of costs is least where it is least in each layer, so one number,
    found by halving, decides all layers. What is left of the budget then goes, step by step, where it saves most loss.

    Args:
        options: By layer.
        costs: What each option costs, in the order of `options`.
        budget: For all layers together.

    Returns:
        The choice by layer; None where even the cheapest options cost more.
    """
    fronts = {layer: _front(options[layer], np.asarray(costs[layer], float)) for layer in options}
    if sum(front.costs[0] for front in fronts.values()) > budget:
        return None

    def places(price: float) -> dict[str, int]:
        return {layer: int(np.argmin(front.losses + price * front.costs)) for layer, front in fronts.items()}

    def total(chosen: Mapping[str, int]) -> float:
        return float(sum(front.costs[chosen[layer]] for layer, front in fronts.items()))

    low, high = -40.0, 40.0  # powers of e: from no price to a prohibitive one
    for _ in range(80):
        middle = (low + high) / 2
        if total(places(float(np.exp(middle)))) > budget:
            low = middle
        else:
            high = middle
    chosen = places(float(np.exp(high)))
    if total(chosen) > budget:
        chosen = dict.fromkeys(fronts, 0)
    _spend(fronts, chosen, budget - total(chosen))
    return {layer: fronts[layer].options[place] for layer, place in chosen.items()}


@dataclass(frozen=True)
class _Front:
    """Options of a layer by rising cost, each of less loss than the one before."""

    options: list[Option]
    costs: np.ndarray
    losses: np.ndarray


def _front(options: Sequence[Option], costs: np.ndarray) -> _Front:
    losses = np.array([option.loss for option in options])
    order = np.lexsort((losses, costs))
    kept = []
    least = np.inf
    for place in order:
        if losses[place] < least:
            least = losses[place]
            kept.append(int(place))
    return _Front([options[place] for place in kept], costs[kept], losses[kept])


def _spend(fronts: Mapping[str, _Front], chosen: dict[str, int], left: float) -> None:
    """Move layers to dearer options while the rest of the budget pays for it, the greatest saving of loss first."""
    while True:
        best: tuple[float, str, int] | None = None
        for layer, front in fronts.items():
            place = int(np.searchsorted(front.costs, front.costs[chosen[layer]] + left, side="right")) - 1
            gain = float(front.losses[chosen[layer]] - front.losses[place])
            if place > chosen[layer] and (best is None or gain > best[0]):
                best = (gain, layer, place)
        if best is None:
            return
        _, layer, place = best
        left -= float(fronts[layer].costs[place] - fronts[layer].costs[chosen[layer]])
        chosen[layer] = place
