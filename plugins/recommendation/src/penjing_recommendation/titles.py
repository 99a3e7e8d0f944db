"""Titles of items: movies.csv, movies.dat and u.item of MovieLens."""

from __future__ import annotations

import csv
from pathlib import Path

from penjing.errors import DataError


def read_titles(path: Path, encoding: str) -> dict[str, str]:
    """Title by item.

    Args:
        path: movies.csv (a header with movieId and title), movies.dat (parted by '::') or u.item (by '|').

    Raises:
        DataError: The file cannot be read, or a row has no title.
    """
    titles: dict[str, str] = {}
    try:
        with path.open(encoding=encoding, newline="") as stream:
            if path.suffix == ".csv":
                rows = csv.reader(stream)
                header = [name.strip().lower() for name in next(rows, [])]
                if header[:2] != ["movieid", "title"]:
                    raise DataError(
                        "the list of titles begins with other columns than movieId and title",
                        where=f"{path}, header",
                        why=", ".join(header[:6]) or "it is empty",
                    )
            else:
                rows = (line.rstrip("\r\n").split("::" if path.suffix == ".dat" else "|") for line in stream)
            for number, row in enumerate(rows, start=1):
                if not row or row == [""]:
                    continue
                if len(row) < 2 or not row[0].strip():
                    raise DataError("a row has no title", where=f"{path.name}, row {number:,}")
                titles[row[0].strip()] = row[1].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("the list of titles cannot be read", where=str(path), why=str(error)) from error
    return titles
