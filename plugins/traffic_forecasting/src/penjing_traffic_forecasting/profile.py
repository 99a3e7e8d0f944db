"""The time-of-day mean of every sensor: what is forecast when nothing else is known. Runs on the device."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing_traffic_forecasting.series import DAY_SECONDS, SensorSeries, pieces

KINDS = ("working days", "week-ends")
FEWEST_DAYS = 2
"""A kind of day that was seen on fewer days has no profile of its own."""
_PIECE = 8_192


@dataclass(frozen=True, kw_only=True)
class DailyProfile:
    """Means by kind of day, part of the day and sensor; between the middles of two parts it is interpolated."""

    grid: np.ndarray
    """float32 of shape (kinds, parts, sensors). One kind where dates are unknown or week-ends were not seen."""

    @property
    def kinds(self) -> int:
        return len(self.grid)

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """Means at some times: float32 of shape (*seconds.shape, sensors), for seconds since 1970."""
        first, second, share, kind = self._places(seconds)
        share = share[..., None]
        return (self.grid[kind, first] * (1 - share) + self.grid[kind, second] * share).astype(np.float32)

    def _places(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return places(seconds, self.grid.shape[1], self.kinds)

    def rounded(self) -> DailyProfile:
        """As it comes back from a bundle, so that training and device work with the same numbers."""
        return DailyProfile.from_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """One byte a value, in 255 steps between the sensor's lowest and highest, compressed."""
        low, high = self.grid.min(axis=(0, 1)), self.grid.max(axis=(0, 1))
        step = np.maximum((high - low) / 255, 1e-9)
        codes = np.rint((self.grid - low) / step).astype(np.uint8)
        # Neighbouring parts of the day are alike, and differences of alike values compress well.
        steps = np.diff(codes, axis=1, prepend=np.zeros_like(codes[:, :1]))
        return {
            "shape": list(self.grid.shape),
            "low": [round(float(value), 4) for value in low],
            "step": [float(f"{value:.6g}") for value in step],
            "codes": base64.b64encode(
                zlib.compress(np.ascontiguousarray(steps.transpose(0, 2, 1)).tobytes(), 9)
            ).decode(),
        }

    @classmethod
    def from_json(cls, parameters: Mapping[str, Any]) -> DailyProfile:
        """The inverse of `to_json`, up to half a step."""
        kinds, parts, sensors = parameters["shape"]
        raw = zlib.decompress(base64.b64decode(parameters["codes"]))
        steps = np.frombuffer(raw, np.uint8).reshape(kinds, sensors, parts).transpose(0, 2, 1)
        codes = np.cumsum(steps, axis=1, dtype=np.uint8)
        low, step = np.array(parameters["low"]), np.array(parameters["step"])
        return cls(grid=(low + codes * step).astype(np.float32))


def places(seconds: Any, parts: int, kinds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where times lie in a profile: the part before, the part after, the share of the latter, and the kind of day."""
    seconds = np.asarray(seconds, np.int64)
    position = (seconds % DAY_SECONDS) * (parts / DAY_SECONDS) - 0.5
    below = np.floor(position)
    first = below.astype(np.int64) % parts
    return first, (first + 1) % parts, (position - below).astype(np.float32), kind_of_day(seconds) * (kinds > 1)


def kind_of_day(seconds: Any) -> np.ndarray:
    """1 on Saturdays and Sundays, else 0; 1970 began on a Thursday."""
    return ((np.asarray(seconds, np.int64) // DAY_SECONDS + 3) % 7 >= 5).astype(np.int64)


class ProfileSums:
    """Sums and counts of a training part, from which profiles are made: of all days, or of all but one."""

    def __init__(self, series: SensorSeries, steps: int, parts: int) -> None:
        """Sum the first `steps` steps of a series, `parts` parts a day."""
        self._series, self._steps, self._parts = series, steps, parts
        seconds = series.seconds(np.arange(steps))
        days = np.unique(seconds // DAY_SECONDS)
        weekend = kind_of_day(days * DAY_SECONDS) if series.start is not None else np.zeros(len(days), np.int64)
        counts = np.bincount(weekend, minlength=2)
        self.kinds = 2 if counts.min() >= FEWEST_DAYS else 1
        shape = (self.kinds, parts, len(series.sensors))
        self._sum, self._count = np.zeros(shape), np.zeros(shape)
        self._first_day = int(days[0])
        self._add(0, steps, 1, self._sum, self._count)

    def _add(self, first: int, stop: int, sign: int, total: np.ndarray, count: np.ndarray) -> None:
        for part in pieces(stop - first, _PIECE):
            rows = np.arange(first + part.start, first + part.stop)
            block = np.asarray(self._series.values[rows[0] : rows[-1] + 1], np.float64)
            known = np.isfinite(block)
            seconds = self._series.seconds(rows)
            kind = kind_of_day(seconds) * (self.kinds > 1)
            place = kind * self._parts + (seconds % DAY_SECONDS) * self._parts // DAY_SECONDS
            # Rows of one place stand together, so that each place is one sum.
            order = np.argsort(place, kind="stable")
            spots, starts = np.unique(place[order], return_index=True)
            flat = total.reshape(-1, total.shape[-1]), count.reshape(-1, count.shape[-1])
            flat[0][spots] += sign * np.add.reduceat(np.where(known, block, 0)[order], starts, axis=0)
            flat[1][spots] += sign * np.add.reduceat(known[order].astype(np.float64), starts, axis=0)

    def profile(self, without_day: int | None = None) -> DailyProfile:
        """The profile of all days, or of all but one.

        A training window's own day is left out of the means that it is given: it would meet its own targets in them,
        and the network would trust means that, in use, know nothing of the day.

        Args:
            without_day: Days since 1970, as `seconds // 86400`.
        """
        total, count = self._sum, self._count
        if without_day is not None:
            start = self._series.seconds(0)
            step = self._series.step_seconds
            first = max(0, -(-(without_day * DAY_SECONDS - int(start)) // step))
            stop = min(self._steps, -(-((without_day + 1) * DAY_SECONDS - int(start)) // step))
            if stop > first:
                total, count = total.copy(), count.copy()
                self._add(first, stop, -1, total, count)
                count = np.maximum(count, 0)
        return DailyProfile(grid=_filled(total, count))


def _filled(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Means; where a kind of day has none, of the other kind; else between its neighbours in the day; else the
    network's."""
    none = count < 0.5
    if len(total) > 1:
        both_total, both_count = total.sum(axis=0), count.sum(axis=0)
        total = np.where(none, both_total, total)
        count = np.where(none, both_count, count)
        none = count < 0.5
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=~none)
    if none.any():
        everywhere = float(total.sum() / max(1.0, count.sum()))
        parts = np.arange(mean.shape[1])
        for kind, sensor in zip(*np.nonzero(none.any(axis=1)), strict=True):
            known = ~none[kind, :, sensor]
            if known.any():
                mean[kind, :, sensor] = np.interp(parts, parts[known], mean[kind, known, sensor], period=mean.shape[1])
            else:
                mean[kind, :, sensor] = everywhere
    return mean.astype(np.float32)
