"""Which sensors move before a sensor does: neighbours that the training part tells, with or without an adjacency."""

from __future__ import annotations

import numpy as np

LAG_MINUTES = 30
MOST_STEPS = 20_000
"""Steps that correlations are taken from; of more, the last."""
FEWEST_STEPS = 200
"""With fewer the largest of many correlations are chance."""


def leaders(values: np.ndarray, step_seconds: int, count: int) -> np.ndarray | None:
    """The sensors whose change over the last half an hour goes best with each sensor's own change over the next.

    A queue that reaches one detector reaches the next one upstream a while later, and what feeds a road is seen on the
    roads that feed it; an adjacency by distance does not say which of the near sensors are before and which behind.
    Missing values count as no change.

    Args:
        values: Of the training part alone, shape (steps, sensors), NaN where missing.
        step_seconds: Distance of the steps.
        count: How many of each sensor, besides itself.

    Returns:
        Their numbers, int32 of shape (sensors, count), the best first; None where there are too few steps or sensors.
    """
    steps, sensors = values.shape
    lag = max(1, round(LAG_MINUTES * 60 / step_seconds))
    if sensors <= count or steps < FEWEST_STEPS + 2 * lag:
        return None
    taken = np.asarray(values[max(0, steps - MOST_STEPS) :], np.float32)
    change = taken[lag:] - taken[:-lag]
    known = np.isfinite(change)
    total = np.maximum(known.sum(axis=0), 1)
    change = np.where(known, change, 0.0)
    change -= np.where(known, change.sum(axis=0) / total, 0.0).astype(np.float32)
    size = np.sqrt(np.square(change).sum(axis=0) / total)
    change /= np.where(size > 0, size, 1.0)
    together = change[lag:].T @ change[:-lag]
    np.fill_diagonal(together, -np.inf)
    return np.argsort(-together, axis=1, kind="stable")[:, :count].astype(np.int32)
