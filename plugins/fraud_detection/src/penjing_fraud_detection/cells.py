"""From text to numbers, a piece of a column at a time; what is wrong is named with file, row and column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.errors import DataError

_OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_TRUE, _FALSE = {"1", "1.0", "true", "True", "TRUE"}, {"0", "0.0", "false", "False", "FALSE"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a piece of a column stands."""

    file: str
    column: str
    first_row: int
    """Row of the piece's first cell, counted from 1 without the header."""

    def of(self, index: int) -> str:
        return f"{self.file}, row {self.first_row + index:,}, column '{self.column}'"


def numbers(cells: Sequence[Any], place: Place, *, finite: bool = True) -> np.ndarray:
    """float64 of shape (n,).

    Raises:
        DataError: A cell is empty, no number or, with `finite`, infinite or NaN.
    """
    try:
        values = np.asarray(cells, np.float64) if isinstance(cells, np.ndarray) else _floats(cells)
    except (ValueError, TypeError):
        index = next(i for i, cell in enumerate(cells) if not _is_number(cell))
        cell = cells[index]
        raise DataError(
            "a cell is empty" if cell in ("", None) else f"'{str(cell)[:40]}' is no number", where=place.of(index)
        ) from None
    if finite and not np.isfinite(values).all():
        index = int(np.argmin(np.isfinite(values)))
        raise DataError(f"{values[index]} is no finite number", where=place.of(index))
    return values


def labels(cells: Sequence[Any], place: Place) -> np.ndarray:
    """int8 of shape (n,): 1 for fraud, 0 for none.

    Raises:
        DataError: A cell says neither.
    """
    said = {cell: _said(cell) for cell in set(cells)}
    values = np.fromiter((said[cell] for cell in cells), np.int8, len(cells))
    if (values < 0).any():
        index = int(np.argmin(values))
        raise DataError(
            f"'{str(cells[index])[:40]}' does not say whether it was fraud",
            where=place.of(index),
            hint="write 1 for fraud, 0 for none",
        )
    return values


class Codes:
    """Numbers for names, in the order in which they are first seen."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names by their numbers."""
        return tuple(self._known)

    def of(self, cells: Sequence[Any], place: Place) -> np.ndarray:
        """int64 of shape (n,).

        Raises:
            DataError: A cell is empty.
        """
        known = self._known
        found = np.fromiter((known.setdefault(str(cell), len(known)) for cell in cells), np.int64, len(cells))
        empty = known.get("", known.get("None"))
        if empty is not None and (found == empty).any():
            raise DataError("a cell is empty", where=place.of(int(np.argmax(found == empty))))
        return found


class Clock:
    """Times as milliseconds since 1970, in the time zone that the file writes them in."""

    def __init__(self) -> None:
        self._zone: str | None = None
        self.counted = False
        """True where the file counts seconds instead of naming a date."""

    @property
    def zone(self) -> str:
        """The offset that all times have, '+02:00'; empty where they have none."""
        return self._zone or ""

    def of(self, cells: Sequence[Any], place: Place) -> np.ndarray:
        """int64 of shape (n,). Cells are ISO 8601 texts, numpy dates, or numbers of seconds.

        Raises:
            DataError: A cell is no time, or time zones are mixed.
        """
        if isinstance(cells, np.ndarray) and cells.dtype.kind == "M":
            return cells.astype("datetime64[ms]").astype(np.int64)
        if not len(cells):
            return np.zeros(0, np.int64)
        if self._zone is None:
            self.counted = _is_number(cells[0])
        if self.counted:
            seconds = numbers(cells, place)
            self._zone = ""
            return np.rint(seconds * 1_000).astype(np.int64)
        texts = [str(cell).strip() for cell in cells]
        if self._zone is None:
            self._zone = _zone(texts[0])
        # Three dashes at least, a plus or a Z are in every text with a zone.
        together = "".join(texts)
        plain = not self._zone and together.count("-") == 2 * len(texts) and not {"+", "Z"} & set(together)
        for index, text in enumerate(() if plain else texts):
            if _zone(text) != self._zone:
                raise DataError(
                    f"'{text[:40]}' is in another time zone than the rows before",
                    where=place.of(index),
                    why=f"the first row has {self._zone or 'none'}",
                    hint="write all times in one zone: local time, since night and week-end are those of the card",
                )
        if self._zone:
            texts = [text[: -len(self._zone)] for text in texts]
        try:
            times = np.array(texts, dtype="datetime64[ms]")
        except ValueError:
            index = next(i for i, text in enumerate(texts) if not _is_time(text))
            raise DataError(
                f"'{texts[index][:40]}' is no time" if texts[index] else "a cell is empty",
                where=place.of(index),
                hint="write times like 2018-07-25 13:45:00, or as seconds from some moment",
            ) from None
        if np.isnat(times).any():
            raise DataError("a cell is empty", where=place.of(int(np.argmax(np.isnat(times)))))
        return times.astype(np.int64)


def _zone(text: str) -> str:
    # A date alone ends like an offset: '2018-04-01'.
    if len(text) <= 16 and not text.endswith("Z"):
        return ""
    if text[-1] != "Z" and text[-6:-5] not in "+-" and text[-5:-4] not in "+-":
        return ""
    found = _OFFSET.search(text)
    return found.group(1) if found else ""


def _floats(cells: Sequence[Any]) -> np.ndarray:
    return np.fromiter(map(float, cells), np.float64, len(cells))


def _said(cell: Any) -> int:
    text = str(cell).strip()
    return 1 if text in _TRUE else (0 if text in _FALSE else -1)


def _is_time(text: str) -> bool:
    try:
        return not np.isnat(np.datetime64(text, "ms"))
    except ValueError:
        return False


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (ValueError, TypeError):
        return False
    return True
