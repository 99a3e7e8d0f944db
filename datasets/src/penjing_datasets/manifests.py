"""What stands beside clips: manifest.csv, and the split lists of Speech Commands."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from penjing_datasets.errors import DatasetError
from penjing_datasets.splits import PARTS

MANIFEST = "manifest.csv"
SPLIT_LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """What a manifest says of one clip."""

    label: str
    speaker: str | None
    part: str | None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest.csv, read."""

    rows: dict[str, ManifestRow]
    """By path inside the collection, '/' between folders."""
    names_speakers: bool
    """Whether it has a column for them at all."""


def read_manifest(collection: Path) -> Manifest | None:
    """The manifest.csv in a folder or beside an archive; None where there is none.

    Raises:
        DatasetError: It is no UTF-8 text, lacks a column, names a clip twice or a split that is none.
    """
    file = (collection if collection.is_dir() else collection.parent) / MANIFEST
    if not file.is_file():
        return None
    try:
        # Spreadsheets put a byte order mark before the first column's name.
        text = file.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise DatasetError("manifest.csv is no UTF-8 text", where=str(file), why=str(error)) from error
    reader = csv.DictReader(io.StringIO(text))
    missing = {"path", "class"} - set(reader.fieldnames or ())
    if missing:
        raise DatasetError(
            f"manifest.csv lacks the column {', '.join(sorted(missing))}",
            where=str(file),
            hint="its columns are path, class, and perhaps speaker, split, with commas between",
        )
    rows: dict[str, ManifestRow] = {}
    try:
        for row in reader:
            where = f"{file}, row {reader.line_num}"
            path, label = _value(row, "path"), _value(row, "class")
            if not path or not label:
                raise DatasetError("manifest.csv has a row without path or class", where=where)
            path = path.replace("\\", "/").removeprefix("./")
            part = _value(row, "split")
            if part and part not in PARTS:
                raise DatasetError(
                    f"manifest.csv has a split '{part}'", where=where, hint="it is one of train, validation, test"
                )
            if path in rows:
                raise DatasetError(f"manifest.csv names '{path}' twice", where=where)
            rows[path] = ManifestRow(label=label, speaker=_value(row, "speaker"), part=part)
    except csv.Error as error:
        raise DatasetError(
            "manifest.csv is no table", where=f"{file}, row {reader.line_num}", why=str(error)
        ) from error
    return Manifest(rows=rows, names_speakers="speaker" in (reader.fieldnames or ()))


def read_split_list(name: str, content: bytes) -> dict[str, str]:
    """Parts by path of a validation_list.txt or testing_list.txt.

    Raises:
        DatasetError: It is no UTF-8 text.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError("a split list is no UTF-8 text", where=name, why=str(error)) from error
    part = SPLIT_LISTS[name.rsplit("/", 1)[-1]]
    return {line.strip(): part for line in lines if line.strip()}


def _value(row: dict[str, str], column: str) -> str | None:
    return (row.get(column) or "").strip() or None
