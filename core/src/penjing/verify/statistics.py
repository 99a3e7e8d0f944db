"""Intervals by bootstrap: of a metric, and of the difference of two models on the same examples.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", percentile intervals; for groups the cluster
bootstrap, which draws whole groups (speakers, patients), since their examples are not independent of each other.

A metric that ranks all examples need not do so for every resample: a function with an attribute `prepare`, itself
`f(targets, outputs) -> g(counts) -> float`, is prepared once and then given how often each example was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MetricFunction = Callable[[Any, Any], float]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its interval."""

    estimate: float
    low: float
    high: float
    method: str
    n: int
    """Examples."""


FEWEST_GROUPS = 10
"""Below this many groups their resamples are too few to show any spread (one group shows none), so single examples are
drawn and the method says that this is too narrow for new groups."""


def bootstrap_interval(
    metric: MetricFunction,
    targets: Any,
    outputs: Any,
    *,
    groups: Any = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a metric of one model.

    Args:
        metric: (targets, outputs) -> float; NaN where it is not defined for a resample.
        targets: Shape (n, ...).
        outputs: Shape (n, ...).
        groups: Shape (n,); whole groups are drawn together. None draws examples.
        confidence: Share of the intervals that hold the true value, for a large sample.
    """
    targets, outputs = np.asarray(targets), np.asarray(outputs)
    drawn = _resampled(by_draw(metric, targets, outputs), len(targets), groups, resamples, seed)
    return _interval("bootstrap", metric(targets, outputs), drawn, groups, confidence, len(targets))


def paired_difference(
    metric: MetricFunction,
    targets: Any,
    reference: Any,
    compressed: Any,
    *,
    groups: Any = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of metric(compressed) - metric(reference): each resample is taken for both, so that what is hard for
    both cancels out. Arguments as in `bootstrap_interval`."""
    targets = np.asarray(targets)
    reference, compressed = np.asarray(reference), np.asarray(compressed)

    of_compressed, of_reference = by_draw(metric, targets, compressed), by_draw(metric, targets, reference)
    drawn = _resampled(lambda draw: of_compressed(draw) - of_reference(draw), len(targets), groups, resamples, seed)
    estimate = metric(targets, compressed) - metric(targets, reference)
    return _interval("paired bootstrap", estimate, drawn, groups, confidence, len(targets))


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One resample: units (examples or groups) that were drawn with replacement."""

    units: np.ndarray
    """Numbers of the units, shape (units,)."""
    of: np.ndarray | None
    """The unit of each example, shape (n,); None where each example is one."""
    members: list[np.ndarray] | None
    """Examples of each unit; None likewise."""

    @property
    def rows(self) -> np.ndarray:
        """Examples, those that were drawn twice standing twice."""
        members = self.members
        return self.units if members is None else np.concatenate([members[unit] for unit in self.units])

    @property
    def counts(self) -> np.ndarray:
        """How often each example was drawn, shape (n,)."""
        if self.of is None or self.members is None:
            return np.bincount(self.units, minlength=len(self.units))
        return np.bincount(self.units, minlength=len(self.members))[self.of]


def by_draw(metric: MetricFunction, targets: np.ndarray, outputs: np.ndarray) -> Callable[[Draw], float]:
    """The metric of a resample; prepared once where the metric can be."""
    prepare = getattr(metric, "prepare", None)
    if prepare is None:

        def of_rows(draw: Draw) -> float:
            rows = draw.rows
            return metric(targets[rows], outputs[rows])

        return of_rows
    by_count = prepare(targets, outputs)
    return lambda draw: by_count(draw.counts)


def _resampled(statistic: Callable[[Draw], float], count: int, groups: Any, resamples: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    numbers: np.ndarray | None = None
    members: list[np.ndarray] | None = None
    units = count
    if groups is not None and _count(groups) >= FEWEST_GROUPS:
        _, numbers = np.unique(np.asarray(groups), return_inverse=True)
        members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
        units = len(members)
    draws = (Draw(units=generator.integers(0, units, units), of=numbers, members=members) for _ in range(resamples))
    return np.array([statistic(draw) for draw in draws], np.float64)


def _interval(kind: str, estimate: float, drawn: np.ndarray, groups: Any, confidence: float, count: int) -> Interval:
    valid = drawn[np.isfinite(drawn)]
    tail = (1.0 - confidence) / 2.0
    number = 0 if groups is None else _count(groups)
    by = f"{number:,} groups" if number >= FEWEST_GROUPS else "examples"
    method = f"{kind} of {by}, percentile, {len(drawn):,} resamples, {confidence:.0%}"
    if 0 < number < FEWEST_GROUPS:
        method += f"; with {number} groups only, it is too narrow for new ones"
    if len(valid) < len(drawn):
        method += f", {len(drawn) - len(valid):,} without a value left out"
    low, high = np.quantile(valid, [tail, 1.0 - tail]) if len(valid) else (float("nan"), float("nan"))
    if len(valid) and low == high and kind == "bootstrap":
        method += "; every resample gives the same value: too few examples to see rarer errors"
    return Interval(estimate=float(estimate), low=float(low), high=float(high), method=method, n=count)


def _count(groups: Any) -> int:
    return len(np.unique(np.asarray(groups)))
