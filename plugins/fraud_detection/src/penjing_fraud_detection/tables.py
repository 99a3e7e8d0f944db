"""Read tables, CSV or Parquet, in pieces: what is kept is columns of numbers.

Memory, measured: see the package's README. Needs numpy alone for CSV; Parquet needs pyarrow. Runs on the device.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from penjing.errors import DataError, MissingExtraError

PIECE = 50_000
"""Rows that are turned into numbers at once."""
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_UNSAFE = (".pkl", ".pickle")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some rows of a table, by column."""

    first_row: int
    """Counted from 1 without the header."""
    columns: Mapping[str, Sequence[Any]]
    share_read: float
    """How much of the file is read, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file that is there, with its header read."""

    path: Path
    header: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.name

    def pieces(self, wanted: Sequence[str]) -> Iterator[Piece]:
        """The rows, some columns of them, piece by piece.

        Raises:
            DataError: The file is damaged, or a row has more or fewer cells than the header.
        """
        if _kind(self.path) == "parquet":
            yield from _parquet_pieces(self.path, wanted)
        else:
            yield from _csv_pieces(self.path, self.header, wanted)


def find_tables(path: Path) -> list[Table]:
    """The tables of a file or a folder, in the order of their names.

    Raises:
        DataError: There is none, or it has no header.
        MissingExtraError: Parquet needs pyarrow.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and _kind(file))
        pickles = [file.name for file in path.iterdir() if file.suffix in _UNSAFE]
        if not files:
            raise DataError(
                "the folder holds no table",
                where=str(path),
                why=f"{pickles[0]} is a pickle, which can run any code when it is read" if pickles else None,
                hint="put CSV (also .gz, .xz, .bz2) or Parquet files into it",
            )
        return [_table(file) for file in files]
    if not path.exists():
        raise DataError("there is no such file", where=str(path))
    if not _kind(path):
        raise DataError(
            "this is no table that can be read",
            where=str(path),
            why="a pickle can run any code when it is read" if path.suffix in _UNSAFE else None,
            hint="give CSV (also .gz, .xz, .bz2) or Parquet",
        )
    return [_table(path)]


def content_sha256(files: Sequence[Path]) -> str:
    """Hash of the content of files, in their order."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] and suffixes[-1] in (".parquet", ".pq"):
        return "parquet"
    if suffixes[-1:] and suffixes[-1] in _OPENERS:
        suffixes.pop()
    return "csv" if suffixes[-1:] and suffixes[-1] in (".csv", ".txt") else ""


def _table(path: Path) -> Table:
    if _kind(path) == "parquet":
        header = tuple(_parquet(path).schema_arrow.names)
    else:
        with _Guarded(path), path.open("rb") as raw, _text(raw, path) as stream:
            header = tuple(name.strip() for name in next(csv.reader(stream), ()))
    if not header:
        raise DataError("the file is empty", where=str(path))
    return Table(path=path, header=header)


def _text(raw: Any, path: Path) -> Any:
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    return opener(raw, "rt", encoding="utf-8-sig", newline="")


class _Guarded:
    """Says which file is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError, csv.Error)):
            raise DataError("the file cannot be read", where=str(self._path), why=str(error)) from error


def _csv_pieces(path: Path, header: Sequence[str], wanted: Sequence[str]) -> Iterator[Piece]:
    places = [header.index(name) for name in wanted]
    first_row = 1
    size = max(1, path.stat().st_size)
    with _Guarded(path), path.open("rb") as raw, _text(raw, path) as stream:
        rows = csv.reader(stream)
        next(rows)
        while piece := [row for row in islice(rows, PIECE) if row]:
            if set(map(len, piece)) != {len(header)}:
                index = next(i for i, row in enumerate(piece) if len(row) != len(header))
                raise DataError(
                    f"a row has {len(piece[index])} cells instead of {len(header)}",
                    where=f"{path.name}, row {first_row + index:,}",
                    why="the header has " + ", ".join(header[:8]) + (", ..." if len(header) > 8 else ""),
                )
            cells = list(zip(*piece, strict=True))
            yield Piece(
                first_row=first_row,
                columns={name: cells[place] for name, place in zip(wanted, places, strict=True)},
                share_read=min(1.0, raw.tell() / size),
            )
            first_row += len(piece)


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            "reading Parquet needs pyarrow",
            where=str(path),
            hint="pip install 'penjing-fraud-detection[parquet]', or give CSV",
        ) from error
    try:
        return parquet.ParquetFile(path)
    except Exception as error:
        raise DataError("the file cannot be read", where=str(path), why=str(error).splitlines()[0]) from error


def _parquet_pieces(path: Path, wanted: Sequence[str]) -> Iterator[Piece]:
    file = _parquet(path)
    first_row, total = 1, max(1, file.metadata.num_rows)
    for batch in file.iter_batches(batch_size=PIECE, columns=list(wanted)):
        # Every column back by its name: the file may hold them in another order than they are wanted.
        columns = {name: _cells(batch.column(batch.schema.get_field_index(name))) for name in wanted}
        share = (first_row + batch.num_rows - 1) / total
        yield Piece(first_row=first_row, columns=columns, share_read=share)
        first_row += batch.num_rows


def _cells(column: Any) -> Sequence[Any]:
    """A column as numpy array where it is whole and of a plain kind, else as a list with None for what is missing."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        zone = column.type.tz
        if zone is None and column.null_count == 0:
            return column.to_numpy(zero_copy_only=False)
        return ["" if value is None else value.isoformat(sep=" ") for value in column.to_pylist()]
    if column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return column.to_numpy(zero_copy_only=False)
    return column.to_pylist()
