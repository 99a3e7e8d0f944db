"""The noun of this domain: what the sensors of a network measured, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

DAY_SECONDS = 86_400
LARGEST_IN_MEMORY = 1 << 30
"""Bytes of values above which rows are kept in a temporary file that the system maps, instead of in memory."""
MISSING = -1.0
"""What a missing value is in targets: nothing that a sensor counts or measures is negative."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as a file has them: not yet in order, not yet at equal distances."""

    sensors: tuple[str, ...]
    values: Any
    """float32 of shape (rows, sensors); NaN where the file has nothing. An array, or one mapped from a file."""
    times: np.ndarray | None
    """int64 of shape (rows,), seconds since 1970 on the file's own clock; None where the file has no times."""
    name: str
    """The file, for messages."""
    first_row: int = 1
    """The number that a person would give the first row: data rows are counted from 1."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SensorSeries:
    """Values of all sensors at equal distances of time."""

    values: Any
    """float32 of shape (steps, sensors), NaN where nothing is known. An array, or one mapped from a file."""
    sensors: tuple[str, ...]
    step_seconds: int
    start: int | None
    """Seconds since 1970 of the first step, on the data's own clock; None where nobody knows the date."""
    quantity: str
    """What is measured, with its unit where it is known: 'speed (mph)', 'flow'."""
    zero_is_missing: bool = False
    """Whether zero was read as a missing value."""
    largest: float = 0.0
    """Values above it were read as missing; 0 where there was no limit."""
    adjacency: np.ndarray | None = None
    """float32 of shape (sensors, sensors), 0 where two sensors are no neighbours; None where nothing is known."""
    source: str = ""
    sha256: str = ""
    notes: tuple[str, ...] = field(default=())
    synthetic: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def steps_a_day(self) -> int:
        return DAY_SECONDS // self.step_seconds

    def seconds(self, steps: Any) -> np.ndarray:
        """Seconds since 1970 of steps, int64 of any shape; of a series without a date counted from midnight."""
        return (0 if self.start is None else self.start) + np.asarray(steps, np.int64) * self.step_seconds

    def time_text(self, step: int) -> str:
        """A step as a person writes it; 'day 3, 08:05' where the date is not known."""
        return time_text(int(self.seconds(step)), dated=self.start is not None)


def time_text(seconds: int, *, dated: bool = True) -> str:
    """Seconds since 1970 as '2012-03-01 08:05', or as 'day 1, 08:05' where the date is not known."""
    if dated:
        return str(np.datetime64(seconds, "s")).replace("T", " ")[:16]
    day, rest = divmod(seconds, DAY_SECONDS)
    return f"day {day + 1}, {rest // 3600:02d}:{rest % 3600 // 60:02d}"


def pieces(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0 to `count`."""
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


class RowStore:
    """Collects rows; what grows beyond `LARGEST_IN_MEMORY` lies in a temporary file that is mapped, not read."""

    def __init__(self, width: int, *, largest: int = LARGEST_IN_MEMORY) -> None:
        self._width = width
        self._largest = largest
        self._parts: list[np.ndarray] = []
        self._rows = 0
        self._file: Any = None

    def append(self, rows: np.ndarray) -> None:
        """Add float32 rows of shape (n, width)."""
        self._parts.append(np.ascontiguousarray(rows, np.float32))
        self._rows += len(rows)
        if self._file is not None or self._rows * self._width * 4 > self._largest:
            self._spill()

    def _spill(self) -> None:
        if self._file is None:
            self._file = TemporaryFile(prefix="penjing-rows-")  # noqa: SIM115, lives as long as its map
        for part in self._parts:
            self._file.write(part.tobytes())
        self._parts = []

    def finish(self) -> Any:
        """All rows, float32 of shape (rows, width)."""
        if self._file is None:
            return np.concatenate(self._parts) if self._parts else np.zeros((0, self._width), np.float32)
        self._file.flush()
        return np.memmap(self._file, np.float32, "r+", shape=(self._rows, self._width))


def empty_rows(count: int, width: int, *, largest: int = LARGEST_IN_MEMORY) -> Any:
    """NaN of shape (count, width), in memory or, where that is much, in a temporary file."""
    if count * width * 4 <= largest:
        return np.full((count, width), np.nan, np.float32)
    file = TemporaryFile(prefix="penjing-rows-")  # noqa: SIM115, lives as long as its map
    file.truncate(count * width * 4)
    made = np.memmap(file, np.float32, "r+", shape=(count, width))
    for part in pieces(count, max(1, (1 << 24) // width)):
        made[part] = np.nan
    return made


def content_sha256(paths: Sequence[Path]) -> str:
    """Hash of the bytes of files, in the order given."""
    import hashlib

    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
