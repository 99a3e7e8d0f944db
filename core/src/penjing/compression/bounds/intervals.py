"""Interval arithmetic per channel, wide enough for the rounding of the network's own arithmetic.

Sources: Moore 1966, "Interval Analysis"; Gowal et al. 2018, "On the Effectiveness of Interval Bound Propagation"
(weighted sums by the signs of the weights); Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1
(a sum of n products is off by at most n u / (1 - n u) times the sum of the magnitudes, in whatever order).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SLACK = 4.0
"""Times Higham's bound: fused kernels and folded BatchNormalization round a little more often than the formula says."""

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""u: half the distance from 1 to the next number."""


def unit_roundoff(dtype: str) -> float:
    """u of a dtype of Keras; what is no float counts as float32, in which it is used."""
    return UNIT_ROUNDOFF.get(dtype, UNIT_ROUNDOFF["float32"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Interval:
    """What is known of a tensor, per entry of its last axis (channel), whatever the example and the position.

    All arrays have shape (channels,). Where the last axis is not known, there is one entry for all.
    """

    low: np.ndarray
    """No value is lower, float32 rounding included; -inf where nothing is known."""
    high: np.ndarray
    value: np.ndarray
    """The value where it is the same for every input and position (up to rounding), else NaN."""
    rule: np.ndarray
    """Which rule found the constant (str); empty elsewhere."""

    @property
    def constant(self) -> np.ndarray:
        """Channels that are constant, bool."""
        return ~np.isnan(self.value)

    @property
    def channels(self) -> int:
        return int(self.low.size)

    @classmethod
    def between(cls, low: Any, high: Any, channels: int = 1) -> Interval:
        """Anything between two bounds, nowhere constant."""
        return cls(
            low=_spread(low, channels),
            high=_spread(high, channels),
            value=np.full(channels, np.nan),
            rule=np.full(channels, "", object),
        )

    @classmethod
    def unknown(cls, channels: int = 1) -> Interval:
        """The end of the knowledge: any finite number."""
        return cls.between(-np.inf, np.inf, channels)

    @classmethod
    def point(cls, values: Any, channels: int = 1) -> Interval:
        """Known numbers that are no finding of their own (a constant written into the graph)."""
        spread = _spread(values, channels)
        return cls(low=spread, high=spread, value=spread, rule=np.full(spread.size, "constant in the graph", object))

    def spread(self, channels: int) -> Interval:
        """The same for a given number of channels, where there is one entry for all of them."""
        if self.channels == channels:
            return self
        return Interval(
            low=_spread(self.low, channels),
            high=_spread(self.high, channels),
            value=_spread(self.value, channels),
            rule=np.broadcast_to(self.rule, channels),
        )

    def take(self, indices: np.ndarray) -> Interval:
        """The channels with the given indices, in that order."""
        return Interval(
            low=self.low[indices], high=self.high[indices], value=self.value[indices], rule=self.rule[indices]
        )

    def widened(self, below: Any, above: Any) -> Interval:
        """Bounds moved outwards."""
        return Interval(low=self.low - below, high=self.high + above, value=self.value, rule=self.rule)

    def rounded(self, unit: float, operations: float = 1) -> Interval:
        """Room for a number of roundings. A rounded y is y (1 + d), |d| <= u, so each bound moves by its own size."""
        share = SLACK * operations * unit
        return self.widened(share * _finite(np.abs(self.low)), share * _finite(np.abs(self.high)))

    def with_zero(self) -> Interval:
        """The same or zero, as behind zero padding. Only a constant zero stays constant."""
        zero = self.value == 0
        return Interval(
            low=np.minimum(self.low, 0),
            high=np.maximum(self.high, 0),
            value=np.where(zero, 0.0, np.nan),
            rule=np.where(zero, self.rule, ""),
        )

    def fixed(self, where: np.ndarray, value: Any, rule: str) -> Interval:
        """Some channels found to be exactly a value by a rule; those that were constant before keep their own."""
        new = where & ~self.constant
        return Interval(
            low=np.where(new, value, self.low),
            high=np.where(new, value, self.high),
            value=np.where(new, value, self.value),
            rule=np.where(new, rule, self.rule),
        )


def _spread(values: Any, channels: int) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim == 0 or array.size == 1:
        return np.full(channels, array.reshape(()))
    return array


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0.0)


def weighted_sum(
    x: Interval, positive: np.ndarray, negative: np.ndarray, terms: np.ndarray, bias: Any, unit: float
) -> Interval:
    """Bounds of b_j + sum_i w_ij x_i, where each weight may meet the x_i of another position.

    A rounded sum is the sum of the products each times 1 + d, |d| <= e, so that the bound made of the ends p_i is off
    by at most e sum |p_i|. This holds where the other ends are infinite, too.

    Args:
        x: Already with zero where padding may stand in its place.
        positive: Per input and output the sum of the positive weights over all taps of the kernel: shape (in, out),
            or (out,) where each output reads the one input of its own index.
        negative: The same of the negative weights.
        terms: How many weights of an output are not zero, shape (out,).
        bias: Shape (out,) or 0.
        unit: Unit roundoff of the layer's arithmetic.
    """

    x = x.spread(positive.shape[0])
    bias = np.broadcast_to(np.asarray(bias, float), positive.shape[-1])
    low, high = _finite(x.low), _finite(x.high)
    known = np.where(x.constant, x.value, 0.0)
    # All rows at once, so that each of the large matrices is read once.
    rows = np.stack([low, high, np.abs(low), np.abs(high), known])
    up, down = _total(rows, positive), _total(rows, negative)
    error = np.where(terms > 0, SLACK * (terms + 2) * unit, 0.0)
    below = error * (up[2] - down[3] + np.abs(bias))
    above = error * (up[3] - down[2] + np.abs(bias))
    endless = np.stack([np.isinf(x.low), np.isinf(x.high)]).astype(float)
    if endless.any():
        rises, falls = _total(endless, positive > 0), _total(endless, negative < 0)
        below = np.where(rises[0] + falls[1] > 0, np.inf, below)
        above = np.where(rises[1] + falls[0] > 0, np.inf, above)
    steady, rule = _steady(x, positive - negative, terms)
    return Interval(
        low=up[0] + down[1] + bias - below,
        high=up[1] + down[0] + bias + above,
        value=np.where(steady, up[4] + down[4] + bias, np.nan),
        rule=rule,
    )


def _total(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums over the inputs, or products where each output has one input."""
    return rows @ weights.astype(float, copy=False) if weights.ndim == 2 else rows * weights


