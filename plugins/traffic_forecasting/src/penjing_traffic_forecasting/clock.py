"""Read times as people write them, and put rows on a grid of equal steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from penjing.errors import DataError
from penjing_traffic_forecasting.series import DAY_SECONDS, Rows, empty_rows, pieces, time_text

LARGEST_GROWTH = 50
"""A grid of so many times the rows says that a time is wrong, not that rows are missing."""
_ISO = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?"
)
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?")
FORMS = "2012-03-01 08:05[:00], 2012/03/01 08:05 or, as PeMS writes it, 03/01/2012 08:05:00"


class Clock:
    """Turns the cells of one column of times into seconds, and sees to it that all are of one time zone."""

    def __init__(self) -> None:
        self.zone: str | None = None
        """'', 'Z' or '+01:00' once a time was read."""
        self._first_row = 0

    def seconds(self, cells: Sequence[str], *, file: str, column: str, first_row: int) -> np.ndarray:
        """int64 of shape (n,), seconds since 1970 on the clock that the cells show; zones are not converted, since the
        hour of the day is what traffic follows.

        Raises:
            DataError: A cell is no time, or is of another time zone than those before.
        """
        found = np.empty(len(cells), np.int64)
        for index, cell in enumerate(cells):
            read = read_time(cell)
            row = first_row + index
            if read is None:
                raise DataError(
                    f"'{cell[:60]}' is no time" if cell.strip() else "a time is missing",
                    where=f"{file}, row {row:,}, column '{column}'",
                    hint=f"times look like {FORMS}",
                )
            found[index], zone = read
            if self.zone is None:
                self.zone, self._first_row = zone, row
            elif zone != self.zone:
                raise DataError(
                    "times are of different time zones",
                    where=f"{file}, row {row:,}, column '{column}'",
                    why=f"'{cell}' is {zone or 'without a zone'}, row {self._first_row:,} {self.zone or 'without one'}",
                    hint="write all of them in local time, since traffic follows the hour of the day",
                )
        return found

    def notes(self) -> list[str]:
        if not self.zone:
            return []
        return [f"all times are at {self.zone}: hours of the day are those of this zone"]


def read_time(cell: str) -> tuple[int, str] | None:
    """(seconds since 1970 as the clock shows them, time zone or '') of a written time; None for anything else."""
    text = cell.strip()
    match = _ISO.fullmatch(text)
    zone = ""
    if match:
        year, month, day = int(match[1]), int(match[2]), int(match[3])
        zone = match[7] or ""
    else:
        match = _AMERICAN.fullmatch(text)
        if not match:
            return None
        year, month, day = int(match[3]), int(match[1]), int(match[2])
    hour, minute, second = (int(match[group] or 0) for group in (4, 5, 6))
    if hour > 23 or minute > 59 or second > 59 or not 1677 < year < 2262:
        return None
    try:
        date = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "s")
    except ValueError:
        return None
    return int(date.astype(np.int64)) + hour * 3600 + minute * 60 + second, zone


def usual_step(times: np.ndarray) -> int:
    """The distance in seconds that is most frequent between neighbouring times; 0 where there is none."""
    distances = np.diff(np.unique(times))
    if not len(distances):
        return 0
    steps, counts = np.unique(distances, return_counts=True)
    return int(steps[counts.argmax()])


def on_grid(rows: Rows, *, step_seconds: int = 0) -> tuple[Any, int, int, list[str]]:
    """Rows with times, in the order of time and at equal distances.

    The rules, each counted: rows out of order are sorted; rows of one time become one, with the mean of their values;
    a time beside the grid goes to the nearest step; a step without a row is missing.

    Args:
        step_seconds: The distance; 0 takes the most frequent one.

    Returns:
        Values (float32 of shape (steps, sensors)), the first step in seconds since 1970, the distance in seconds,
        notes.

    Raises:
        DataError: There are too few times, the distance does not divide a day, or the times are far too sparse.
    """
    times = rows.times
    assert times is not None
    step = step_seconds or usual_step(times)
    if step <= 0:
        raise DataError(
            f"all {len(times):,} rows have the same time" if len(times) > 1 else "there is one row only",
            where=rows.name,
            hint="a series needs at least some days of rows",
        )
    if DAY_SECONDS % step:
        raise DataError(
            f"rows are {step:,} s apart, which does not divide a day",
            where=rows.name,
            hint="say another step in the recipe's [data]: step_minutes = 5",
        )
    notes = []
    offsets, counts = np.unique(times % step, return_counts=True)
    offset = int(offsets[counts.argmax()])
    first = int(np.rint((int(times.min()) - offset) / step))
    start = first * step + offset
    place = np.rint((times - offset) / step).astype(np.int64) - first
    count = int(place.max()) + 1
    if count > LARGEST_GROWTH * len(times) + 1000:
        last = int(times.argmax())
        raise DataError(
            f"{len(times):,} rows span {count:,} steps of {step:,} s",
            where=f"{rows.name}, from {time_text(int(times.min()))} to row {rows.first_row + last:,}, "
            f"{time_text(int(times[last]))}",
            why="a time is wrong, or rows are far less frequent than the step says",
            hint="mend the time, or set step_minutes in the recipe's [data]",
        )
    late = int(np.count_nonzero(np.diff(times) < 0))
    if late:
        notes.append(f"{late:,} rows are earlier than the row before them; all were sorted by time")
    moved = int(np.count_nonzero((times - start) % step))
    if moved:
        notes.append(f"{moved:,} times lie beside the grid of {step:,} s and went to the nearest step")
    if np.array_equal(place, np.arange(len(place))):
        return rows.values, start, step, notes
    values, doubled = _gathered(rows.values, place, count)
    if doubled:
        notes.append(f"{doubled:,} rows repeat the time of another row; each such time has the mean of its rows")
    empty = count - len(np.unique(place))
    if empty:
        notes.append(f"{empty:,} of {count:,} steps have no row; their values are missing")
    return values, start, step, notes


def _gathered(values: Any, place: np.ndarray, count: int) -> tuple[Any, int]:
    """Rows at their places, those that share one as the mean of what is known, and how many rows were too many."""
    made = empty_rows(count, values.shape[1])
    order = np.argsort(place, kind="stable")
    places, first, counts = np.unique(place[order], return_index=True, return_counts=True)
    for part in pieces(len(places), 65_536):
        made[places[part]] = values[order[first[part]]]
    for index in np.flatnonzero(counts > 1):
        together = np.asarray(values[order[first[index] : first[index] + counts[index]]])
        known = np.isfinite(together)
        total = np.where(known, together, 0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            made[places[index]] = np.where(known.any(axis=0), total / known.sum(axis=0), np.nan)
    return made, int((counts - 1).sum())
