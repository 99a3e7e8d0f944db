"""From tables to transactions, or to rows of a flat table, with every repair counted and stated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penjing.errors import DataError
from penjing_fraud_detection.cells import Clock, Codes, Place, labels, numbers
from penjing_fraud_detection.columns import HISTORY, find_columns, is_engineered, is_history
from penjing_fraud_detection.features import LARGEST_AMOUNT, Transactions
from penjing_fraud_detection.tables import Table, content_sha256, find_tables

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class History:
    """Transactions that were read."""

    transactions: Transactions
    notes: tuple[str, ...]
    sha256: str
    columns: Mapping[str, str]
    """Column of the file by role."""
    customers: tuple[str, ...] = ()
    """What the file calls each card, by its number. It goes nowhere but into an online state, hashed."""
    terminals: tuple[str, ...] = ()
    counted: bool
    """True where times are seconds from some moment: week-end and night are then not known."""


@dataclass(frozen=True, kw_only=True)
class FlatTable:
    """Rows that stand for themselves, each a labelled example."""

    names: tuple[str, ...]
    x: np.ndarray
    """float64 of shape (n, columns)."""
    fraud: np.ndarray | None
    """int8 of shape (n,)."""
    time: np.ndarray | None
    """int64, milliseconds; None where the table has no time."""
    notes: tuple[str, ...]
    sha256: str


def read_table(
    path: Path, options: Mapping[str, Any], *, progress: Progress | None = None, needs_labels: bool = True
) -> History | FlatTable:
    """Read a file or a folder of files with the same columns.

    A table with time, card, terminal and amount is a history of transactions; any other is flat. In a folder, tables of
    finished features that lie beside transactions are left alone.

    Args:
        options: Of `[data]`; see `penjing_fraud_detection.columns.OPTIONS`, and `ignore_columns`.
        needs_labels: Whether a table that does not say what was fraud is refused.

    Raises:
        DataError: A file cannot be read, a cell is wrong, or a column is missing.
    """
    tables = find_tables(path)
    kinds = [is_history(find_columns(t.header, {}, t.name)) and not is_engineered(t.header) for t in tables]
    notes: list[str] = []
    if len(tables) > 1 and any(kinds):
        left = [table.name for table, kind in zip(tables, kinds, strict=True) if not kind]
        notes += [f"{name} is no table of transactions and was left alone" for name in left]
        tables = [table for table, kind in zip(tables, kinds, strict=True) if kind]
    other = next((table for table in tables if table.header != tables[0].header), None)
    if other is not None:
        raise DataError(
            f"{other.name} has other columns than {tables[0].name}",
            where=str(path),
            hint="give one of them, or a folder of files with the same columns",
        )
    columns = find_columns(tables[0].header, options, tables[0].name)
    if needs_labels and "fraud" not in columns:
        raise DataError(
            "no column says what was fraud",
            where=f"{tables[0].name}, header",
            hint="name it in the recipe's [data]: fraud_column = '...'",
        )
    if is_history(columns):
        return _history(tables, columns, notes, progress)
    return _flat(tables, columns, options, notes, progress)


def _history(
    tables: Sequence[Table], columns: Mapping[str, str], notes: list[str], progress: Progress | None
) -> History:
    roles = [role for role in (*HISTORY, "fraud", "scenario") if role in columns]
    wanted = list(dict.fromkeys(columns[role] for role in roles))
    clock, customers, terminals = Clock(), Codes(), Codes()
    pieces: dict[str, list[np.ndarray]] = {role: [] for role in roles}
    done = 0
    shown = _Shown(progress, len(tables))
    for table in tables:
        for piece in table.pieces(wanted):
            for role in roles:
                name = columns[role]
                cells, place = piece.columns[name], Place(file=table.name, column=name, first_row=piece.first_row)
                pieces[role].append(_converted(role, cells, place, clock, customers, terminals))
            done += len(pieces["time"][-1])
            shown.read(piece.share_read)
        shown.next_file()
    if not done:
        raise DataError("the file has a header and no rows", where=tables[0].name)
    found = {role: np.concatenate(pieces.pop(role)) for role in roles}
    order = np.arange(1, done + 1)
    late = int(np.count_nonzero(np.diff(found["time"]) < 0))
    if late:
        sorting = np.argsort(found["time"], kind="stable")
        found = {role: values[sorting] for role, values in found.items()}
        order = order[sorting]
        notes.append(f"{late:,} rows are earlier than the row before them; all were sorted by time")
    notes += _remarks(found)
    if clock.counted:
        notes.append("times are seconds from some moment, taken as the beginning of a Thursday: night and week-end")
        notes[-1] += " are right only if it was one"
    if clock.zone:
        notes.append(f"all times are at {clock.zone}: night and week-end are those of this zone")
    return History(
        transactions=Transactions(**found, row=order),
        notes=tuple(notes),
        sha256=content_sha256([table.path for table in tables]),
        columns=columns,
        customers=customers.names,
        terminals=terminals.names,
        counted=clock.counted,
    )


class _Shown:
    """Progress in tenths of all files."""

    def __init__(self, progress: Progress | None, files: int) -> None:
        self._progress, self._files = progress, files
        self._done, self._said = 0, -1

    def read(self, share: float) -> None:
        tenths = int(10 * (self._done + share) / self._files)
        if self._progress is not None and tenths > self._said:
            self._said = tenths
            self._progress("reading, tenths of the data", tenths, 10)

    def next_file(self) -> None:
        self._done += 1


def _converted(
    role: str, cells: Sequence[Any], place: Place, clock: Clock, customers: Codes, terminals: Codes
) -> np.ndarray:
    if role == "time":
        return clock.of(cells, place)
    if role in ("customer", "terminal"):
        return (customers if role == "customer" else terminals).of(cells, place).astype(np.int32)
    if role == "fraud":
        return labels(cells, place)
    values = numbers(cells, place)
    if role == "scenario":
        return values.astype(np.int8)
    beyond = np.abs(values) > LARGEST_AMOUNT
    if beyond.any():
        raise DataError(
            f"an amount is beyond {LARGEST_AMOUNT:g}",
            where=place.of(int(np.argmax(beyond))),
            hint="give amounts in a larger unit",
        )
    return values


def _remarks(found: Mapping[str, np.ndarray]) -> list[str]:
    """What is odd and was kept."""
    remarks = []
    negative = int(np.count_nonzero(found["amount"] < 0))
    if negative:
        remarks.append(f"{negative:,} amounts are negative (refunds?) and were kept as they are")
    same = np.flatnonzero(np.diff(found["time"]) == 0)
    twice = [
        row
        for row in same
        if all(found[role][row] == found[role][row + 1] for role in ("customer", "terminal", "amount"))
    ]
    if twice:
        remarks.append(
            f"{len(twice):,} transactions stand twice (same moment, card, terminal and amount) and were kept"
        )
    return remarks


def _flat(
    tables: Sequence[Table],
    columns: Mapping[str, str],
    options: Mapping[str, Any],
    notes: list[str],
    progress: Progress | None,
) -> FlatTable:
    header, where = tables[0].header, tables[0].name
    ignored = tuple(options.get("ignore_columns", ()))
    missing = [name for name in ignored if name not in header]
    if missing:
        raise DataError(f"there is no column '{missing[0]}' to ignore", where=f"{where}, header")
    apart = {columns[role] for role in ("time", "fraud", "scenario", "id") if role in columns}
    names = tuple(name for name in header if name not in apart and name not in ignored)
    if not names:
        raise DataError("the table has no columns besides time and label", where=f"{where}, header")
    clock = Clock()
    x: list[np.ndarray] = []
    fraud: list[np.ndarray] = []
    time: list[np.ndarray] = []
    wanted = [*names, *(columns[role] for role in ("time", "fraud") if role in columns)]
    shown = _Shown(progress, len(tables))
    for table in tables:
        for piece in table.pieces(wanted):
            places = {name: Place(file=table.name, column=name, first_row=piece.first_row) for name in wanted}
            x.append(np.stack([_feature(piece.columns[name], places[name]) for name in names], axis=1))
            if "fraud" in columns:
                fraud.append(labels(piece.columns[columns["fraud"]], places[columns["fraud"]]))
            if "time" in columns:
                time.append(clock.of(piece.columns[columns["time"]], places[columns["time"]]))
            shown.read(piece.share_read)
        shown.next_file()
    if not x:
        raise DataError("the file has a header and no rows", where=where)
    return FlatTable(
        names=names,
        x=np.concatenate(x),
        fraud=np.concatenate(fraud) if fraud else None,
        time=np.concatenate(time) if time else None,
        notes=(
            *notes,
            f"a flat table of {len(names)} columns: each row stands for itself, there are no cards and no history",
        ),
        sha256=content_sha256([table.path for table in tables]),
    )


def _feature(cells: Sequence[Any], place: Place) -> np.ndarray:
    try:
        return numbers(cells, place)
    except DataError as error:
        if not error.what.endswith("is no number"):
            raise
        raise DataError(
            error.what,
            where=error.where,
            hint=f"leave the column out: ignore_columns = ['{place.column}'] in the recipe's [data]",
        ) from error
