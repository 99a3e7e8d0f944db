"""Forecast from recent rows by a bundle, on the device: numpy alone, no TensorFlow.

What a forecast rests on is said with it. A sensor that says nothing, or has said the same for longer than any did in
training, gets its time-of-day mean; one that training never saw gets its last value, with the band that last values
had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError, did_you_mean
from penjing_traffic_forecasting.clock import read_time
from penjing_traffic_forecasting.forecasts import HIGH, LOW, MEAN, MEDIAN, OUTPUTS
from penjing_traffic_forecasting.inputs import Inputs
from penjing_traffic_forecasting.metrics import named_steps
from penjing_traffic_forecasting.reading import OPTIONS, read_series
from penjing_traffic_forecasting.series import DAY_SECONDS, SensorSeries, time_text

NETWORK = "network"
MEANS = "time-of-day mean"
LAST = "last value"


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is forecast for the sensors of one file."""

    sensors: tuple[str, ...]
    seconds: int
    """The time from which on is forecast, seconds since 1970."""
    dated: bool
    step_seconds: int
    quantity: str
    recent: np.ndarray
    """The window, float32 of shape (history, sensors), NaN where missing."""
    values: np.ndarray
    """float32 of shape (sensors, 4, steps): mean and quantiles, in the data's unit."""
    rests_on: tuple[str, ...]
    """What each sensor's forecast rests on: 'network', 'time-of-day mean' or 'last value'."""
    remarks: tuple[str, ...]
    """Why, where it is not the network, and what was filled in."""


def predict(request: PredictRequest) -> Iterator[dict[str, Any]]:
    """Rows for each file: a sensor and a step ahead, with mean, quantiles and what they rest on.

    Raises:
        DataError: A file cannot be read or holds none of the bundle's sensors.
        UsageError: No file is given, or an option is wrong.
    """
    if not request.inputs:
        raise UsageError("there is nothing to forecast from", hint="name a file of recent rows, one column per sensor")
    inputs = Inputs.from_json(request.bundle.preprocessing)
    wanted = [name.strip() for name in (request.options.get("sensors") or "").split(",") if name.strip()]
    found = []
    for name in request.inputs:
        series = read_series(Path(name), _reading_options(inputs))
        forecast = forecast_series(
            series, inputs, request.bundle.predict, at=request.options.get("at") or "", name=name
        )
        unknown = next((sensor for sensor in wanted if sensor not in forecast.sensors), None)
        if unknown is not None:
            raise UsageError(
                f"there is no sensor '{unknown}'", where=name, hint=did_you_mean(unknown, list(forecast.sensors))
            )
        found.append((name, forecast))
    plot = request.options.get("plot")
    if plot is not None:
        from penjing_traffic_forecasting.plots import write_plot

        write_plot(Path(plot), [forecast for _, forecast in found], wanted)
    steps = range(inputs.horizon) if request.options.get("all_steps") else named_steps(inputs.horizon)
    for name, forecast in found:
        yield from _rows(name, forecast, wanted, steps)


def _reading_options(inputs: Inputs) -> dict[str, Any]:
    """As the training data was read: neither the step nor what is absurd can be told from a few rows."""
    return {
        **OPTIONS,
        "step_minutes": inputs.step_seconds / 60,
        "quantity": inputs.quantity,
        "zero_is_missing": "yes" if inputs.zero_is_missing else "no",
        "largest_value": inputs.largest,
    }


def _rows(name: str, forecast: Forecast, wanted: list[str], steps: Any) -> Iterator[dict[str, Any]]:
    for place, sensor in enumerate(forecast.sensors):
        if wanted and sensor not in wanted:
            continue
        for step in steps:
            seconds = forecast.seconds + (step + 1) * forecast.step_seconds
            mean, low, median, high = (float(forecast.values[place, kind, step]) for kind in (MEAN, LOW, MEDIAN, HIGH))
            yield {
                "file": name,
                "sensor": sensor,
                "time": time_text(seconds, dated=forecast.dated),
                "ahead": f"{(step + 1) * forecast.step_seconds / 60:g} min",
                "mean": round(mean, 2),
                "10 %": round(low, 2),
                "50 %": round(median, 2),
                "90 %": round(high, 2),
                "rests on": forecast.rests_on[place],
                "remark": forecast.remarks[place],
            }


