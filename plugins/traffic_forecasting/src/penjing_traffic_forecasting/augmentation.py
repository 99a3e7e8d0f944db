"""One epoch of training windows, with sensors that drop out now and then, so that the network can do without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing.options import with_defaults
from penjing_traffic_forecasting import DOMAIN
from penjing_traffic_forecasting.data import Training, targets, window_values

DEFAULTS: dict[str, Any] = {"silent_sensors": 0.02, "late_sensors": 0.02}
"""Options of the `[augment]` table: the share of sensors that say nothing during a window, and of those whose last
values are missing."""
RANGES = {"silent_sensors": (0, 0.9), "late_sensors": (0, 0.9)}


def augment(
    train: Split, splits: Splits, *, epoch: int, seed: int, options: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Windows of the training part in any order, as many as `train` has: all of them, or of more a draw.

    Returns:
        Inputs (n, sensors, channels) and targets (n, sensors, horizon), float32.
    """
    chosen = with_defaults(DOMAIN, "augment", options, DEFAULTS, RANGES)
    training: Training = splits.extra["traffic"]
    generator = np.random.default_rng((seed, epoch))
    ends = training.ends
    if len(ends) > len(train):
        ends = np.sort(generator.choice(ends, len(train), replace=False))
    history = training.inputs.history
    values = np.array(window_values(training.series, ends, history))
    shape = (len(values), values.shape[2])
    silent = generator.random(shape) < chosen["silent_sensors"]
    late = generator.random(shape) < chosen["late_sensors"]
    # Of a late sensor the last one to half of the values have not come.
    gone = np.where(late, generator.integers(1, max(2, history // 2 + 1), shape), 0)
    gone = np.where(silent, history, gone)
    values[np.arange(history)[None, :, None] >= (history - gone)[:, None, :]] = np.nan
    return training.training_inputs(values, ends), targets(training.series, ends, training.inputs.horizon)
