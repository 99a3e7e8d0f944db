"""Collections of labelled clips: a folder or an archive with a folder a word, with or without a manifest.csv."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from penjing_datasets.audio import SUFFIXES, fit_length, read_audio
from penjing_datasets.errors import DatasetError
from penjing_datasets.splits import PARTS

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
BACKGROUND = "_background_noise_"
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_TOTAL_BYTES = 16 * 1024**3

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Clips:
    """A collection, read."""

    waveforms: np.ndarray
    """float32 of shape (n, samples)."""
    classes: np.ndarray
    """Class of each clip, str of shape (n,)."""
    speakers: np.ndarray | None
    """Speaker of each clip, str of shape (n,); None where file names and manifest say nothing."""
    parts: np.ndarray | None
    """Given split of each clip; None where there is none."""
    ids: list[str]
    """Path of each clip inside the collection."""
    background: list[np.ndarray]
    """Long noise recordings, float32 of any length."""
    sha256: str
    """Hash of all clips' bytes and names."""
    notes: tuple[str, ...]
    """What was skipped or assumed."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    path: str
    label: str
    speaker: str | None
    part: str | None


def read_clips(
    path: Path,
    *,
    sample_rate: int,
    length: int,
    max_broken_share: float = 0.05,
    progress: Progress | None = None,
) -> Clips:
    """Read a collection.

    Args:
        path: A folder with a folder a class, an archive of one (.tar, .tar.gz, .tar.xz), or a folder that holds such an
            archive and perhaps a manifest.csv with the columns path, class, speaker, split and a folder
            `_background_noise_`. The text files validation_list.txt and testing_list.txt of Speech Commands are taken
            as the split.
        sample_rate: Hz of the waveforms.
        length: Samples of each clip; see `fit_length`.
        max_broken_share: Broken files are named and skipped up to this share of all.
        progress: Called with (what, done, total).

    Raises:
        DatasetError: There are no clips, the manifest is wrong, or too many files are broken.
    """
    if not path.exists():
        raise DatasetError("there is no such file or folder", where=str(path))
    manifest = _read_manifest(path)
    background: list[np.ndarray] = []
    lists: dict[str, str] = {}
    digest = hashlib.sha256()
    kept: list[tuple[_Entry, np.ndarray]] = []
    broken: list[str] = []
    other = 0
    total = len(manifest) if manifest else 0
    for name, content in sorted_files(path):
        inner = PurePosixPath(name)
        if inner.name in ("validation_list.txt", "testing_list.txt"):
            part = "validation" if inner.name.startswith("validation") else "test"
            lists |= {line.strip(): part for line in content.decode("utf-8").splitlines() if line.strip()}
            continue
        if inner.suffix.lower() not in SUFFIXES:
            other += inner.name not in ("README.md", "LICENSE", "manifest.csv", ".DS_Store")
            continue
        if BACKGROUND in inner.parts:
            background.append(read_audio(content, sample_rate, name))
            continue
        entry = _entry(name, manifest)
        if entry is None:
            other += 1
            continue
        try:
            samples = fit_length(read_audio(content, sample_rate, name), length)
        except DatasetError as error:
            broken.append(f"{name}: {error.what}" + (f" ({error.why})" if error.why else ""))
            continue
        digest.update(name.encode())
        digest.update(hashlib.sha256(content).digest())
        kept.append((entry, samples))
        if progress and len(kept) % 100 == 0:
            progress("reading clips", len(kept), max(total, len(kept)))
    _check_broken(path, len(kept), broken, max_broken_share)
    if progress:
        progress("reading clips", len(kept), len(kept))
    return _collect(kept, broken, other, background, lists, digest.hexdigest())


def sorted_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name inside the collection, content) of every file of a folder or archive, in order of name for a folder and in
    the archive's order for one; links, devices and names that lead outside are refused.

    Raises:
        DatasetError: The archive is damaged or unsafe, or a file is too large.
    """
    if path.is_file():
        yield from _archive_files(path)
        return
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        if file.is_symlink() and not file.resolve().is_relative_to(path.resolve()):
            raise DatasetError("a link leads out of the collection", where=name)
        if name.endswith(ARCHIVES):
            yield from _archive_files(file)
        elif file.suffix.lower() in (*SUFFIXES, ".txt"):
            yield name, file.read_bytes()


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    read = 0
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                inner = PurePosixPath(member.name)
                if inner.is_absolute() or ".." in inner.parts:
                    raise DatasetError(
                        "the archive holds a name that leads outside",
                        where=f"{path.name}, member '{member.name}'",
                        hint="do not use this archive",
                    )
                if not member.isfile():
                    continue
                read += member.size
                if member.size > MAX_FILE_BYTES or read > MAX_TOTAL_BYTES:
                    raise DatasetError("the archive is too large to read safely", where=f"{path.name}, '{member.name}'")
                file = archive.extractfile(member)
                if file is not None:
                    parts = [part for part in inner.parts if part != "."]
                    yield "/".join(parts), file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DatasetError(
            "the archive cannot be read",
            where=str(path),
            why=str(error),
            hint="it may be half-downloaded: fetch it again",
        ) from error


