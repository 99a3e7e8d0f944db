"""What the names of clips say: the class, the speaker, and whether a file is a clip at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from penjing_datasets.audio import SUFFIXES
from penjing_datasets.manifests import Manifest

BACKGROUND = "_background_noise_"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of a clip before it is read."""

    path: str
    """Inside the collection."""
    label: str
    speaker: str | None
    guessed: bool
    """The speaker is only what stands before a number in the file's name."""
    part: str | None
    """Of the split, where a manifest gives one."""


def is_audio(name: str) -> bool:
    """Whether a file's name is that of a recording."""
    return name.lower().endswith(SUFFIXES)


def is_clip(name: str) -> bool:
    """Whether a file's name is that of a recording, and of none of the background."""
    return is_audio(name) and BACKGROUND not in name.split("/")


def entry_of(name: str, manifest: Manifest | None) -> Entry | None:
    """What manifest or file name say of a clip; None for a clip that a manifest leaves out."""
    parts = name.split("/")
    speaker, guessed = _speaker(parts[-1])
    if manifest:
        # The manifest may count from the archive's root or from a folder inside it.
        key = next((k for k in ("/".join(parts[i:]) for i in range(len(parts))) if k in manifest.rows), None)
        if key is None:
            return None
        row = manifest.rows[key]
        if manifest.names_speakers:
            speaker, guessed = row.speaker, False
        return Entry(path=key, label=row.label, speaker=speaker, guessed=guessed, part=row.part)
    if len(parts) < 2:
        return None
    return Entry(path="/".join(parts[-2:]), label=parts[-2], speaker=speaker, guessed=guessed, part=None)


def _speaker(file_name: str) -> tuple[str | None, bool]:
    """Speech Commands names a clip <speaker>_nohash_<n>.wav, and one of another word in `_unknown_`
    <word>_<speaker>_nohash_<n>.wav; others often <speaker>_<n>.wav, which is a guess."""
    stem = file_name.rsplit(".", 1)[0]
    if "_nohash_" in stem:
        before = stem.split("_nohash_")[0]
        hashed = re.fullmatch(r".+_([0-9a-f]{8})", before)
        return (hashed[1] if hashed else before), False
    match = re.match(r"^(.+?)_\d+$", stem)
    return (match[1], True) if match else (None, False)


def known_speakers(entries: Sequence[Entry], notes: list[str]) -> np.ndarray | None:
    """Speaker of each clip. A guessed name that never says a second word is the word's name or the microphone's."""
    guesses: dict[str, set[str]] = {}
    for entry in entries:
        if entry.guessed and entry.speaker:
            guesses.setdefault(entry.speaker, set()).add(entry.label)
    believed = len(guesses) >= 3 and any(len(labels) > 1 for labels in guesses.values())
    names = [entry.speaker if believed or not entry.guessed else None for entry in entries]
    if guesses and not believed:
        notes.append(f"file names like {entries[0].path} were not taken for names of speakers")
    known = sum(name is not None for name in names)
    if known < len(names):
        notes.append(f"{len(names) - known:,} of {len(names):,} clips name no speaker")
    if not known:
        return None
    return np.array([name or f"unnamed:{entry.path}" for name, entry in zip(names, entries, strict=True)])
