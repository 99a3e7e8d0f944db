"""Load a series, split it by time, and cut it into windows that never cross a border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError
from penjing.options import with_defaults
from penjing_traffic_forecasting import DOMAIN, reading
from penjing_traffic_forecasting.fitting import fit_inputs
from penjing_traffic_forecasting.inputs import HARMONICS, Inputs, Windows
from penjing_traffic_forecasting.profile import ProfileSums, kind_of_day
from penjing_traffic_forecasting.series import DAY_SECONDS, MISSING, SensorSeries

DEFAULTS: dict[str, Any] = {
    **reading.OPTIONS,
    "history": 12,
    "horizon_minutes": 0,
    "test_share": 0.2,
    "validation_share": 0.1,
    "profile_minutes": 30,
    "train_windows": 0,
    "validation_windows": 600,
    "test_values": 24_000_000,
    "sample_sensors": 48,
    "sample_days": 28,
}
"""Options of the `[data]` table. `history` is in steps; `horizon_minutes = 0` takes an hour, or four steps where a step
is longer than 15 minutes; of more windows than `train_windows` each epoch draws so many anew, 0 takes 3,000 or, of
fewer than 20 sensors, as many as make 60,000 series; `validation_windows` and `test_values` (windows x sensors x steps)
are where windows are thinned out evenly."""
RANGES = {
    **reading.RANGES,
    "history": (2, 288),
    "horizon_minutes": (0, 1440),
    "test_share": (0.01, 0.8),
    "validation_share": (0.01, 0.5),
    "profile_minutes": (5, 1440),
    "train_windows": (0, 1_000_000),
    "validation_windows": (16, 1_000_000),
    "test_values": (10_000, 10_000_000_000),
    "sample_sensors": (4, 400),
    "sample_days": (8, 400),
}
TRAIN_WINDOWS, TRAIN_SERIES = 3_000, 60_000
"""Of an epoch: so many windows, or more until they hold so many series, one of each sensor. 3,000 windows of a single
sensor are little: trained on them for 12 epochs the network was worse than ridge regression."""
MOST_BLOCKS_OF_A_DAY = 20
"""Parts of at least so many days are drawn by whole days; shorter ones in 16 blocks."""
_PERIODS = ((6, "night"), (10, "morning"), (15, "midday"), (19, "evening"), (24, "night"))
"""(hour up to which, name) of the slices by time of day."""
CONGESTED_HOUR = 0.85
"""An hour in which the time-of-day mean of a sensor is below this share of its free flow is a congested one."""
CONGESTED = 0.6
"""Below this share of its free flow a sensor is congested."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What training, baselines and metrics need besides the windows: `Splits.extra["traffic"]`."""

    series: SensorSeries
    inputs: Inputs
    sums: ProfileSums
    ends: np.ndarray
    """The last step of every window of the training part, int64 of shape (n,)."""

    def training_inputs(self, values: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Inputs of training windows; each with means that know nothing of its own day.

        Args:
            values: float32 of shape (n, history, sensors), NaN where missing.
            ends: int64 of shape (n,).
        """
        seconds = self.series.seconds(ends)
        days = seconds // DAY_SECONDS
        made = np.empty((len(ends), values.shape[2], self.inputs.channels), np.float32)
        for day in np.unique(days):
            rows = np.flatnonzero(days == day)
            profile = self.sums.profile(without_day=int(day))
            made[rows] = self.inputs.of_values(values[rows], seconds[rows], profile)
        return made


def load_data(request: DataRequest) -> Splits:
    """Series of a file or folder, or of the built-in sample where no path is given.

    Raises:
        DataError: The data cannot be read or is too short.
        RecipeError: An option is unknown or out of range.
    """
    options = with_defaults(DOMAIN, "data", request.options, DEFAULTS, RANGES)
    if request.path is None:
        from penjing_traffic_forecasting.sample import sample_series

        series = sample_series(sensors=options["sample_sensors"], days=options["sample_days"], seed=request.seed)
    else:
        series = reading.read_series(request.path, options)
    return splits_of_series(series, options)


def splits_of_series(series: SensorSeries, options: Mapping[str, Any]) -> Splits:
    """Split a series by time.

    Args:
        options: Every key of `DEFAULTS`.

    Raises:
        DataError: It is too short for the windows.
    """
    history = options["history"]
    horizon, notes = _horizon(series, options["horizon_minutes"])
    steps = len(series)
    test_start = int(steps * (1 - options["test_share"]))
    train_stop = test_start - round(steps * options["validation_share"])
    if min(train_stop, test_start - train_stop, steps - test_start) < history + horizon or train_stop < 16 + history:
        raise DataError(
            f"{steps:,} steps of {series.step_seconds // 60} min are too few",
            where=series.source,
            why=f"training has {max(0, train_stop):,}, validation {test_start - train_stop:,}, test "
            f"{steps - test_start:,}, and a window takes {history + horizon}",
            hint="give more days, or other shares in the recipe's [data]",
        )
    inputs, sums = fit_inputs(series, train_stop, history=history, horizon=horizon, minutes=options["profile_minutes"])
    parts = {"train": (0, train_stop), "validation": (train_stop, test_start), "test": (test_start, steps)}
    ends = {}
    for name, (first, stop) in parts.items():
        ends[name], dropped = _window_ends(series, first, stop, history, horizon)
        if dropped:
            notes.append(f"{dropped:,} windows of the {name} part have no known target and were left out")
        if not len(ends[name]):
            raise DataError(f"no window of the {name} part has a known target", where=series.source)
    training = Training(series=series, inputs=inputs, sums=sums, ends=ends["train"])
    chosen = {
        "train": thinned(ends["train"], options["train_windows"] or _train_windows(len(series.sensors))),
        "validation": thinned(ends["validation"], options["validation_windows"]),
        "test": thinned(ends["test"], max(16, options["test_values"] // (len(series.sensors) * horizon))),
    }
    notes.append(
        f"split by time: training up to {series.time_text(train_stop - 1)}, validation up to "
        f"{series.time_text(test_start - 1)}, test up to {series.time_text(steps - 1)}; no window crosses a border"
    )
    for name in parts:
        if len(chosen[name]) < len(ends[name]):
            how = "each epoch draws as many anew from all" if name == "train" else "evenly spread"
            notes.append(f"of {len(ends[name]):,} {name} windows {len(chosen[name]):,} are used: {how}")

    def part(name: str) -> Split:
        rows = chosen[name]
        windows = Windows(values=series.values, ends=rows, seconds=series.seconds(rows), sensors=series.sensors)
        if name == "train":
            x = training.training_inputs(window_values(series, rows, history), rows)
        else:
            x = inputs.of(windows)
        y = targets(series, rows, horizon)
        return Split(
            x=x,
            y=y,
            ids=[f"step {row}, {series.time_text(int(row))}" for row in rows],
            groups=_blocks(name, series, rows, history + horizon),
            slices=_slices(series, inputs, windows, y),
            raw=windows,
        )

    return Splits(
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        source=series.source,
        sha256=series.sha256,
        synthetic=series.synthetic,
        labels=tuple(f"{series.step_seconds * (step + 1) / 60:g} min" for step in range(horizon)),
        preprocessing=inputs.to_json(),
        input_meaning=f"of each sensor: its last {history} values, the share of them that is known, its time-of-day "
        f"mean now and {len(inputs.anchors)} times ahead, in standard deviations; the hour as {HARMONICS} harmonics",
        output_meaning=f"of each sensor: mean, 10, 50 and 90 % quantile of the {series.quantity} at {horizon} steps",
        notes=(*series.notes, *notes),
        extra={"traffic": training},
    )


def _horizon(series: SensorSeries, minutes: float) -> tuple[int, list[str]]:
    """How many steps are forecast."""
    step = series.step_seconds
    if minutes:
        horizon = round(minutes * 60 / step)
        if horizon < 1 or horizon * step != minutes * 60:
            raise DataError(
                f"{minutes:g} min are no whole number of steps of {step / 60:g} min", where="[data], horizon_minutes"
            )
        return horizon, []
    if step <= 900 and 3600 % step == 0:
        horizon = 3600 // step
        return horizon, [] if step == 300 else [f"a step is {step / 60:g} min: an hour ahead is {horizon} steps"]
    return 4, [f"a step is {step / 60:g} min: four steps are forecast, {4 * step / 60:g} min"]


def _train_windows(sensors: int) -> int:
    return max(TRAIN_WINDOWS, -(-TRAIN_SERIES // sensors))


def window_values(series: SensorSeries, ends: np.ndarray, history: int) -> np.ndarray:
    """Values of windows, float32 of shape (n, history, sensors)."""
    return np.asarray(series.values[ends[:, None] + np.arange(1 - history, 1)])


def targets(series: SensorSeries, ends: np.ndarray, horizon: int) -> np.ndarray:
    """What is to be forecast, float32 of shape (n, sensors, horizon), `MISSING` where nobody knows."""
    made = np.empty((len(ends), len(series.sensors), horizon), np.float32)
    for step in range(horizon):
        made[:, :, step] = series.values[ends + step + 1]
    return np.nan_to_num(made, copy=False, nan=MISSING)


def _window_ends(series: SensorSeries, first: int, stop: int, history: int, horizon: int) -> tuple[np.ndarray, int]:
    """The last step of every window of rows first to stop that has a known target, and how many have none."""
    ends = np.arange(first + history - 1, stop - horizon, dtype=np.int64)
    alive = np.zeros(stop - first + 1, np.int64)
    for start in range(first, stop, 16_384):
        block = series.values[start : min(stop, start + 16_384)]
        alive[start - first + 1 : start - first + 1 + len(block)] = np.isfinite(block).any(axis=1)
    known = np.cumsum(alive)
    has = known[ends + horizon + 1 - first] > known[ends + 1 - first]
    return ends[has], int((~has).sum())


def thinned(ends: np.ndarray, most: int) -> np.ndarray:
    """At most so many, evenly spread."""
    return ends if len(ends) <= most else ends[np.linspace(0, len(ends) - 1, most).round().astype(int)]


def _blocks(name: str, series: SensorSeries, ends: np.ndarray, window: int) -> np.ndarray:
    """Blocks of consecutive windows, which intervals draw together, since neighbouring windows share values.

    Non-overlapping block bootstrap (Carlstein 1986): whole days where there are enough, else 16 blocks, or fewer where
    they would be shorter than a window.
    """
    days = series.seconds(ends) // DAY_SECONDS
    if len(np.unique(days)) >= MOST_BLOCKS_OF_A_DAY:
        number = days - days[0]
    else:
        span = int(ends[-1] - ends[0]) + 1
        number = (ends - ends[0]) // max(window, -(-span // 16))
    return np.char.add(f"{name} block ", number.astype(str))


def _slices(series: SensorSeries, inputs: Inputs, windows: Windows, y: np.ndarray) -> dict[str, np.ndarray]:
    hours = windows.seconds % DAY_SECONDS // 3600
    limits = [limit for limit, _ in _PERIODS]
    found = {"time of day": np.array([name for _, name in _PERIODS])[np.digitize(hours, limits)]}
    if series.start is not None:
        found["time"] = np.array([series.time_text(int(end)) for end in windows.ends])
        found["kind of day"] = np.where(kind_of_day(windows.seconds) > 0, "week-end", "working day")
    if "speed" in series.quantity:
        known = y > MISSING
        slow = known & (y < CONGESTED * np.array(inputs.free_flow, np.float32)[None, :, None])
        share = slow.sum(axis=(1, 2)) / np.maximum(1, known.sum(axis=(1, 2)))
        found["congestion"] = np.where(share < 0.03, "free", np.where(share < 0.12, "some queues", "many queues"))
    return found