def _steady(x: Interval, sizes: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs that read constants only or nothing at all, and the rules that found them."""
    steady = terms == 0
    rule = np.where(steady, "kernel zero", "").astype(object)
    if x.constant.any():
        steady = _total((~x.constant).astype(float)[None], sizes > 0)[0] == 0
        for output in np.flatnonzero(steady & (terms > 0)):
            rule[output] = x.rule[np.argmax(sizes[:, output] > 0)] if sizes.ndim == 2 else x.rule[output]
    return steady, rule


def total_of(intervals: Sequence[Interval], unit: float) -> Interval:
    """Bounds of a sum of tensors, channel by channel."""
    intervals = _same_channels(intervals)
    share = SLACK * len(intervals) * unit
    result = Interval(
        low=_sum(x.low - share * _finite(np.abs(x.low)) for x in intervals),
        high=_sum(x.high + share * _finite(np.abs(x.high)) for x in intervals),
        value=_sum(x.value for x in intervals),
        rule=intervals[0].rule,
    )
    return _ruled(result, intervals)


def _sum(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack(list(arrays)).sum(axis=0)


def negated(x: Interval) -> Interval:
    """Bounds of -x."""
    return Interval(low=-x.high, high=-x.low, value=-x.value, rule=x.rule)


def product_of(intervals: Sequence[Interval], unit: float) -> Interval:
    """Bounds of a product of tensors. Whatever is finite times a constant zero is zero."""
    result, *others = _same_channels(intervals)
    for other in others:
        with np.errstate(invalid="ignore"):
            ends = [a * b for a in (result.low, result.high) for b in (other.low, other.high)]
        # An infinite bound stands for any finite number, so zero times it is zero.
        ends = [np.where(np.isnan(end), 0.0, end) for end in ends]
        merged = Interval(
            low=np.minimum.reduce(ends),
            high=np.maximum.reduce(ends),
            value=result.value * other.value,
            rule=result.rule,
        ).rounded(unit)
        merged = _ruled(merged, [result, other])
        for factor in (result, other):
            merged = merged.fixed(factor.value == 0, 0.0, "times zero")
        result = merged
    return result


def scaled(x: Interval, factor: float, unit: float) -> Interval:
    """Bounds of a tensor times a number."""
    return product_of([x, Interval.point(factor)], unit)


def largest_of(intervals: Sequence[Interval]) -> Interval:
    """Bounds of the maximum of tensors."""
    intervals = _same_channels(intervals)
    low = np.maximum.reduce([x.low for x in intervals])
    high = np.maximum.reduce([x.high for x in intervals])
    values = np.maximum.reduce([x.value for x in intervals])  # NaN where one is no constant
    result = _ruled(Interval(low=low, high=high, value=values, rule=intervals[0].rule), intervals)
    for index, x in enumerate(intervals):
        others = [other.high for place, other in enumerate(intervals) if place != index]
        if others:
            above = x.constant & (x.low >= np.maximum.reduce(others))
            new = above & ~result.constant
            result = Interval(
                low=result.low,
                high=result.high,
                value=np.where(new, x.value, result.value),
                rule=np.where(new, "never the larger", result.rule),
            )
    return result


def smallest_of(intervals: Sequence[Interval]) -> Interval:
    """Bounds of the minimum of tensors."""
    return negated(largest_of([negated(x) for x in intervals]))


def joined(intervals: Sequence[Interval]) -> Interval:
    """What holds for any of several tensors: the hull, constant only where all are the same constant."""
    intervals = _same_channels(intervals)
    same = np.logical_and.reduce([x.value == intervals[0].value for x in intervals])
    return Interval(
        low=np.minimum.reduce([x.low for x in intervals]),
        high=np.maximum.reduce([x.high for x in intervals]),
        value=np.where(same, intervals[0].value, np.nan),
        rule=np.where(same, intervals[0].rule, ""),
    )


def side_by_side(intervals: Sequence[Interval]) -> Interval:
    """Channels of several tensors, one after the other."""
    return Interval(
        low=np.concatenate([x.low for x in intervals]),
        high=np.concatenate([x.high for x in intervals]),
        value=np.concatenate([x.value for x in intervals]),
        rule=np.concatenate([x.rule for x in intervals]),
    )


def _same_channels(intervals: Sequence[Interval]) -> list[Interval]:
    channels = max(x.channels for x in intervals)
    return [x.spread(channels) for x in intervals]


def _ruled(result: Interval, intervals: Sequence[Interval]) -> Interval:
    """The rule of a constant made of several: the first that is a finding."""
    rule = np.full(result.channels, "constant in the graph", object)
    for x in reversed(intervals):
        rule = np.where(x.rule == "constant in the graph", rule, x.rule)
    return Interval(low=result.low, high=result.high, value=result.value, rule=np.where(result.constant, rule, ""))
