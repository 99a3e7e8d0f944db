"""Collections of labelled images: a folder a class, or a CSV; PNG, JPEG, TIFF and DICOM alike.

Patients' names and numbers do not leave this module: patients are told apart by keyed hashes, images by their place in
the sorted listing. The key is made from all that was read, so that it is the same for the same collection and nobody
without the images can try out names; it is not returned. No message names what a header says of a person.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from penjing_datasets import dicom, images
from penjing_datasets.duplicates import content_hashes
from penjing_datasets.errors import DatasetError
from penjing_datasets.image_tables import ImageRow, ImageTable, find_table, part_name, read_image_table

DICOM_SLICES = ("sex", "manufacturer")
"""Slices that the headers of DICOM files give."""
NAMED_IN_NOTES = 20
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class ImageCollection:
    """A collection, read. Arrays have one entry an image (a frame of a multi-frame file is an image)."""

    images: np.ndarray
    """float32 of shape (n, size, size, channels), from 0 to 1."""
    labels: np.ndarray
    """str of shape (n,); several labels of an image are joined by '|'."""
    patients: np.ndarray | None
    """Keyed hash of each patient, str of shape (n,). Images without a patient have one of their own. None where no
    patient is known."""
    unknown_patients: int
    """Images without a patient, where others have one."""
    parts: np.ndarray | None
    """Given part of each image; None where there is none."""
    slices: dict[str, np.ndarray]
    ids: list[str]
    """'image 17': the place in the sorted listing."""
    hashes: list[str]
    """Hash of each image's pixels before scaling."""
    sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Entry:
    number: int
    path: Path
    label: str
    row: ImageRow | None
    part: str | None


