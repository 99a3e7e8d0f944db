"""The simple things to beat: the last value, the time-of-day mean, the same time a week ago, and ridge regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import FittedBaseline, Split, Splits
from penjing_traffic_forecasting.data import Training
from penjing_traffic_forecasting.forecasts import OUTPUTS
from penjing_traffic_forecasting.inputs import Windows
from penjing_traffic_forecasting.series import DAY_SECONDS, MISSING, pieces

WEEK = 7 * DAY_SECONDS
MOST_ROWS = 400_000
"""Windows of single sensors that the ridge regression is fitted to; of more, so many at random."""
_PIECE = 512


def fit_last_value(splits: Splits, seed: int) -> FittedBaseline:
    """Every step ahead is as the last known value (persistence)."""
    inputs = _training(splits).inputs
    return FittedBaseline(
        name="last value",
        predict=lambda x: _as_outputs(np.repeat(inputs.last_values(np.asarray(x))[:, :, None], inputs.horizon, axis=2)),
    )


def fit_time_of_day(splits: Splits, seed: int) -> FittedBaseline:
    """Every step ahead is the sensor's time-of-day mean in the training part."""
    training = _training(splits)

    def forecast(windows: Windows) -> np.ndarray:
        return _means(training, windows.seconds)

    return FittedBaseline(name="time-of-day mean", predict=_of_windows(splits, forecast))


def fit_last_week(splits: Splits, seed: int) -> FittedBaseline:
    """Every step ahead is as a week before; where that is unknown, the time-of-day mean."""
    training = _training(splits)
    series = training.series
    back = WEEK // series.step_seconds

    def forecast(windows: Windows) -> np.ndarray:
        made = _means(training, windows.seconds)
        for step in range(training.inputs.horizon):
            rows = windows.ends + step + 1 - back
            there = np.flatnonzero(rows >= 0)
            values = np.asarray(series.values[rows[there]])
            made[there, :, step] = np.where(np.isfinite(values), values, made[there, :, step])
        return made

    # A week of data has no last week; the two would be told apart by nobody.
    known = bool((splits.test.raw.ends + training.inputs.horizon >= back).any())
    name = "same time last week" if known else "same time last week (not in the data: time-of-day mean)"
    return FittedBaseline(name=name, predict=_of_windows(splits, forecast))


def fit_ridge(splits: Splits, seed: int) -> FittedBaseline:
    """Ridge regression on the network's inputs of one sensor, one map for all sensors, a target a step ahead."""
    from sklearn.linear_model import Ridge

    training = _training(splits)
    inputs = training.inputs
    x = np.asarray(splits.train.x).reshape(-1, inputs.channels)
    y = np.asarray(splits.train.y).reshape(-1, inputs.horizon)
    rows = np.flatnonzero((y > MISSING).all(axis=1))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    model = Ridge(alpha=1.0).fit(x[rows].astype(np.float64), y[rows])

    def predict(x: Any) -> np.ndarray:
        x = np.asarray(x)
        made = np.empty((len(x), x.shape[1], inputs.horizon), np.float32)
        for part in pieces(len(x), _PIECE):
            made[part] = model.predict(x[part].reshape(-1, inputs.channels)).reshape(-1, x.shape[1], inputs.horizon)
        return _as_outputs(made)

    return FittedBaseline(name="ridge regression on the inputs of one sensor", predict=predict)


def _training(splits: Splits) -> Training:
    training: Training = splits.extra["traffic"]
    return training


def _as_outputs(mean: np.ndarray) -> np.ndarray:
    """One forecast stands for mean and quantiles alike: a view, since a copy of a large test part is much memory."""
    return np.broadcast_to(mean[:, :, None, :], (len(mean), mean.shape[1], OUTPUTS, mean.shape[2]))


def _means(training: Training, seconds: np.ndarray) -> np.ndarray:
    inputs = training.inputs
    steps = np.arange(1, inputs.horizon + 1) * inputs.step_seconds
    made = np.empty((len(seconds), len(inputs.sensors), inputs.horizon), np.float32)
    for part in pieces(len(seconds), _PIECE):
        made[part] = inputs.profile.at(seconds[part, None] + steps).transpose(0, 2, 1)
    return made


def _of_windows(splits: Splits, forecast: Callable[[Windows], np.ndarray]) -> Callable[[Any], np.ndarray]:
    """A baseline that knows the time, which is not among the inputs: it looks up whose inputs it was given."""
    parts: tuple[Split, ...] = (splits.test, splits.validation, splits.train)

    def predict(x: Any) -> np.ndarray:
        part = next((part for part in parts if part.x is x), None)
        if part is None:
            raise ValueError("this baseline forecasts whole parts of the data, whose times it knows")
        return _as_outputs(forecast(part.raw))

    return predict
