"""The domain's part of the report: forecasts against the truth with their band, errors by step ahead and by hour."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import Evaluation, ReportSection
from penjing_traffic_forecasting.charts import COLOURS, Line, chart
from penjing_traffic_forecasting.data import Training
from penjing_traffic_forecasting.forecasts import HIGH, LOW, MEAN
from penjing_traffic_forecasting.metrics import ERRORS, window_sums
from penjing_traffic_forecasting.series import DAY_SECONDS

_NAMES = {"reference": "before compression", "compressed": "the file"}


def report_section(metrics: Mapping[str, Any], evaluation: Evaluation) -> ReportSection:
    """Drawings from the outputs on the test part; plain SVG."""
    training: Training = evaluation.splits.extra["traffic"]
    unit = training.series.quantity
    said = "Synthetic data. " if evaluation.splits.synthetic else ""
    parts = [
        _against_truth(evaluation, training, sensor, why)
        for sensor, why in _sensors_to_show(np.asarray(evaluation.splits.test.y))
    ]
    names = [_NAMES.get(name, name) for name in evaluation.outputs]
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    parts.append(_by_step(evaluation, training, unit, colours))
    hours = _by_hour(metrics)
    parts.append(
        chart(
            "Root mean squared error by hour of the day, all steps ahead",
            [Line(name=name, x=x, y=y, colour=colours[name]) for name, (x, y) in hours.items()],
            across="hour",
            upwards=unit,
            from_zero=True,
        )
    )
    return ReportSection(
        title="Forecasts against the truth",
        html=f"<p>{html.escape(said)}The band is from the 10 % to the 90 % quantile, the line the mean.</p>"
        + "".join(parts),
    )


def _sensors_to_show(y: np.ndarray) -> list[tuple[int, str]]:
    """The sensor whose truth varies most, and the middle one."""
    known = y[:, :, -1] >= 0
    values = np.where(known, y[:, :, -1], np.nan)
    with np.errstate(invalid="ignore"):
        spread = np.array([np.nanstd(column) if np.isfinite(column).any() else -1.0 for column in values.T])
    order = np.argsort(spread)
    chosen = [(int(order[-1]), "which varies most")]
    if len(order) > 1:
        chosen.append((int(order[len(order) // 2]), "the middle one by variation"))
    return chosen


def _against_truth(evaluation: Evaluation, training: Training, sensor: int, why: str) -> str:
    """The last step ahead over the day of the test part on which the sensor's truth varies most."""
    test = evaluation.splits.test
    step = training.inputs.horizon - 1
    seconds = test.raw.seconds + (step + 1) * training.inputs.step_seconds
    truth = np.asarray(test.y[:, sensor, step], np.float64)
    days = seconds // DAY_SECONDS
    best = max(np.unique(days), key=lambda day: _spread(truth[days == day]))
    rows = np.flatnonzero(days == best)
    x = seconds[rows] % DAY_SECONDS / 3600
    outputs = np.asarray(evaluation.outputs["compressed"][rows, sensor, :, step], np.float64)
    day = str(np.datetime64(int(best), "D")) if training.series.start is not None else f"day {int(best) + 1}"
    label = evaluation.splits.labels[step]
    return chart(
        f"Sensor {training.series.sensors[sensor]}, {why}: {label} ahead on {day}",
        [
            Line(name="truth", x=x, y=np.where(truth[rows] >= 0, truth[rows], np.nan), colour="#222222"),
            Line(name=f"forecast {label} before", x=x, y=outputs[:, MEAN], colour="#cc6677"),
        ],
        band=(x, outputs[:, LOW], outputs[:, HIGH]),
        across="hour",
        upwards=training.series.quantity,
    )


def _spread(values: np.ndarray) -> float:
    known = values[values >= 0]
    return float(known.std()) if len(known) > 1 else -1.0


def _by_step(evaluation: Evaluation, training: Training, unit: str, colours: Mapping[str, str]) -> str:
    lines = []
    y = evaluation.splits.test.y
    ahead = np.arange(1, training.inputs.horizon + 1) * training.inputs.step_seconds / 60
    for key, outputs in evaluation.outputs.items():
        name = _NAMES.get(key, key)
        total, count = (part.sum(axis=0) for part in window_sums(ERRORS["rmse"][0], y, outputs))
        error = np.sqrt(total / np.maximum(count, 1))
        lines.append(Line(name=name, x=ahead, y=error, colour=colours[name]))
    return chart("Root mean squared error at each step ahead", lines, across="minutes", upwards=unit, from_zero=True)


def _by_hour(metrics: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    entries = {"before compression": metrics["reference"], "the file": metrics["compressed"]}
    entries |= {entry["name"]: entry for entry in metrics["baselines"]}
    found = {}
    for name, entry in entries.items():
        values = {
            int(key[13:-1]): float(value)
            for key, value in entry["metrics"].items()
            if key.startswith("rmse_by_hour[") and value is not None
        }
        found[name] = (np.array(sorted(values), float), np.array([values[hour] for hour in sorted(values)]))
    return found
