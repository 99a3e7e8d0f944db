"""Activations as interval arithmetic sees them: where they turn, where they are flat, how exactly they are computed.

Each is looked up by the very function or class of Keras. What is not listed ends the knowledge, which is always right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy import special

from penjing.compression.bounds.intervals import Interval, unit_roundoff

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017


@dataclass(frozen=True, kw_only=True)
class Flat:
    """A stretch of the input, ends included, on which the float32 result is one number."""

    low: float
    high: float
    value: float
    rule: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A function of one variable that falls until `valley` and rises from there (None: it never falls)."""

    function: Callable[[np.ndarray], np.ndarray]
    """In float64."""
    limits: tuple[float, float]
    """At minus and plus infinity."""
    valley: float | None = None
    flats: tuple[Flat, ...] = ()
    roundings: float = 1.0
    """How many roundings of its result the float32 computation has; smooth ones are approximated by kernels."""
    absolute: float = 0.0
    """Error that does not shrink with the result, in multiples of the unit roundoff."""

    def at(self, x: np.ndarray) -> np.ndarray:
        """Values in float64, with the limits at infinity."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            values = self.function(np.where(np.isfinite(x), x, 0.0))
        return np.where(np.isneginf(x), self.limits[0], np.where(np.isposinf(x), self.limits[1], values))

    def apply(self, x: Interval, dtype: str = "float32") -> Interval:
        """Bounds of the result."""
        left, right = self.at(x.low), self.at(x.high)
        low, high = np.minimum(left, right), np.maximum(left, right)
        if self.valley is not None:
            inside = (x.low <= self.valley) & (self.valley <= x.high)
            low = np.where(inside, np.minimum(low, self.at(np.asarray(self.valley))), low)
        value = self.at(x.value)
        result = Interval(low=low, high=high, value=np.where(x.constant, value, np.nan), rule=x.rule)
        unit = unit_roundoff(dtype)
        result = result.rounded(unit, self.roundings).widened(self.absolute * unit, self.absolute * unit)
        for flat in self.flats:
            result = result.fixed((x.low >= flat.low) & (x.high <= flat.high), flat.value, flat.rule)
        return result


def _smooth(
    function: Callable[[np.ndarray], np.ndarray], limits: tuple[float, float], valley: float | None = None
) -> Curve:
    # Kernels approximate these by polynomials and rational functions, a few units in the last place off. Where the
    # true value is nearly 0 they may be off by a share of what was subtracted, which is of the order of 1.
    return Curve(function=function, limits=limits, valley=valley, roundings=16, absolute=64)


def relu(negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Curve | None:
    """Keras' relu with all its arguments: clip(x [x > threshold], 0, max) - slope * max(threshold - x, 0).

    Returns:
        None for a negative slope, which makes it no curve of this kind.
    """
    if negative_slope < 0 or threshold < 0:
        return None

    def function(x: np.ndarray) -> np.ndarray:
        above = np.clip(np.where(x > threshold, x, 0.0), 0.0, max_value)
        return above - negative_slope * np.maximum(threshold - x, 0.0)

    flats = []
    if negative_slope == 0:
        flats.append(Flat(low=-np.inf, high=threshold, value=0.0, rule="relu never positive"))
    if max_value is not None and max_value > threshold:
        flats.append(Flat(low=max_value, high=np.inf, value=max_value, rule="relu always at its limit"))
    limits = (-np.inf if negative_slope > 0 else 0.0, np.inf if max_value is None else max_value)
    return Curve(
        function=function,
        limits=limits,
        flats=tuple(flats),
        roundings=2 if negative_slope or threshold else 0,
        absolute=4 * negative_slope * threshold,
    )


def elu(alpha: float = 1.0) -> Curve | None:
    """x where positive, else alpha (exp(x) - 1). None for a negative alpha."""
    if alpha < 0:
        return None
    return _smooth(lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), (-alpha, np.inf))


def leaky(slope: float) -> Curve | None:
    """x where positive, else slope x. None for a negative slope."""
    return relu(negative_slope=slope)


def prelu(x: Interval, slopes: np.ndarray, unit: float) -> Interval:
    """x where positive, else slope x, of whatever sign the slopes are.

    Args:
        x: The input.
        slopes: Per channel the lowest and the highest slope of any position, shape (2, channels).
        unit: Unit roundoff.
    """
    with np.errstate(invalid="ignore"):
        falling = [np.where(np.isnan(end), 0.0, end) for end in (slope * np.minimum(x.low, 0) for slope in slopes)]
        nearest = [np.where(np.isnan(end), 0.0, end) for end in (slope * np.minimum(x.high, 0) for slope in slopes)]
    rising = [np.maximum(x.low, 0), np.maximum(x.high, 0)]
    # Below zero the ends are those of slope x; above it those of x; on both sides all of them, zero among them.
    below, above = x.low < 0, x.high > 0
    nothing = np.zeros_like(x.low)
    candidates = [np.where(below, end, rising[0]) for end in (*falling, *nearest)]
    candidates += [np.where(above, end, candidates[0]) for end in rising]
    candidates.append(np.where(below & above, nothing, candidates[0]))
    same = x.constant & ((x.value >= 0) | (slopes[0] == slopes[1]))
    return Interval(
        low=np.minimum.reduce(candidates),
        high=np.maximum.reduce(candidates),
        value=np.where(same, np.where(x.value >= 0, x.value, slopes[0] * x.value), np.nan),
        rule=np.where(same, x.rule, ""),
    ).rounded(unit, 2)


def _clipped_line(slope: float, offset: float, low: float, high: float, name: str) -> Curve:
    """clip(slope x + offset, low, high). Rounding keeps the order, so it is exactly flat outside of the ramp."""
    start, end = (low - offset) / slope, (high - offset) / slope
    return Curve(
        function=lambda x: np.clip(slope * x + offset, low, high),
        limits=(low, high),
        flats=(
            Flat(low=-np.inf, high=start, value=low, rule=f"{name} at its lower limit"),
            Flat(low=end, high=np.inf, value=high, rule=f"{name} at its upper limit"),
        ),
        roundings=4,
        absolute=4 * abs(offset),
    )


def _shrunk(function: Callable[[np.ndarray], np.ndarray], name: str) -> Curve:
    flat = Flat(low=-0.5, high=0.5, value=0.0, rule=f"{name} always small")
    return Curve(function=function, limits=(-np.inf, np.inf), flats=(flat,), roundings=2, absolute=2)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    # 0.5 (1 + tanh(z)) = 1 / (1 + exp(-2 z)) without the cancellation.
    return x * special.expit(2 * inner)


_activations = keras.activations

CURVES: dict[Any, Curve | None] = {
    _activations.linear: Curve(function=lambda x: x, limits=(-np.inf, np.inf), roundings=0),
    _activations.relu: relu(),
    _activations.relu6: relu(max_value=6.0),
    _activations.leaky_relu: leaky(0.2),
    _activations.elu: elu(),
    _activations.celu: elu(),  # at alpha 1 they are the same
    _activations.selu: _smooth(
        lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
        (-SELU_SCALE * SELU_ALPHA, np.inf),
    ),
    _activations.sigmoid: _smooth(special.expit, (0.0, 1.0)),
    _activations.tanh: _smooth(np.tanh, (-1.0, 1.0)),
    _activations.softplus: _smooth(lambda x: np.logaddexp(0.0, x), (0.0, np.inf)),
    _activations.softsign: _smooth(lambda x: x / (1 + np.abs(x)), (-1.0, 1.0)),
    _activations.log_sigmoid: _smooth(lambda x: -np.logaddexp(0.0, -x), (-np.inf, 0.0)),
    _activations.exponential: _smooth(np.exp, (0.0, np.inf)),
    _activations.tanh_shrink: _smooth(lambda x: x - np.tanh(x), (-np.inf, np.inf)),
    _activations.hard_sigmoid: _clipped_line(1 / 6, 0.5, 0.0, 1.0, "hard sigmoid"),
    _activations.hard_tanh: _clipped_line(1.0, 0.0, -1.0, 1.0, "hard tanh"),
    _activations.hard_silu: Curve(
        function=lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0),
        limits=(0.0, np.inf),
        valley=-1.5,
        flats=(Flat(low=-np.inf, high=-3.0, value=0.0, rule="hard swish never active"),),
        roundings=4,
        absolute=8,
    ),
    _activations.hard_shrink: _shrunk(lambda x: np.where(np.abs(x) > 0.5, x, 0.0), "hard shrink"),
    _activations.soft_shrink: _shrunk(lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0.0), "soft shrink"),
    # The valleys, to more digits than float64 tells apart in the value.
    _activations.silu: _smooth(lambda x: x * special.expit(x), (0.0, np.inf), valley=-1.2784645427610738),
    _activations.gelu: _smooth(lambda x: x * special.ndtr(x), (0.0, np.inf), valley=-0.7517915246935645),
    _activations.mish: _smooth(lambda x: x * np.tanh(np.logaddexp(0.0, x)), (0.0, np.inf), valley=-1.1924312145154),
}
"""By function. Functions of several channels (softmax) and those with arguments of their own are not among them."""

RANGES: dict[Any, tuple[float, float]] = {
    _activations.softmax: (0.0, 1.0 + 1e-5),
    _activations.log_softmax: (-np.inf, 1e-5),
}
"""Functions of several channels whose results have bounds whatever comes in."""

GELU_TANH = _smooth(_gelu_tanh, (0.0, np.inf), valley=-0.7524614220710162)
"""gelu(approximate=True)."""


def activated(function: Any, x: Interval, dtype: str) -> Interval:
    """Bounds of an activation function's result; unknown for a function that is not listed."""
    curve = CURVES.get(function)
    if curve is not None:
        return curve.apply(x, dtype)
    if function in RANGES:
        low, high = RANGES[function]
        return Interval.between(low, high, x.channels)
    return Interval.unknown(x.channels)
