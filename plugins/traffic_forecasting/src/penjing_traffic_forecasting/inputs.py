"""From a window of values to what the network takes, and back to forecasts that know what they rest on. Numpy only:
this runs on the device.

A sensor's inputs are its last values, the share of them that are known, its time-of-day mean now and at some steps
ahead, all in standard deviations of the training part; and the hour as a few harmonics of the day, which are the same
for every sensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from penjing_traffic_forecasting.profile import DailyProfile
from penjing_traffic_forecasting.series import DAY_SECONDS, pieces

LARGEST_INPUT = 8.0
"""Inputs are clipped here, in standard deviations."""
ANCHORS = 4
"""At so many steps ahead, evenly spread, the time-of-day mean is an input."""
HARMONICS = 4
"""Sine and cosine of so many whole numbers of turns a day tell the hour."""
_PIECE = 512


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of a series, not yet turned into inputs: `Split.raw`."""

    values: Any
    """The series' values, float32 of shape (steps, sensors), NaN where missing."""
    ends: np.ndarray
    """The last step of each window, int64 of shape (n,)."""
    seconds: np.ndarray
    """The time of that step, seconds since 1970, int64 of shape (n,)."""
    sensors: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, rows: Any) -> Windows:
        """Some of the windows, as an array's rows are taken."""
        return replace(self, ends=self.ends[rows], seconds=self.seconds[rows])


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What turns windows into inputs, fitted to a training part."""

    sensors: tuple[str, ...]
    history: int
    """Steps of a window."""
    horizon: int
    """Steps that are forecast."""
    step_seconds: int
    dated: bool
    """Whether dates are known; else times are counted from midnight of the first day."""
    quantity: str
    mean: float
    scale: float
    """Mean and standard deviation of the training part's known values, of all sensors together."""
    profile: DailyProfile
    free_flow: tuple[float, ...]
    """85th percentile of each sensor's training values."""
    spread: tuple[tuple[float, float], ...]
    """By step ahead: 10th and 90th percentile of how far values were from the last known one in the training part."""
    profile_spread: tuple[float, float]
    """Likewise how far they were from the time-of-day mean."""
    zero_is_missing: bool
    largest: float
    """How values are to be read, as the training data was."""
    stuck_after: int
    """So many equal values in a row, other than zero, were hardly ever measured: the detector is stuck."""

    @property
    def anchors(self) -> tuple[int, ...]:
        """Steps ahead at which the time-of-day mean is an input."""
        count = min(ANCHORS, self.horizon)
        return tuple(-(-self.horizon * (number + 1) // count) for number in range(count))

    @property
    def channels(self) -> int:
        return self.history + 2 + len(self.anchors) + 2 * HARMONICS

    def of(self, windows: Windows) -> np.ndarray:
        """Inputs, float32 of shape (n, sensors, channels)."""
        made = np.empty((len(windows), len(self.sensors), self.channels), np.float32)
        back = np.arange(self.history) - (self.history - 1)
        for part in pieces(len(windows), _PIECE):
            values = np.asarray(windows.values[windows.ends[part, None] + back])
            made[part] = self.of_values(values, windows.seconds[part])
        return made

    def of_values(self, values: np.ndarray, seconds: np.ndarray, profile: DailyProfile | None = None) -> np.ndarray:
        """Inputs of windows whose values are given.

        Args:
            values: float32 of shape (n, history, sensors), NaN where missing.
            seconds: The time of each window's last step, int64 of shape (n,).
            profile: Means to use in place of the fitted ones.

        Returns:
            float32 of shape (n, sensors, channels).
        """
        profile = profile or self.profile
        back = np.arange(self.history) - (self.history - 1)
        ahead = np.array((0, *self.anchors))
        means = profile.at(seconds[:, None] + ahead * self.step_seconds)
        known = np.isfinite(values)
        if not known.all():
            past = profile.at(seconds[:, None] + back * self.step_seconds)
            values = _filled(values, known, past)
        made = np.empty((len(values), values.shape[2], self.channels), np.float32)
        made[:, :, : self.history] = (values.transpose(0, 2, 1) - self.mean) / self.scale
        made[:, :, self.history] = known.mean(axis=1)
        hours = self.history + 2 + len(self.anchors)
        made[:, :, self.history + 1 : hours] = (means.transpose(0, 2, 1) - self.mean) / self.scale
        made[:, :, hours:] = _harmonics(seconds)[:, None, :]
        return np.clip(made, -LARGEST_INPUT, LARGEST_INPUT, out=made)

    def last_values(self, x: np.ndarray) -> np.ndarray:
        """The last value of each sensor in the data's unit, float32 of shape (n, sensors), from inputs."""
        return x[:, :, self.history - 1] * self.scale + self.mean

    def to_json(self) -> dict[str, Any]:
        """For the bundle."""
        return {
            "sensors": list(self.sensors),
            "history": self.history,
            "horizon": self.horizon,
            "step_seconds": self.step_seconds,
            "dated": self.dated,
            "quantity": self.quantity,
            "mean": self.mean,
            "scale": self.scale,
            "profile": self.profile.to_json(),
            "free_flow": [round(value, 3) for value in self.free_flow],
            "spread": [[round(low, 4), round(high, 4)] for low, high in self.spread],
            "profile_spread": [round(value, 4) for value in self.profile_spread],
            "zero_is_missing": self.zero_is_missing,
            "largest": self.largest,
            "stuck_after": self.stuck_after,
        }

    @classmethod
    def from_json(cls, parameters: Mapping[str, Any]) -> Inputs:
        """The inverse of `to_json`, up to rounding."""
        given = dict(parameters)
        given["profile"] = DailyProfile.from_json(given["profile"])
        given["spread"] = tuple((low, high) for low, high in given["spread"])
        for name in ("sensors", "free_flow", "profile_spread"):
            given[name] = tuple(given[name])
        return cls(**given)


def _harmonics(seconds: np.ndarray) -> np.ndarray:
    """float64 of shape (n, 2 * HARMONICS)."""
    turn = 2 * np.pi * (np.asarray(seconds) % DAY_SECONDS / DAY_SECONDS)[:, None] * np.arange(1, HARMONICS + 1)
    return np.concatenate([np.sin(turn), np.cos(turn)], axis=1)


def _filled(values: np.ndarray, known: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Gaps take the last value before them, the window's first ones the next after them, a sensor without any value
    its time-of-day mean. All of shape (n, history, sensors)."""
    steps = np.arange(values.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    first = np.argmax(known, axis=1)[:, None, :]
    source = np.where(last >= 0, last, first)
    filled = np.take_along_axis(values, source, axis=1)
    return np.where(known.any(axis=1)[:, None, :], filled, past)


def preprocess(raw: Any, parameters: Mapping[str, Any]) -> np.ndarray:
    """Inputs, float32 of shape (n, sensors, channels), of windows, by a bundle's parameters.

    Raises:
        DataError: The windows are of other sensors than the bundle.
    """
    inputs = Inputs.from_json(parameters)
    check_sensors(raw.sensors, inputs.sensors)
    return inputs.of(raw)


def check_sensors(given: Sequence[str], known: Sequence[str]) -> None:
    """Raises:
    DataError: These are not the bundle's sensors in its order.
    """
    from penjing.errors import DataError

    if tuple(given) != tuple(known):
        other = next((name for name in given if name not in set(known)), None)
        raise DataError(
            f"the data has {len(given):,} sensors, the bundle {len(known):,}"
            if len(given) != len(known)
            else f"sensor '{other}' is not in the bundle"
            if other
            else "the sensors stand in another order than in the bundle",
            hint="a network is trained for its sensors: train one for these",
        )
