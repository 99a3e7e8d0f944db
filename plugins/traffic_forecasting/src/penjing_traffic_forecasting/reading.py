"""From files to a series of sensors: whatever the format, with every repair counted and stated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from penjing.errors import DataError
from penjing_traffic_forecasting.adjacency import THRESHOLD, is_distances, read_adjacency
from penjing_traffic_forecasting.clock import on_grid, read_time
from penjing_traffic_forecasting.csv_rows import read_csv, read_header
from penjing_traffic_forecasting.known_sets import (
    DEFAULT_STEP,
    KnownSet,
    known_set,
    pems_quantity,
    step_from_rhythm,
)
from penjing_traffic_forecasting.other_rows import read_hdf5, read_npz, read_parquet
from penjing_traffic_forecasting.repairs import repair
from penjing_traffic_forecasting.series import DAY_SECONDS, Rows, SensorSeries, content_sha256

OPTIONS: dict[str, Any] = {
    "time_column": "",
    "value_column": "",
    "feature": 0,
    "start": "",
    "step_minutes": 0.0,
    "zero_is_missing": "auto",
    "largest_value": 0.0,
    "adjacency": "",
    "adjacency_threshold": THRESHOLD,
    "quantity": "",
}
"""Options of the `[data]` table that say how files are read; '' and 0 leave it to the data."""
RANGES = {"feature": (0, 1000), "step_minutes": (0, 1440), "largest_value": (0, 1e12), "adjacency_threshold": (0, 1)}

_COMPRESSED = (".gz", ".xz", ".bz2")
_READERS: dict[str, Callable[[Path, Mapping[str, Any]], Rows]] = {
    ".csv": read_csv,
    ".txt": read_csv,
    ".parquet": read_parquet,
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".hdf": read_hdf5,
}
_ZERO_IS_MISSING = frozenset({".h5", ".hdf5", ".hdf", ".npz"})
"""Formats of METR-LA, PEMS-BAY and PeMS, in which a detector that said nothing reads zero."""
_UNSAFE = (".pkl", ".pickle", ".npy")


def read_series(path: Path, options: Mapping[str, Any]) -> SensorSeries:
    """Read a file, or a folder with a table and, beside it, who is whose neighbour.

    Args:
        options: Every key of `OPTIONS`.

    Raises:
        DataError: Nothing can be read, or what is read is wrong; `where` names file, row and column.
    """
    table, graph, notes = _files(path, options)
    rows = _READERS[_kind(table)](table, options)
    notes += rows.notes
    known = known_set(*rows.values.shape)
    rows, step = _timed(rows, known, options, notes)
    zero = options["zero_is_missing"]
    if zero not in ("auto", "yes", "no"):
        raise DataError(f"zero_is_missing cannot be '{zero}'", where="[data]", hint='it is "auto", "yes" or "no"')
    if rows.times is not None:
        values, start, step, said = on_grid(rows, step_seconds=step)
        dated: int | None = start
        notes += said
    else:
        values, dated = rows.values, None
    missing = zero == "yes" or (zero == "auto" and _kind(table) in _ZERO_IS_MISSING)
    values, largest, said = repair(values, zero_is_missing=missing, largest=options["largest_value"])
    notes += said
    dead = [name for name, alive in zip(rows.sensors, _alive(values), strict=True) if not alive]
    if len(dead) == len(rows.sensors):
        raise DataError("no sensor has any value", where=table.name)
    if dead:
        notes.append(f"{len(dead):,} sensors have no value at all: {', '.join(dead[:5])}")
    adjacency = None
    if graph is not None:
        adjacency, said_of_graph = read_adjacency(graph, rows.sensors, threshold=options["adjacency_threshold"])
        notes.append(said_of_graph)
    quantity = options["quantity"] or (pems_quantity(options["feature"], known) if known else _quantity(table, rows))
    return SensorSeries(
        values=values,
        sensors=rows.sensors,
        step_seconds=step,
        start=dated,
        quantity=quantity,
        zero_is_missing=missing,
        largest=largest if np.isfinite(largest) else 0.0,
        adjacency=adjacency,
        source=f"{path.resolve().name} ({known.name}'s shape)" if known else path.resolve().name,
        sha256=content_sha256([table, *([graph] if graph else [])]),
        notes=tuple(notes),
    )


def _timed(rows: Rows, known: KnownSet | None, options: Mapping[str, Any], notes: list[str]) -> tuple[Rows, int]:
    """Rows with their times, where they are known at all, and the step in seconds (0: the times tell it)."""
    step = round(options["step_minutes"] * 60)
    if rows.times is not None:
        return rows, step
    if step and DAY_SECONDS % step:
        raise DataError(f"a step of {step / 60:g} min does not divide a day", where="[data], step_minutes")
    start = options["start"]
    if not step and known is not None:
        step = known.step_seconds
        notes.append(f"the table has no times and {known.name}'s shape: a step is {step // 60} min")
    if not step:
        step, clear = step_from_rhythm(rows.values)
        if step:
            notes.append(
                f"the table has no times: its daily rhythm says that a step is {step // 60} min "
                f"(correlation after a day over that after half a day: {clear:+.2f}); step_minutes says otherwise"
            )
        else:
            step = DEFAULT_STEP
            notes.append("the table has no times, and no rhythm is clear: a step is taken for 5 min (step_minutes)")
    if start:
        read = read_time(start)
        if read is None:
            raise DataError(f"'{start}' is no time", where="[data], start", hint='for example "2012-03-01 00:00"')
        first = read[0]
    elif known is not None and step == known.step_seconds:
        read = read_time(known.start)
        assert read is not None
        first = read[0]
        notes.append(f"the first row is taken for {known.start} 00:00, as in {known.name}; start says otherwise")
    else:
        notes.append("the date is not known: the first row is taken for midnight, and week-ends are not told apart")
        return rows, step
    times = first + np.arange(len(rows.values), dtype=np.int64) * step
    return replace(rows, times=times), step


def _quantity(table: Path, rows: Rows) -> str:
    text = f"{table.name} {' '.join(rows.sensors) if len(rows.sensors) == 1 else ''}".lower()
    return next((word for word in ("speed", "volume", "flow", "occupancy") if word in text), "value")


def _alive(values: Any) -> np.ndarray:
    alive = np.zeros(values.shape[1], bool)
    for first in range(0, len(values), 16_384):
        alive |= np.isfinite(values[first : first + 16_384]).any(axis=0)
    return alive


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED and len(suffixes) > 1:
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


def _files(path: Path, options: Mapping[str, Any]) -> tuple[Path, Path | None, list[str]]:
    """The table, the graph or None, and what was left alone."""
    notes: list[str] = []
    given = Path(options["adjacency"]) if options["adjacency"] else None
    if given is not None and not given.is_absolute():
        given = (path if path.is_dir() else path.parent) / given
    if given is not None and not given.is_file():
        raise DataError("there is no such file", where=f"[data], adjacency: {given}")
    if path.is_file():
        if _kind(path) not in _READERS:
            raise _unreadable(path)
        beside = path.with_suffix(".csv")
        # PeMS archives come with their distances under the same name.
        if given is None and _kind(path) == ".npz" and beside.is_file() and is_distances(read_header(beside)):
            given = beside
        return path, given, notes
    if not path.is_dir():
        raise DataError("there is no such file or folder", where=str(path))
    tables, graphs = [], []
    for file in sorted(path.iterdir()):
        if not file.is_file() or file.name.startswith("."):
            continue
        if _kind(file) in _UNSAFE:
            notes.append(f"{file.name} was left alone: pickled objects can run any code")
        elif _kind(file) in _READERS:
            (graphs if _is_graph(file) else tables).append(file)
    if given is not None:
        tables = [file for file in tables if file != given]
        graphs = [given]
    if not tables:
        raise DataError("there is no table of sensors in the folder", where=str(path), hint="CSV, Parquet, .h5 or .npz")
    if len(tables) > 1:
        raise DataError(
            f"the folder holds {len(tables)} tables: {', '.join(file.name for file in tables[:4])}",
            where=str(path),
            hint="name one of them; the file beside it that holds the graph goes into [data] adjacency = '...'",
        )
    if len(graphs) > 1:
        matrices = [file for file in graphs if "adj" in file.name.lower()]
        kept = (matrices or graphs)[0]
        notes.append(f"of {', '.join(file.name for file in graphs)}, {kept.name} says who is whose neighbour")
        graphs = [kept]
    return tables[0], graphs[0] if graphs else None, notes


def _is_graph(file: Path) -> bool:
    if _kind(file) not in (".csv", ".txt"):
        return False
    name = file.name.lower()
    return "adj" in name or "dist" in name or is_distances(read_header(file))


def _unreadable(path: Path) -> DataError:
    if _kind(path) in _UNSAFE:
        return DataError(
            "pickled objects are never opened", where=str(path), why="unpickling runs code that the file brings"
        )
    return DataError(f"'{path.suffix}' is no format that is read", where=str(path), hint="CSV, Parquet, .h5 or .npz")