def forecast_series(series: SensorSeries, inputs: Inputs, run: Any, *, at: str = "", name: str = "") -> Forecast:
    """Forecast every sensor of a series from its last rows.

    Args:
        run: Inputs (1, sensors, channels) -> outputs (1, sensors, 4, steps).
        at: From this time on, '' for that of the last row: rows after it are not looked at, and rows that are missing
        up
            to it are missing.

    Raises:
        DataError: None of the bundle's sensors is in the series, or its steps are of another length.
        UsageError: `at` is no time, or the rows have no dates to hold it against.
    """
    if series.step_seconds != inputs.step_seconds:
        raise DataError(
            f"rows are {series.step_seconds / 60:g} min apart, those of the bundle {inputs.step_seconds / 60:g} min",
            where=name,
        )
    known = {sensor: place for place, sensor in enumerate(series.sensors)}
    if not any(sensor in known for sensor in inputs.sensors):
        raise DataError(
            "none of the bundle's sensors is in the file",
            where=name,
            why=f"the file has {', '.join(series.sensors[:3])}; the bundle {', '.join(inputs.sensors[:3])}",
            hint="columns are found by their names in the header",
        )
    end = _end(series, at, name)
    window = _window(series, end, inputs.history)
    seconds = int(series.seconds(end))
    if inputs.dated and series.start is None:
        raise DataError(
            "the rows have no times",
            where=name,
            hint="the bundle's time-of-day means need them: a first column of times",
        )
    values = np.full((inputs.history, len(inputs.sensors)), np.nan, np.float32)
    for place, sensor in enumerate(inputs.sensors):
        if sensor in known:
            values[:, place] = window[:, known[sensor]]
    stuck = _stuck(series, end, inputs, known)
    values[:, stuck > 0] = np.nan
    outputs = np.array(run(inputs.of_values(values[None], np.array([seconds])))[0], np.float32)
    means = inputs.profile.at(seconds + np.arange(1, inputs.horizon + 1) * inputs.step_seconds).T
    sensors, made, basis, remarks, recent = [], [], [], [], []
    for place, sensor in enumerate(inputs.sensors):
        present = np.isfinite(values[:, place])
        if present.any():
            made.append(outputs[place])
            basis.append(NETWORK)
            gap = int(np.argmax(present[::-1]))
            remarks.append(f"the last {gap} values are missing" if gap else "")
        else:
            made.append(_with_band(means[place], np.tile(inputs.profile_spread, (inputs.horizon, 1))))
            basis.append(MEANS)
            remarks.append(_why_silent(series, known.get(sensor), end, int(stuck[place])))
        sensors.append(sensor)
        recent.append(window[:, known[sensor]] if sensor in known else np.full(inputs.history, np.nan, np.float32))
    for sensor, place in known.items():
        if sensor in set(inputs.sensors):
            continue
        column = window[:, place]
        last = column[np.isfinite(column)]
        level = np.full(inputs.horizon, last[-1] if len(last) else np.nan, np.float32)
        sensors.append(sensor)
        made.append(_with_band(level, np.array(inputs.spread)))
        basis.append(LAST if len(last) else "nothing")
        remarks.append("not in training: its last value" if len(last) else "not in training, and no value")
        recent.append(column)
    return Forecast(
        sensors=tuple(sensors),
        seconds=seconds,
        dated=series.start is not None,
        step_seconds=series.step_seconds,
        quantity=inputs.quantity,
        recent=np.stack(recent, axis=1),
        values=np.stack(made),
        rests_on=tuple(basis),
        remarks=tuple(remarks),
    )


def _end(series: SensorSeries, at: str, name: str) -> int:
    """The step from which on is forecast; it may lie after the last row."""
    if not at:
        return len(series) - 1
    read = read_time(at)
    if read is None:
        raise UsageError(f"--at cannot be '{at}'", hint="a time, like 2012-03-01 08:05")
    if series.start is None:
        raise UsageError("--at needs rows with times", where=name)
    end = (read[0] - series.start) // series.step_seconds
    if end < 0:
        raise UsageError(f"--at {at} is before the first row", where=name, why=f"it is of {series.time_text(0)}")
    return int(end)


def _window(series: SensorSeries, end: int, history: int) -> np.ndarray:
    """The values of the last steps, float32 of shape (history, sensors); NaN before the first row and after the
    last."""
    made = np.full((history, len(series.sensors)), np.nan, np.float32)
    rows = np.arange(end - history + 1, end + 1)
    there = (rows >= 0) & (rows < len(series))
    made[there] = series.values[rows[there]]
    return made


def _stuck(series: SensorSeries, end: int, inputs: Inputs, known: Mapping[str, int]) -> np.ndarray:
    """How many equal values each of the bundle's sensors ends with, where those are more than a working detector gives;
    else 0. int64 of shape (sensors,)."""
    made = np.zeros(len(inputs.sensors), np.int64)
    last = min(end, len(series) - 1)
    block = np.asarray(series.values[max(0, last - inputs.stuck_after) : last + 1])
    if len(block) <= inputs.stuck_after:
        return made
    for place, sensor in enumerate(inputs.sensors):
        column = block[:, known[sensor]] if sensor in known else None
        if column is not None and np.isfinite(column).all() and column[0] != 0 and (column == column[0]).all():
            made[place] = len(column)
    return made


def _why_silent(series: SensorSeries, place: int | None, end: int, stuck: int) -> str:
    if place is None:
        return "the file has no such sensor"
    if stuck:
        return f"stuck: {stuck} equal values in a row"
    seen = np.flatnonzero(np.isfinite(np.asarray(series.values[: min(end + 1, len(series)), place])))
    if not len(seen):
        return "no value in the file"
    last = int(seen[-1])
    ago = (end - last) * series.step_seconds
    far = f"{ago / DAY_SECONDS:.1f} days" if ago >= DAY_SECONDS else f"{ago // 60} min"
    return f"stale: the last value is of {series.time_text(last)}, {far} before"


def _with_band(middle: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(4, steps) from a level at each step, shape (steps,), and how far below and above it values were, (steps, 2)."""
    made = np.empty((OUTPUTS, len(middle)), np.float32)
    made[MEAN] = made[MEDIAN] = middle
    made[LOW] = np.maximum(0, np.minimum(middle, middle + spread[:, 0]))
    made[HIGH] = np.maximum(middle, middle + spread[:, 1])
    return made
