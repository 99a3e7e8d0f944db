"""CSV tables, read in pieces: one column per sensor, or one sensor among other columns.

Runs on the device: numpy and the standard library.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from penjing.errors import DataError
from penjing_traffic_forecasting.clock import Clock, read_time
from penjing_traffic_forecasting.columns import TIME_NAMES, Layout, layout_of
from penjing_traffic_forecasting.series import Rows, RowStore

PIECE = 4_096
"""Rows that are turned into numbers at once."""
PREVIEW = 60
"""Rows that are looked at to tell a header from values."""
EMPTY_CELLS = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "?"})
"""What stands for a missing value, in lower case."""
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


def read_csv(path: Path, options: Mapping[str, Any]) -> Rows:
    """A table of sensors by time, or the column of a single sensor.

    Args:
        options: `time_column` and `value_column`, '' where the header is to tell.

    Raises:
        DataError: The file is empty or damaged, a cell is neither a number nor empty, or a row has another length.
    """
    lines = _lines(path)
    preview = list(islice(lines, PREVIEW))
    if not preview:
        raise DataError("the file is empty", where=path.name, hint="it should hold a row per time step")
    header, first = _header(preview)
    body = preview[1:] if header else preview
    if not body:
        raise DataError("the file has a header and no rows", where=path.name)
    layout = layout_of(path.name, header, body, options)
    store = RowStore(len(layout.sensors))
    clock = Clock()
    times: list[np.ndarray] = []
    numbers = _Numbers(path.name, layout)
    row = 1
    width = len(body[0])
    rest = _chained(body, lines)
    while piece := list(islice(rest, PIECE)):
        for index, cells in enumerate(piece):
            if len(cells) != width:
                raise DataError(
                    f"a row has {len(cells):,} cells, the others {width:,}", where=f"{path.name}, row {row + index:,}"
                )
        if layout.time is not None:
            texts = [cells[layout.time] for cells in piece]
            times.append(clock.seconds(texts, file=path.name, column=layout.time_name, first_row=row))
        store.append(numbers.read(piece, row))
        row += len(piece)
    return Rows(
        sensors=layout.sensors,
        values=store.finish(),
        times=np.concatenate(times) if times else None,
        name=path.name,
        notes=(*([first] if first else []), *layout.notes, *clock.notes(), *numbers.notes()),
    )


def read_header(path: Path) -> tuple[str, ...]:
    """The cells of the first line; empty where there is none.

    Raises:
        DataError: The file cannot be read.
    """
    return tuple(next(_lines(path), ()))


def _lines(path: Path) -> Iterator[list[str]]:
    """Rows of cells, blank lines left out, the separator found from the first line."""
    opener = _OPENERS.get(path.suffix.lower(), open)
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            separator = max(",;\t", key=first.count)
            for cells in csv.reader(_chained([first], file), delimiter=separator):
                if cells and any(cell.strip() for cell in cells):
                    yield cells
    except UnicodeDecodeError as error:
        raise DataError("the file is no text", where=str(path), why=str(error)) from error
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError("the file cannot be read", where=str(path), why=str(error)) from error
    except csv.Error as error:
        raise DataError("the file is no CSV", where=str(path), why=str(error)) from error


def _chained(first: Sequence[Any], rest: Any) -> Iterator[Any]:
    yield from first
    yield from rest


def _header(preview: list[list[str]]) -> tuple[list[str] | None, str]:
    """The header, if the first row is one, and what there is to say of that."""
    first, body = preview[0], preview[1:]
    texts = [cell for cell in first if _number(cell) is None and cell.strip().lower() not in EMPTY_CELLS]
    if any(read_time(cell) is None for cell in texts) or any(cell.strip().lower() in TIME_NAMES for cell in first):
        return first, ""
    if texts or not body or len(first) < 2:
        return None, "the file has no header: sensors are named by their column"
    # Numbers may be names too: whole, all different, and nothing like the values below them, or simply counted up.
    names = [_number(cell) for cell in first]
    whole = all(
        name is not None and name == int(name) and "." not in cell for name, cell in zip(names, first, strict=True)
    )
    if whole and len(set(names)) == len(names):
        below = [value for cells in body for value in map(_number, cells) if value is not None]
        counted = [int(name or 0) for name in names] in (list(range(len(names))), list(range(1, len(names) + 1)))
        if counted or (below and sorted(map(abs, names))[len(names) // 2] > 10 * max(map(abs, below))):  # type: ignore[arg-type]
            return first, "the first row holds numbers unlike the others and was read as the sensors' names"
    return None, "the file has no header: sensors are named by their column"


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


class _Numbers:
    """Turns cells into values; says where one is wrong."""

    def __init__(self, file: str, layout: Layout) -> None:
        self._file, self._layout = file, layout
        self._empty = 0

    def read(self, rows: list[list[str]], first_row: int) -> np.ndarray:
        columns = self._layout.columns
        every = len(columns) == len(rows[0])
        made = np.empty((len(rows), len(columns)), np.float32)
        for index, cells in enumerate(rows):
            chosen = cells if every else [cells[column] for column in columns]
            try:
                made[index] = list(map(float, chosen))
            except ValueError:
                made[index] = self._slowly(chosen, first_row + index)
        wrong = np.argwhere(np.isinf(made))
        if len(wrong):
            row, column = map(int, wrong[0])
            self._refuse(rows[row][columns[column]], first_row + row, column, "a value is infinite")
        return made

    def _slowly(self, cells: Sequence[str], row: int) -> list[float]:
        values = []
        for column, cell in enumerate(cells):
            number = _number(cell)
            if number is None:
                if cell.strip().lower() not in EMPTY_CELLS:
                    self._refuse(cell, row, column, "a value is no number")
                self._empty += 1
                number = np.nan
            values.append(number)
        return values

    def _refuse(self, cell: str, row: int, column: int, what: str) -> None:
        raise DataError(
            what,
            where=f"{self._file}, row {row:,}, column '{self._layout.sensors[column]}'",
            why=f"the cell holds '{cell[:60]}'",
            hint="rows are counted from 1 without the header; a missing value is an empty cell",
        )

    def notes(self) -> list[str]:
        return [f"{self._empty:,} cells of {self._file} are empty; their values are missing"] if self._empty else []
