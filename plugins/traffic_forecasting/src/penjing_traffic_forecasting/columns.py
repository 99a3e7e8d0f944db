"""What the columns of a table are: the time, sensors, or one sensor among other things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penjing.errors import DataError, did_you_mean
from penjing_traffic_forecasting.clock import read_time

TIME_NAMES = frozenset({"time", "date", "datetime", "date_time", "timestamp", "date time", "index", "ts"})
"""Names of a column of times, in lower case."""
VALUE_NAMES = ("traffic_volume", "volume", "flow", "speed", "vehicles", "count", "counts", "occupancy", "value")
"""Names of the value's column in a table of one sensor."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things stand in a row."""

    time: int | None
    """The column of times; None where there is none."""
    time_name: str
    columns: tuple[int, ...]
    """The columns of values."""
    sensors: tuple[str, ...]
    """Their names."""
    notes: tuple[str, ...] = ()


def layout_of(
    file: str, header: Sequence[str] | None, body: Sequence[Sequence[str]], options: Mapping[str, Any]
) -> Layout:
    """Find the columns.

    Args:
        header: None where the file has none; columns are then named by their number.
        body: Some rows of cells.
        options: `time_column`, `value_column`; '' where the header is to tell.

    Raises:
        DataError: A named column does not exist or a name occurs twice.
    """
    width = len(body[0])
    names = [name.strip() for name in header] if header is not None else [f"column {n + 1}" for n in range(width)]
    if len(names) != width:
        raise DataError(f"the header has {len(names):,} cells, the first row {width:,}", where=file)
    time = _named(file, names, options.get("time_column", ""))
    value = _named(file, names, options.get("value_column", ""))
    notes = []
    if time is None:
        time = next((n for n in range(width) if names[n].lower() in TIME_NAMES and _is_time(body, n)), None)
    if time is None:
        time = next((n for n in range(width) if _is_time(body, n)), None)
    rest = [n for n in range(width) if n != time]
    if rest and rest[0] == 0 and names[0].lower() in ("", "index", "unnamed: 0") and _is_counted(body):
        rest = rest[1:]
        notes.append(f"the first column of {file} counts the rows and was left out")
    if value is None:
        value = _only_value(names, rest, body)
    if value is not None:
        left = [names[n] for n in rest if n != value]
        if left:
            notes.append(f"'{names[value]}' is forecast; left out: {', '.join(left)}")
        rest = [value]
    sensors = [names[n] or f"column {n + 1}" for n in rest]
    if not sensors:
        raise DataError("there is no column of values", where=file)
    double = next((name for name in sensors if sensors.count(name) > 1), None)
    if double is not None:
        raise DataError(f"two columns are called '{double}'", where=f"{file}, header")
    return Layout(
        time=time,
        time_name="" if time is None else names[time],
        columns=tuple(rest),
        sensors=tuple(sensors),
        notes=tuple(notes),
    )


def _named(file: str, names: Sequence[str], wanted: str) -> int | None:
    if not wanted:
        return None
    if wanted not in names:
        raise DataError(
            f"there is no column '{wanted}'", where=f"{file}, header", hint=did_you_mean(wanted, list(names))
        )
    return names.index(wanted)


def _is_time(body: Sequence[Sequence[str]], column: int) -> bool:
    """Whether the first cells that hold something are times: later ones that are none are then an error."""
    cells = [row[column] for row in body[:5] if column < len(row) and row[column].strip()]
    return bool(cells) and read_time(cells[0]) is not None


def _is_counted(body: Sequence[Sequence[str]]) -> bool:
    cells = [row[0].strip() for row in body]
    return cells in ([str(n) for n in range(len(cells))], [str(n + 1) for n in range(len(cells))])


def _only_value(names: Sequence[str], rest: Sequence[int], body: Sequence[Sequence[str]]) -> int | None:
    """The column of a single sensor, where the others are of other kinds: weather, holidays."""
    lower = {names[n].lower(): n for n in rest}
    found = next((lower[name] for name in VALUE_NAMES if name in lower), None)
    return found if found is not None and len(rest) > 1 else None