def _read_manifest(path: Path) -> dict[str, dict[str, str]]:
    """Rows by path; empty where there is no manifest.csv."""
    file = path / "manifest.csv" if path.is_dir() else path.parent / "manifest.csv"
    if not file.is_file():
        return {}
    rows = {}
    try:
        with io.StringIO(file.read_text(encoding="utf-8")) as text:
            reader = csv.DictReader(text)
            missing = {"path", "class"} - set(reader.fieldnames or ())
            if missing:
                raise DatasetError(
                    f"manifest.csv lacks the column {', '.join(sorted(missing))}",
                    where=str(file),
                    hint="its columns are path, class, and perhaps speaker, split",
                )
            for number, row in enumerate(reader, start=2):
                part = (row.get("split") or "").strip()
                if part and part not in PARTS:
                    raise DatasetError(
                        f"manifest.csv has a split '{part}'",
                        where=f"{file}, row {number}",
                        hint="it is one of train, validation, test",
                    )
                rows[row["path"].strip()] = row
    except UnicodeDecodeError as error:
        raise DatasetError("manifest.csv is no UTF-8 text", where=str(file), why=str(error)) from error
    return rows


def _entry(name: str, manifest: dict[str, dict[str, str]]) -> _Entry | None:
    """What manifest or file name say of a clip; None for a clip that a manifest leaves out."""
    parts = name.split("/")
    if manifest:
        # The manifest may count from the archive's root or from a folder inside it.
        key = next((k for k in ("/".join(parts[i:]) for i in range(len(parts))) if k in manifest), None)
        if key is None:
            return None
        row = manifest[key]
        return _Entry(
            path=key,
            label=row["class"].strip(),
            speaker=(row.get("speaker") or "").strip() or None,
            part=(row.get("split") or "").strip() or None,
        )
    if len(parts) < 2:
        return None
    return _Entry(path="/".join(parts[-2:]), label=parts[-2], speaker=_speaker(parts[-1]), part=None)


def _speaker(file_name: str) -> str | None:
    """Speech Commands names a clip <speaker>_nohash_<n>.wav; others often <speaker>_<n>.wav."""
    stem = file_name.rsplit(".", 1)[0]
    if "_nohash_" in stem:
        return stem.split("_nohash_")[0]
    match = re.match(r"^(.+?)_\d+$", stem)
    return match[1] if match else None


def _check_broken(path: Path, kept: int, broken: Sequence[str], max_share: float) -> None:
    if kept == 0 and not broken:
        raise DatasetError(
            "there are no clips",
            where=str(path),
            why="clips lie in a folder a word, as " + ", ".join(SUFFIXES),
            hint="for example yes/ann_1.wav, no/ann_1.wav",
        )
    if broken and len(broken) > max_share * (kept + len(broken)):
        shown = "; ".join(broken[:5])
        raise DatasetError(
            f"{len(broken):,} of {kept + len(broken):,} files are broken, more than {max_share:.0%}",
            where=str(path),
            why=shown + (" …" if len(broken) > 5 else ""),
            hint="repair or remove them",
        )


def _collect(
    kept: Sequence[tuple[_Entry, np.ndarray]],
    broken: Sequence[str],
    other: int,
    background: list[np.ndarray],
    lists: dict[str, str],
    sha256: str,
) -> Clips:
    order = sorted(range(len(kept)), key=lambda index: kept[index][0].path)
    entries = [kept[index][0] for index in order]
    ids = [entry.path for entry in entries]
    if len(set(ids)) != len(ids):
        duplicate = next(path for path, after in itertools.pairwise(ids) if path == after)
        raise DatasetError("two clips have the same path", where=duplicate)
    speakers = [entry.speaker for entry in entries]
    notes = []
    if broken:
        notes.append(
            f"{len(broken):,} broken files skipped: " + "; ".join(broken[:5]) + (" …" if len(broken) > 5 else "")
        )
    if other:
        notes.append(f"{other:,} files are no clips of the collection and were left out")
    known = sum(speaker is not None for speaker in speakers)
    if known < len(speakers):
        notes.append(f"{len(speakers) - known:,} of {len(speakers):,} clips name no speaker")
    given = [entry.part or (lists.get(entry.path, "train") if lists else None) for entry in entries]
    return Clips(
        waveforms=np.stack([kept[index][1] for index in order]),
        classes=np.array([entry.label for entry in entries]),
        speakers=np.array([s or f"unnamed:{i}" for s, i in zip(speakers, ids, strict=True)]) if known else None,
        parts=np.array(given) if all(given) else None,
        ids=ids,
        background=background,
        sha256=sha256,
        notes=tuple(notes),
    )
