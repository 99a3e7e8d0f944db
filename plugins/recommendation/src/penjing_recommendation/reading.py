"""Read interactions from files, in pieces; a wrong cell is named with file, row and column.

Memory: only a piece is held as text; what is kept are 16 bytes a row of numbers, and the sorting takes as much again.
The package's README has the measured figures.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from penjing.errors import DataError, MissingExtraError
from penjing_recommendation.interactions import Interactions, in_order
from penjing_recommendation.layouts import Layout, find_columns, find_layout
from penjing_recommendation.pieces import parquet_header, parquet_pieces, text_header, text_pieces
from penjing_recommendation.titles import read_titles

Progress = Callable[[str, int, int], None]
_ZONE = r"(Z|[+-]\d\d:?\d\d)$"


def read_interactions(path: Path, options: Mapping[str, Any], progress: Progress | None = None) -> Interactions:
    """Interactions of a file or folder.

    Args:
        options: Keys of `layouts.OPTIONS`, and `min_rating`.

    Raises:
        DataError: A file cannot be read, a column is missing or a cell is wrong.
        MissingExtraError: pandas, or pyarrow for Parquet, is not installed.
    """
    layout = find_layout(path)
    _pandas(layout)
    headers = [_header(layout, file) for file in layout.files]
    for file, header in zip(layout.files, headers, strict=True):
        if header != headers[0]:
            raise DataError(
                f"{file.name} has other columns than {layout.files[0].name}",
                where=f"{file}, header",
                why=", ".join(header[:8]),
                hint="give one file, or a folder of pieces of one table",
            )
    columns = find_columns(headers[0], options, layout.files[0].name)
    found = _read_rows(layout, columns, progress)
    source = path.resolve().name
    titles = read_titles(layout.titles, layout.titles_encoding) if layout.titles is not None else {}
    return in_order(
        **found,
        titles=titles,
        min_rating=float(options.get("min_rating", 0.0)),
        source=source,
        sha256=content_sha256([*layout.files, *([layout.titles] if layout.titles else [])]),
    )


def content_sha256(files: list[Path]) -> str:
    """Hash of the content of files, in their order."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _pandas(layout: Layout) -> None:
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "reading interactions needs pandas",
            where=str(layout.files[0]),
            hint="pip install 'penjing-recommendation[compress]'",
        ) from error


def _header(layout: Layout, file: Path) -> list[str]:
    if layout.names:
        return list(layout.names)
    return text_header(file, layout) if layout.separator else parquet_header(file)


def _read_rows(layout: Layout, columns: Mapping[str, str], progress: Progress | None) -> dict[str, Any]:
    users, items = Names(), Names()
    clock = Clock()
    kept: dict[str, list[np.ndarray]] = {role: [] for role in columns}
    for number, file in enumerate(layout.files):
        row = 1
        for piece, share in _pieces(layout, file, list(columns.values())):
            where = (file.name, row)
            kept["user"].append(users.of(piece[columns["user"]], *where))
            kept["item"].append(items.of(piece[columns["item"]], *where))
            kept["time"].append(clock.of(piece[columns["time"]], *where))
            if "rating" in columns:
                kept["rating"].append(ratings(piece[columns["rating"]], *where))
            row += len(piece)
            if progress is not None:
                progress("reading, thousandths", int(1000 * (number + share) / len(layout.files)), 1000)
    if not kept["user"]:
        raise DataError("the file has no rows", where=str(layout.files[0]), hint="give interactions, one a row")
    found: dict[str, Any] = {role: np.concatenate(kept.pop(role)) for role in list(kept)}
    return {"rating": None, **found, "users": users.names, "items": items.names}


def _pieces(layout: Layout, file: Path, wanted: list[str]) -> Iterator[tuple[Any, float]]:
    return text_pieces(file, layout, wanted) if layout.separator else parquet_pieces(file, wanted)


# ------------------------------------------------------------------------------------------------------- the cells


