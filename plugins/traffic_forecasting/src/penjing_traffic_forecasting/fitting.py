"""Fit what turns windows into inputs to the training part: scaler, time-of-day means, spreads."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.errors import DataError
from penjing_traffic_forecasting.inputs import Inputs
from penjing_traffic_forecasting.profile import ProfileSums
from penjing_traffic_forecasting.series import DAY_SECONDS, SensorSeries

MOST_ROWS = 20_000
"""Rows that percentiles are taken from; of more, so many evenly spread."""
SELDOM = 1e-4
"""Runs of equal values that hold less than this share of all values are a stuck detector's."""


def fit_inputs(
    series: SensorSeries, steps: int, *, history: int, horizon: int, minutes: int
) -> tuple[Inputs, ProfileSums]:
    """Fit to the first `steps` steps of a series; the rest has no part in it.

    Args:
        minutes: Length of a part of the day in the time-of-day means.

    Raises:
        DataError: The training part has no known value, or does not vary.
    """
    parts = max(1, DAY_SECONDS // max(series.step_seconds, minutes * 60))
    sums = ProfileSums(series, steps, parts)
    mean, scale = _moments(series.values, steps)
    if not np.isfinite(mean):
        raise DataError("the training part has no known value", where=series.source)
    if scale <= 0:
        raise DataError(f"every value of the training part is {mean:g}", where=series.source)
    profile = sums.profile().rounded()
    rows = np.unique(np.linspace(0, steps - 1, min(steps, MOST_ROWS)).round().astype(int))
    block = np.asarray(series.values[rows], np.float64)
    inputs = Inputs(
        sensors=series.sensors,
        history=history,
        horizon=horizon,
        step_seconds=series.step_seconds,
        dated=series.start is not None,
        quantity=series.quantity,
        mean=mean,
        scale=scale,
        profile=profile,
        free_flow=tuple(map(float, _free_flow(block, mean))),
        spread=_spread(series, steps, horizon),
        profile_spread=_quantiles(block - profile.at(series.seconds(rows))),
        zero_is_missing=series.zero_is_missing,
        largest=series.largest,
        stuck_after=_stuck_after(series.values, steps, history),
    )
    return inputs, sums


def _moments(values: Any, steps: int) -> tuple[float, float]:
    count, total, squares = 0, 0.0, 0.0
    for first in range(0, steps, 8_192):
        block = np.asarray(values[first : min(steps, first + 8_192)], np.float64)
        known = block[np.isfinite(block)]
        count += len(known)
        total += float(known.sum())
        squares += float(np.square(known).sum())
    if not count:
        return float("nan"), 0.0
    mean = total / count
    return mean, float(np.sqrt(max(0.0, squares / count - mean * mean)))


def _free_flow(block: np.ndarray, mean: float) -> np.ndarray:
    alive = np.isfinite(block).any(axis=0)
    made = np.full(block.shape[1], mean)
    made[alive] = np.nanpercentile(block[:, alive], 85, axis=0)
    return made


def _spread(series: SensorSeries, steps: int, horizon: int) -> tuple[tuple[float, float], ...]:
    """How far values are from the one some steps before: the 10th and the 90th percentile, by step ahead."""
    last = np.unique(np.linspace(0, max(0, steps - horizon - 1), min(steps, 4_000)).round().astype(int))
    now = np.asarray(series.values[last], np.float64)
    return tuple(
        _quantiles(np.asarray(series.values[np.minimum(last + step + 1, steps - 1)], np.float64) - now)
        for step in range(horizon)
    )


def _quantiles(differences: np.ndarray) -> tuple[float, float]:
    known = differences[np.isfinite(differences)]
    if not len(known):
        return 0.0, 0.0
    low, high = np.quantile(known, [0.1, 0.9])
    return float(low), float(high)


def _stuck_after(values: Any, steps: int, history: int) -> int:
    """The number of equal values in a row, other than zero, beyond which hardly any value of the training part lies; at
    least a window."""
    steps = min(steps, MOST_ROWS)
    block = np.asarray(values[:steps])
    run = np.ones(block.shape[1], np.int64)
    counts = np.zeros(steps + 1, np.int64)
    for step in range(1, steps):
        same = (block[step] == block[step - 1]) & (block[step] != 0)
        run = np.where(same, run + 1, 1)
        counts += np.bincount(run, minlength=steps + 1)
    beyond = counts[::-1].cumsum()[::-1] / max(1, counts.sum())
    rare = np.flatnonzero(beyond < SELDOM)
    return int(max(history, rare[0] if len(rare) else steps))
