"""Metrics that need more than targets and outputs: of congested hours alone, and by the hour of the day."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.contract import Estimate, Split, Splits
from penjing_traffic_forecasting.data import CONGESTED_HOUR, Training
from penjing_traffic_forecasting.metrics import ERRORS, at_steps, up_to_steps, window_sums, with_intervals
from penjing_traffic_forecasting.series import DAY_SECONDS


def congested_hours(predict: Any, split: Split, splits: Splits) -> dict[str, Estimate]:
    """Every error at and up to the named steps, over congested hours alone.

    Which hours of a sensor are congested is known beforehand: those whose time-of-day mean in the training part is
    below 85 % of the sensor's free flow; of flows, volumes and occupancies, above 85 % of the sensor's 85th percentile.
    Choosing by what came true instead would choose the forecasts' mistakes with it.
    """
    training: Training = splits.extra["traffic"]
    outputs = predict(split.x)
    mask = congested(training, split)
    found: dict[str, Estimate] = {}
    for name, (figure, finish) in ERRORS.items():
        sums = window_sums(figure, split.y, outputs, mask)
        for word, form in (("at", at_steps), ("up to", up_to_steps)):
            values = with_intervals(*sums, finish, form)
            found |= {f"{name} {word} {splits.labels[step]}": value for step, value in values.items()}
    return found


def congested(training: Training, split: Split) -> np.ndarray:
    """Which targets fall into congested hours, bool of shape (n, sensors, steps)."""
    inputs = training.inputs
    seconds = split.raw.seconds
    free = np.array(inputs.free_flow, np.float32)
    made = np.empty(np.asarray(split.y).shape, bool)
    for step in range(inputs.horizon):
        means = inputs.profile.at(seconds + (step + 1) * inputs.step_seconds)
        made[:, :, step] = (
            means < CONGESTED_HOUR * free if "speed" in inputs.quantity else means > CONGESTED_HOUR * free
        )
    return made


def rmse_by_hour(predict: Any, split: Split, splits: Splits) -> dict[str, float]:
    """Root mean squared error of all steps ahead by the hour of the day of the target."""
    training: Training = splits.extra["traffic"]
    total, count = window_sums(ERRORS["rmse"][0], split.y, predict(split.x))
    steps = np.arange(1, total.shape[1] + 1) * training.inputs.step_seconds
    hours = (split.raw.seconds[:, None] + steps) % DAY_SECONDS // 3600
    sums = np.bincount(hours.reshape(-1), total.reshape(-1), minlength=24)
    counts = np.bincount(hours.reshape(-1), count.reshape(-1), minlength=24)
    return {f"{hour:02d}": float(np.sqrt(sums[hour] / counts[hour])) for hour in range(24) if counts[hour]}
