"""Tables as pieces of pandas frames: text by pandas, Parquet by pyarrow, so that a large file never stands whole."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from penjing.errors import DataError, MissingExtraError
from penjing_recommendation.layouts import Layout

PIECE = 250_000
"""Rows that are held as text at once."""
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_DAMAGED = (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError, csv.Error)


def text_header(file: Path, layout: Layout) -> list[str]:
    """The columns of a text file.

    Raises:
        DataError: It is empty or damaged.
    """
    try:
        with file.open("rb") as raw, _text(raw, file, layout) as stream:
            header = [name.strip() for name in next(csv.reader(stream, delimiter=layout.separator), [])]
    except _DAMAGED as error:
        raise DataError("the file cannot be read", where=str(file), why=str(error)) from error
    if not header:
        raise DataError("the file is empty", where=str(file))
    return header


def text_pieces(file: Path, layout: Layout, wanted: list[str]) -> Iterator[tuple[Any, float]]:
    """Frames of text, with the share of the file that is read.

    Raises:
        DataError: The file is damaged, or a row has more cells than there are columns.
    """
    import pandas as pd

    size = max(1, file.stat().st_size)
    header = {"names": list(layout.names), "header": None} if layout.names else {"header": 0, "skipinitialspace": True}
    try:
        with file.open("rb") as raw, _text(raw, file, layout) as stream, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            reader = pd.read_csv(
                _Single(stream) if layout.separator == "::" else stream,
                sep="\t" if layout.separator == "::" else layout.separator,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                chunksize=PIECE,
                quoting=csv.QUOTE_NONE if layout.names else csv.QUOTE_MINIMAL,
                **header,
            )
            for piece in reader:
                piece.columns = [str(name).strip() for name in piece.columns]
                yield piece[wanted], min(1.0, raw.tell() / size)
    except pd.errors.EmptyDataError:
        return
    except (pd.errors.ParserError, pd.errors.ParserWarning, *_DAMAGED) as error:
        raise DataError(
            "the file cannot be read as a table",
            where=str(file),
            why=str(error).strip().splitlines()[0],
            hint="each row needs as many cells as the header; lines are counted with the header",
        ) from error


class _Single:
    """Columns that two colons part, parted by one tab: pandas' fast reader takes single characters only."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[str]:
        return (line.replace("::", "\t") for line in self._stream)

    def read(self, size: int = -1) -> str:
        """Whole lines of about that many characters."""
        return "".join(self._stream.readlines(size)).replace("::", "\t")


def _text(raw: Any, file: Path, layout: Layout) -> Any:
    opener = _OPENERS.get(file.suffix.lower())
    if opener is None:
        return io.TextIOWrapper(raw, encoding=layout.encoding, newline="")
    return opener(raw, "rt", encoding=layout.encoding, newline="")


def parquet_header(file: Path) -> list[str]:
    """The columns of a Parquet file.

    Raises:
        DataError: It is damaged.
        MissingExtraError: pyarrow is not installed.
    """
    return list(_parquet(file).schema_arrow.names)


def parquet_pieces(file: Path, wanted: list[str]) -> Iterator[tuple[Any, float]]:
    """Frames, with the share of the file that is read."""
    opened = _parquet(file)
    done, rows = 0, max(1, opened.metadata.num_rows)
    for batch in opened.iter_batches(batch_size=PIECE, columns=wanted):
        done += batch.num_rows
        if batch.num_rows:
            yield batch.to_pandas(), done / rows


def _parquet(file: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            "reading Parquet needs pyarrow",
            where=str(file),
            hint="pip install 'penjing-recommendation[parquet]', or give CSV",
        ) from error
    try:
        return parquet.ParquetFile(file)
    except Exception as error:
        raise DataError("the file cannot be read", where=str(file), why=str(error).splitlines()[0]) from error
