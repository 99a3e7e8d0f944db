"""Collections of labelled clips: a folder or an archive with a folder a word, with or without a manifest.csv."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from penjing_datasets.archives import collection_files
from penjing_datasets.audio import SUFFIXES, audio_rate, fit_length, read_audio
from penjing_datasets.clip_names import BACKGROUND, Entry, entry_of, is_audio, is_clip, known_speakers
from penjing_datasets.errors import DatasetError
from penjing_datasets.manifests import MANIFEST, SPLIT_LISTS, Manifest, read_manifest, read_split_list

NAMED_IN_NOTES = 20
"""Broken files that a note names one by one; it counts the rest."""
_COMPANIONS = ("README.md", "LICENSE", MANIFEST)

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
    content_sha256: list[str]
    """Hash of each clip's file."""
    background: list[np.ndarray]
    """Long noise recordings, float32 of any length."""
    sha256: str
    """Hash of all files that were read with their classes, speakers and parts; the same however they are packed."""
    notes: tuple[str, ...]
    """What was skipped or assumed."""


@dataclass
class _Read:
    """What has been read so far."""

    kept: list[tuple[Entry, np.ndarray, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    background: list[np.ndarray] = field(default_factory=list)
    background_sha256: list[str] = field(default_factory=list)
    broken_background: list[str] = field(default_factory=list)
    split_lists: dict[str, str] = field(default_factory=dict)
    other: int = 0


def clip_classes(path: Path) -> dict[str, str]:
    """Class of each clip by its path, from names and manifest alone, without decoding anything.

    Raises:
        DatasetError: There is no such place, or the archive or manifest is wrong.
    """
    if not path.exists():
        raise DatasetError("there is no such file or folder", where=str(path))
    manifest = read_manifest(path)
    if manifest:
        return {name: row.label for name, row in manifest.rows.items()}
    names = (name for name, _ in collection_files(path, lambda _: False))
    entries = (entry_of(name, None) for name in names if is_clip(name))
    return {entry.path: entry.label for entry in entries if entry}


def clip_rates(path: Path) -> dict[str, int]:
    """Sample rate in Hz of each clip by its path, from the files' headers; clips that are no audio are left out.

    Raises:
        DatasetError: There is no such place, or the archive or manifest is wrong.
    """
    if not path.exists():
        raise DatasetError("there is no such file or folder", where=str(path))
    manifest = read_manifest(path)
    rates = {}
    for name, content in collection_files(path, is_clip, lambda *_: None):
        if is_clip(name) and (entry := entry_of(name, manifest)) and (rate := audio_rate(content)):
            rates[entry.path] = rate
    return rates


def read_clips(
    path: Path,
    *,
    sample_rate: int,
    length: int,
    max_broken_share: float = 0.05,
    only: Collection[str] | None = None,
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
        max_broken_share: Broken files, and files that the manifest names and that are not there, are named and skipped
            up to this share of all.
        only: Paths of the clips to read, as `clip_classes` gives them; None reads all.
        progress: Called with (what, done, total).

    Raises:
        DatasetError: There are no clips, the manifest is wrong, or too many files are broken.
    """
    if not path.exists():
        raise DatasetError("there is no such file or folder", where=str(path))
    manifest = read_manifest(path)
    total = len(only) if only is not None else len(manifest.rows) if manifest else 0
    read = _Read()
    seen: set[str] = set()

    def unreadable(name: str, why: str) -> None:
        if not is_audio(name):
            raise DatasetError("a file cannot be read", where=name, why=why)
        (read.broken_background if BACKGROUND in name.split("/") else read.broken).append(f"{name}: {why}")

    for name, content in collection_files(
        path, lambda name: is_audio(name) or name.endswith(tuple(SPLIT_LISTS)), unreadable
    ):
        if name.rsplit("/", 1)[-1] in SPLIT_LISTS:
            read.split_lists |= read_split_list(name, content)
        elif BACKGROUND in name.split("/") and is_audio(name):
            _add_background(read, name, content, sample_rate)
        elif not is_audio(name):
            read.other += name.rsplit("/", 1)[-1] not in _COMPANIONS
        elif (entry := entry_of(name, manifest)) is None:
            read.other += 1
        else:
            seen.add(entry.path)
            if only is None or entry.path in only:
                _add_clip(read, entry, name, content, sample_rate, length)
                if progress and len(read.kept) % 100 == 0:
                    progress("reading clips", len(read.kept), max(total, len(read.kept)))
    if manifest and seen:
        read.broken += [f"{name}: named in {MANIFEST} and not there" for name in manifest.rows if name not in seen]
    _check_broken(path, read, max_broken_share, manifest)
    if progress:
        progress("reading clips", len(read.kept), len(read.kept))
    return _collect(read)


def _add_background(read: _Read, name: str, content: bytes, sample_rate: int) -> None:
    try:
        read.background.append(read_audio(content, sample_rate, name))
        read.background_sha256.append(hashlib.sha256(content).hexdigest())
    except DatasetError as error:
        read.broken_background.append(_named(name, error))


def _add_clip(read: _Read, entry: Entry, name: str, content: bytes, sample_rate: int, length: int) -> None:
    try:
        samples = fit_length(read_audio(content, sample_rate, name), length)
        read.kept.append((entry, samples, hashlib.sha256(content).hexdigest()))
    except DatasetError as error:
        read.broken.append(_named(name, error))


def _named(name: str, error: DatasetError) -> str:
    return f"{name}: {error.what}" + (f" ({error.why})" if error.why else "")


def _check_broken(path: Path, read: _Read, max_share: float, manifest: Manifest | None) -> None:
    kept, broken = len(read.kept), read.broken
    if kept == 0 and not broken:
        raise DatasetError(
            "there are no clips",
            where=str(path),
            why="manifest.csv names none of the files that are there"
            if manifest
            else "clips lie in a folder a word, as " + ", ".join(SUFFIXES),
            hint="for example yes/ann_1.wav, no/ann_1.wav",
        )
    if broken and len(broken) > max_share * (kept + len(broken)):
        raise DatasetError(
            f"{len(broken):,} of {kept + len(broken):,} files are broken, more than {max_share:.0%}",
            where=str(path),
            why=_first(broken, 5),
            hint="repair or remove them",
        )


def _first(names: Sequence[str], count: int) -> str:
    return "; ".join(names[:count]) + (f"; and {len(names) - count:,} more" if len(names) > count else "")


def _collect(read: _Read) -> Clips:
    order = sorted(range(len(read.kept)), key=lambda index: read.kept[index][0].path)
    entries = [read.kept[index][0] for index in order]
    contents = [read.kept[index][2] for index in order]
    ids = [entry.path for entry in entries]
    if len(set(ids)) != len(ids):
        duplicate = next(path for path, after in itertools.pairwise(ids) if path == after)
        raise DatasetError("two clips have the same path", where=duplicate)
    notes = []
    if read.broken:
        notes.append(f"{len(read.broken):,} broken files skipped: {_first(read.broken, NAMED_IN_NOTES)}")
    if read.broken_background:
        notes.append(
            f"{len(read.broken_background):,} broken background recordings skipped: "
            + _first(read.broken_background, NAMED_IN_NOTES)
        )
    if read.other:
        notes.append(f"{read.other:,} files are no clips of the collection and were left out")
    speakers = known_speakers(entries, notes)
    if read.split_lists:
        given = [entry.part or read.split_lists.get(entry.path, "train") for entry in entries]
    else:
        given = [entry.part or "" for entry in entries]
    return Clips(
        waveforms=np.stack([read.kept[index][1] for index in order]),
        classes=np.array([entry.label for entry in entries]),
        speakers=speakers,
        parts=np.array(given) if all(given) else None,
        ids=ids,
        content_sha256=contents,
        background=read.background,
        sha256=_hash_of(entries, contents, given, sorted(read.background_sha256)),
        notes=tuple(notes),
    )


def _hash_of(entries: Sequence[Entry], contents: Sequence[str], parts: Sequence[str], background: list[str]) -> str:
    digest = hashlib.sha256()
    for entry, content, part in zip(entries, contents, parts, strict=True):
        digest.update(f"{entry.path}\t{entry.label}\t{entry.speaker or ''}\t{part}\t{content}\n".encode())
    digest.update("\n".join(background).encode())
    return digest.hexdigest()
