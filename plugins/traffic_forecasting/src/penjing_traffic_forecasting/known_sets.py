"""What is known of published sets whose files do not say it: the date of the first row, the step, the quantity.

They are known by their shape, which is stated wherever it decides something, and yields to what the recipe says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing_traffic_forecasting.series import DAY_SECONDS

DEFAULT_STEP = 300
"""Seconds, where neither times nor a daily rhythm tell it."""
_CANDIDATES = (288, 144, 96, 72, 48, 24)
"""Steps a day that are tried."""
_CLEAR = 0.2
"""How much likelier than half a day a day must make values alike."""


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    name: str
    start: str
    step_seconds: int
    quantity: str


_SETS = {
    (2016, 207): KnownSet(name="Los-loop", start="2012-03-01", step_seconds=300, quantity="speed (mph)"),
    (34272, 207): KnownSet(name="METR-LA", start="2012-03-01", step_seconds=300, quantity="speed (mph)"),
    (52116, 325): KnownSet(name="PEMS-BAY", start="2017-01-01", step_seconds=300, quantity="speed (mph)"),
    (2976, 156): KnownSet(name="SZ-taxi", start="2015-01-01", step_seconds=900, quantity="speed (km/h)"),
    (26208, 358): KnownSet(name="PEMS03", start="2018-09-01", step_seconds=300, quantity="flow (vehicles a step)"),
    (16992, 307): KnownSet(name="PEMS04", start="2018-01-01", step_seconds=300, quantity="flow (vehicles a step)"),
    (28224, 883): KnownSet(name="PEMS07", start="2017-05-01", step_seconds=300, quantity="flow (vehicles a step)"),
    (17856, 170): KnownSet(name="PEMS08", start="2016-07-01", step_seconds=300, quantity="flow (vehicles a step)"),
}
_PEMS_FEATURES = ("flow (vehicles a step)", "occupancy", "speed (mph)")


def known_set(rows: int, sensors: int) -> KnownSet | None:
    """The published set of this many rows and sensors."""
    return _SETS.get((rows, sensors))


def pems_quantity(feature: int, known: KnownSet) -> str:
    """What a feature of a PeMS archive is."""
    return _PEMS_FEATURES[feature] if known.name.startswith("PEMS0") and feature < 3 else known.quantity


def step_from_rhythm(values: Any) -> tuple[int, float]:
    """The step in seconds that a daily rhythm speaks of: the number of steps after which the network's mean is most
    alike, compared with half of it, when it should be least alike.

    Args:
        values: Shape (rows, sensors), NaN where missing.

    Returns:
        Seconds, 0 where no rhythm is clear; and how clear it is, a difference of two correlations.
    """
    rows = np.asarray(values[: min(len(values), 20 * 288)])
    known = np.isfinite(rows)
    counts = known.sum(axis=1)
    mean = np.where(counts > 0, np.where(known, rows, 0).sum(axis=1) / np.maximum(counts, 1), np.nan)
    if not np.isfinite(mean).any():
        return 0, 0.0
    mean = np.where(np.isfinite(mean), mean, np.nanmean(mean))
    best = (0, 0.0)
    for steps in _CANDIDATES:
        if len(mean) < 3 * steps:
            continue
        clear = _alike(mean, steps) - _alike(mean, steps // 2)
        if clear > max(best[1], _CLEAR):
            best = (DAY_SECONDS // steps, clear)
    return best


def _alike(values: np.ndarray, lag: int) -> float:
    first, second = values[:-lag], values[lag:]
    spread = first.std() * second.std()
    return float(np.mean((first - first.mean()) * (second - second.mean())) / spread) if spread > 0 else 0.0