@dataclass
class _Read:
    made: list[np.ndarray] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)
    patients: list[str | None] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    facts: list[dict[str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    colour: int = 0
    assumed: Counter[str] = field(default_factory=Counter)
    multi_frame: int = 0
    dicom: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


def read_images(
    path: Path,
    *,
    size: int | Callable[[int], int],
    fit: str = "crop",
    channels: int = 0,
    max_broken_share: float = 0.05,
    progress: Progress | None = None,
) -> ImageCollection:
    """Read a collection.

    Args:
        path: A folder with a folder a class, perhaps inside train, validation (val) and test; or with a CSV, see
            `read_image_table`. Of DICOM files the PatientID counts where the CSV names no patient.
        size: Pixels of the sides to return, or a function of the middle (median) shorter side of the images.
        fit: How an image becomes square; see `images.square`.
        channels: 1 or 3; 0 takes 3 where any image has colour.
        max_broken_share: Files that cannot be read are counted, named by their place in the listing, and skipped up to
            this share of all.

    Raises:
        DatasetError: There are no images, the table is wrong, or too many files cannot be read.
    """
    if not path.is_dir():
        raise DatasetError("there is no such folder", where=str(path))
    table_path = find_table(path)
    table = read_image_table(table_path) if table_path else None
    entries, notes = _entries(path, table)
    target = size(_usual_side(entries)) if callable(size) else size
    read = _Read()
    for done, entry in enumerate(entries, start=1):
        _add(read, entry, target, fit)
        if progress and (done % 50 == 0 or done == len(entries)):
            progress("reading images", done, len(entries))
    if len(read.skipped) > max_broken_share * len(entries) or not read.made:
        raise DatasetError(
            f"{len(read.skipped):,} of {len(entries):,} files cannot be read, more than {max_broken_share:.0%}",
            where=str(path),
            why=_some(read.skipped, 5),
            hint="repair or remove them",
        )
    return _collect(read, notes, table, channels or (3 if read.colour else 1))


def _entries(folder: Path, table: ImageTable | None) -> tuple[list[_Entry], list[str]]:
    """Files with their labels, sorted by path."""
    files = sorted(
        (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")),
        key=lambda file: file.relative_to(folder).as_posix(),
    )
    notes = list(table.notes) if table else []
    entries, seen, other = [], set(), 0
    for file in files:
        if file.suffix.lower() not in images.SUFFIXES + dicom.SUFFIXES and not dicom.is_dicom(file):
            other += file.suffix.lower() != ".csv" and file.name != "DICOMDIR"
            continue
        inner = PurePosixPath(file.relative_to(folder).as_posix())
        row = table.rows.get(str(inner)) if table else None
        if table and row is None:
            row = table.rows.get(inner.name)
            if row is None:
                other += 1
                continue
            if inner.name in seen:
                raise DatasetError(
                    "a name in the table fits two files", where=str(folder), hint="give paths, not names"
                )
            seen.add(inner.name)
        elif table:
            seen.add(str(inner))
        folders = inner.parts[:-1]
        given = row.part if row else None
        if folders and part_name(folders[0]) and (len(folders) > 1 or table):
            given, folders = given or part_name(folders[0]), folders[1:]
        label = row.label if table and table.has_labels and row else (folders[0] if folders else None)
        number = len(entries) + 1
        if label is None:
            if table and table.has_labels:
                raise DatasetError(
                    f"image {number} of the table has no label", where=f"{folder}, column label", hint="fill or drop it"
                )
            other += 1
            continue
        entries.append(_Entry(number=number, path=file, label=label, row=row, part=given))
    if not entries:
        raise DatasetError(
            "there are no images",
            where=str(folder),
            why="the table names none of the files that are there" if table else f"{other:,} files lie in no class",
            hint="paths in the table count from this folder: normal/1.png"
            if table
            else "a folder a class (normal/1.png, pneumonia/1.png), or a labels.csv with path and label",
        )
    if table and len(seen) < len(table.rows):
        notes.append(f"{len(table.rows) - len(seen):,} images of the table are not there")
    if other:
        notes.append(f"{other:,} files are no images of the collection and were left out")
    return entries, notes


def _usual_side(entries: Sequence[_Entry]) -> int:
    """Middle shorter side of some of the files."""
    sides = []
    for entry in entries[:: max(1, len(entries) // 15)]:
        try:
            sides.append(min(_frames(entry)[0][0].shape[:2]))
        except DatasetError:
            continue
    return int(np.median(sides)) if sides else 28


def _frames(entry: _Entry) -> tuple[list[np.ndarray], dicom.DicomImage | None]:
    """Pixels of a file. Messages call it by its place: a path can hold a patient's name."""
    name = f"file {entry.number}{entry.path.suffix.lower()} of the sorted listing"
    content = entry.path.read_bytes()
    if content[128:132] == b"DICM" or entry.path.suffix.lower() in dicom.SUFFIXES:
        found = dicom.read_dicom(content, name)
        return found.frames, found
    return [images.read_image(content, name)], None


def _add(read: _Read, entry: _Entry, size: int, fit: str) -> None:
    try:
        frames, header = _frames(entry)
    except DatasetError as error:
        read.skipped.append(f"{error.where}: {error.what}" + (f" ({error.why})" if error.why else ""))
        return
    patient = entry.row.patient if entry.row else None
    facts = {}
    if header is not None:
        read.dicom += 1
        patient = patient or header.patient
        facts = {"sex": header.sex or "not said", "manufacturer": header.manufacturer or "not said"}
        read.assumed.update(header.assumed)
    read.multi_frame += len(frames) > 1
    for number, frame in enumerate(frames, start=1):
        read.sizes[frame.shape[:2]] += 1
        grey = images.is_grey(frame)
        read.colour += not grey
        content = content_hashes([frame])[0]
        read.digest.update(f"{content}\t{entry.label}\t{entry.part}\n".encode())
        small = images.scaled(images.square(frame, fit), size)
        read.made.append(small[..., :1] if grey else small)
        read.entries.append(entry)
        # Frames of one file belong together even where nobody says whose they are.
        read.patients.append(patient or (f"file {entry.number}" if len(frames) > 1 else None))
        read.hashes.append(content)
        read.facts.append(facts)
        read.ids.append(f"image {entry.number}" + (f" frame {number}" if len(frames) > 1 else ""))


def _collect(read: _Read, notes: list[str], table: ImageTable | None, channels: int) -> ImageCollection:
    if read.skipped:
        notes.append(f"{len(read.skipped):,} files skipped: {_some(read.skipped, NAMED_IN_NOTES)}")
    if len(read.sizes) > 1:
        notes.append(f"images of {len(read.sizes):,} sizes were brought to one")
    grey = len(read.made) - read.colour
    if channels == 3 and grey:
        notes.append(f"{grey:,} grey images among colour ones were taken as colour")
    if channels == 1 and read.colour:
        notes.append(f"{read.colour:,} colour images were taken as grey")
    if read.multi_frame:
        notes.append(f"{read.multi_frame:,} files have several frames: each frame is an image")
    notes += [f"{count:,} DICOM files: {text}" for text, count in read.assumed.items()]
    given = [entry.part or "" for entry in read.entries]
    if any(given) and not all(given):
        raise DatasetError(
            f"{given.count(''):,} of {len(given):,} images have no part",
            where="column split" if table else "folders train, val and test",
            hint="fill the column split, or leave it out" if table else "move every image into one of them, or none",
        )
    slices = {
        name: np.array([entry.row.slices[name] if entry.row else "not said" for entry in read.entries])
        for name in (table.slices if table else ())
    }
    if read.dicom == len({entry.number for entry in read.entries}):
        slices = {name: np.array([facts[name] for facts in read.facts]) for name in DICOM_SLICES} | slices
    patients, unknown = _hashed(read)
    return ImageCollection(
        images=np.stack([images.with_channels(image, channels) for image in read.made]),
        labels=np.array([entry.label for entry in read.entries]),
        patients=patients,
        unknown_patients=unknown,
        parts=np.array(given) if all(given) else None,
        slices=slices,
        ids=read.ids,
        hashes=read.hashes,
        sha256=read.digest.hexdigest(),
        notes=tuple(notes),
    )


def _hashed(read: _Read) -> tuple[np.ndarray | None, int]:
    known = [patient is not None for patient in read.patients]
    if not any(known):
        return None, len(known)
    salt = hashlib.sha256("\n".join(["patients", *sorted(read.hashes)]).encode()).digest()
    names = []
    for patient, content in zip(read.patients, read.hashes, strict=True):
        text = f"patient\t{patient}" if patient is not None else f"image\t{content}"
        names.append(hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()[:20])
    return np.array(names), len(known) - sum(known)


def _some(names: Sequence[str], count: int) -> str:
    return "; ".join(names[:count]) + (f"; and {len(names) - count:,} more" if len(names) > count else "")
