"""What a CSV beside images says of each: label, patient, part, and any column to slice by."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penjing_datasets.errors import DatasetError
from penjing_datasets.splits import PARTS

MOST_SLICES = 30
"""A column with more values than this is no slice: it might tell people apart."""
_PARTS = {**{part: part for part in PARTS}, "val": "validation", "valid": "validation", "dev": "validation",
          "training": "train", "testing": "test"}  # fmt: skip
SEPARATOR = "|"
"""Between the labels of an image that has several."""


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """What a table says of one image."""

    label: str | None
    patient: str | None
    part: str | None
    slices: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """A table, read."""

    rows: Mapping[str, ImageRow]
    """By path inside the collection, '/' between folders."""
    has_labels: bool
    has_patients: bool
    slices: tuple[str, ...]
    notes: tuple[str, ...]


def part_name(text: str) -> str | None:
    """Training, validation or test by its usual names; None where it is none."""
    return _PARTS.get(text.strip().lower())


def find_table(folder: Path) -> Path | None:
    """The CSV at the root of a collection.

    Raises:
        DatasetError: There are several, and none is called labels.csv.
    """
    found = sorted(folder.glob("*.csv"))
    named = [path for path in found if path.name == "labels.csv"]
    if named or len(found) <= 1:
        return (named or found or [None])[0]
    raise DatasetError(
        f"there are {len(found)} CSV files",
        where=str(folder),
        why=", ".join(path.name for path in found[:5]),
        hint="call the one that names the images labels.csv",
    )


def read_image_table(path: Path) -> ImageTable:
    """Read a table with the column path and any of label, patient, split; every other column is a slice.

    Raises:
        DatasetError: It is no UTF-8 table, lacks the column path, names an image twice or a part that is none.
    """
    try:
        # Spreadsheets put a byte order mark before the first column's name.
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise DatasetError("the table is no UTF-8 text", where=str(path), why=str(error)) from error
    header = text.split("\n", 1)[0]
    # Spreadsheets of countries that write 0,5 separate by semicolons.
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in header and "," not in header else ",")
    columns = {name: name.strip().lower() for name in reader.fieldnames or () if name}
    names = list(columns.values())
    if "path" not in names:
        raise DatasetError(
            "the table lacks the column path",
            where=f"{path}, header",
            why="it has " + (", ".join(names) or "no columns"),
            hint="its columns are path, and any of label, patient, split; others become slices",
        )
    if len(set(names)) < len(names):
        raise DatasetError("the table has a column twice", where=f"{path}, header", why=", ".join(names))
    extra = [name for name in names if name not in ("path", "label", "patient", "split")]
    rows: dict[str, ImageRow] = {}
    values: dict[str, set[str]] = {name: set() for name in extra}
    try:
        for row in reader:
            where = f"{path}, row {reader.line_num}"
            cell = {columns[name]: (value or "").strip() for name, value in row.items() if name in columns
                    and not isinstance(value, list)}  # fmt: skip
            if None in row:
                raise DatasetError("the row has more cells than the header", where=where)
            key = cell["path"].replace("\\", "/").removeprefix("./")
            if not key:
                raise DatasetError("the row has no path", where=f"{where}, column path")
            if key in rows:
                raise DatasetError("the table names an image twice", where=f"{where}, column path")
            part = cell.get("split") or None
            if part and part_name(part) is None:
                raise DatasetError(
                    f"there is no part '{part}'", where=f"{where}, column split", hint="train, validation or test"
                )
            for name in extra:
                values[name].add(cell[name])
            rows[key] = ImageRow(
                label=cell.get("label") or None,
                patient=cell.get("patient") or None,
                part=part_name(part) if part else None,
                slices={name: cell[name] or "not said" for name in extra},
            )
    except csv.Error as error:
        raise DatasetError("this is no table", where=f"{path}, row {reader.line_num}", why=str(error)) from error
    if not rows:
        raise DatasetError("the table has no rows", where=str(path))
    kept = tuple(name for name in extra if len(values[name]) <= MOST_SLICES)
    notes = tuple(
        f"the column {name} is no slice: of its {len(values[name]):,} values some might tell people apart"
        for name in extra
        if name not in kept
    )
    return ImageTable(rows=rows, has_labels="label" in names, has_patients="patient" in names, slices=kept, notes=notes)