class Names:
    """Numbers for names, in the order in which they are first seen."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        return list(self._known)

    def of(self, column: Any, file: str, first_row: int) -> np.ndarray:
        """int32 of shape (n,).

        Raises:
            DataError: A cell is empty.
        """
        import pandas as pd

        codes, unique = pd.factorize(column)
        empty = codes < 0
        texts = [_text(value) for value in unique]
        if "" in texts:
            empty |= codes == texts.index("")
        if empty.any():
            raise _wrong("a cell is empty", column, int(np.argmax(empty)), file, first_row)
        known = self._known
        numbers = np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int32, len(texts))
        return numbers[codes]


def _text(value: Any) -> str:
    # Parquet may hold 17 as 17.0 where a column has gaps.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def ratings(column: Any, file: str, first_row: int) -> np.ndarray:
    """float32 of shape (n,).

    Raises:
        DataError: A cell is no number, infinite or negative.
    """
    values = _numbers(column, file, first_row)
    if (values < 0).any():
        index = int(np.argmax(values < 0))
        raise _wrong(
            f"a rating or count cannot be negative: {values[index]:g}",
            column,
            index,
            file,
            first_row,
            hint="shift or drop these rows before; a dislike is a low rating here",
        )
    return values.astype(np.float32)


class Clock:
    """Times as milliseconds since 1970: seconds as numbers, or dates by ISO 8601, all in one time zone."""

    def __init__(self) -> None:
        self._counted: bool | None = None
        self._zone: str | None = None

    def of(self, column: Any, file: str, first_row: int) -> np.ndarray:
        """int64 of shape (n,).

        Raises:
            DataError: A cell is no time, or time zones are mixed.
        """
        import pandas as pd

        if pd.api.types.is_datetime64_any_dtype(column):
            return self._dates(column, file, first_row)
        if self._counted is None:
            self._counted = bool(pd.notna(pd.to_numeric(column.iloc[:1], errors="coerce")).all())
        if self._counted:
            return np.rint(_numbers(column, file, first_row) * 1000).astype(np.int64)
        zones = column.astype(str).str.extract(_ZONE, expand=False).fillna("")
        if self._zone is None:
            self._zone = str(zones.iloc[0])
        other = (zones != self._zone).to_numpy()
        if other.any():
            raise _wrong(
                "a time is in another time zone than the rows before",
                column,
                int(np.argmax(other)),
                file,
                first_row,
                why=f"the first row has {self._zone or 'none'}",
                hint="write all times in one zone",
            )
        parsed = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        return self._dates(parsed, file, first_row, column)

    @staticmethod
    def _dates(parsed: Any, file: str, first_row: int, column: Any = None) -> np.ndarray:
        missing = parsed.isna().to_numpy()
        if missing.any():
            shown = parsed if column is None else column
            raise _wrong(
                "a cell is no time",
                shown,
                int(np.argmax(missing)),
                file,
                first_row,
                hint="write seconds since 1970, or dates like 2018-07-25 13:45:00",
            )
        if parsed.dt.tz is not None:
            parsed = parsed.dt.tz_convert("UTC").dt.tz_localize(None)
        return parsed.to_numpy().astype("datetime64[ms]").astype(np.int64)


def _numbers(column: Any, file: str, first_row: int) -> np.ndarray:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values)
    if wrong.any():
        index = int(np.argmax(wrong))
        cell = str(column.iloc[index]).strip()
        if cell in ("", "None", "<NA>", "nan", "NaN"):
            what = "a cell is empty" if cell != "NaN" else "'NaN' is no finite number"
        elif np.isinf(values[index]):
            what = f"'{cell[:40]}' is no finite number"
        else:
            what = f"'{cell[:40]}' is no number"
        raise _wrong(what, column, index, file, first_row)
    return values


def _wrong(what: str, column: Any, index: int, file: str, first_row: int, **more: str) -> DataError:
    return DataError(what, where=f"{file}, row {first_row + index:,}, column '{column.name}'", **more)
