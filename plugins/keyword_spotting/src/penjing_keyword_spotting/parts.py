"""Which clip stands in which part of the split, what the same recording twice means, and how little few clips tell."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from penjing.errors import DataError
from penjing_datasets.clip_names import BACKGROUND
from penjing_datasets.clips import Clips
from penjing_datasets.speech_synthesis import SILENCE, UNKNOWN
from penjing_datasets.splits import PARTS, SHARES, refuse_overlap, split_by_class, split_by_group

FEWEST_SPEAKERS = len(PARTS)
FEW_CLIPS = 50
"""With fewer clips of a word than this, more of them are kept for validation and test: a tenth would be one or two."""
SHARES_OF_FEW: Mapping[str, float] = {"train": 0.6, "validation": 0.2, "test": 0.2}
UNCERTAIN_CLIPS = 100
LARGEST_RATIO = 3.0
"""With so many times more clips of one class than of another, the collection is called unbalanced."""


def divide(
    clips: Clips, classes: np.ndarray, seed: int, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Part and speaker of each clip, and which clips stay.

    Args:
        classes: Class of each clip in the task, str of shape (n,).
        notes: What was decided is added.

    Returns:
        Part, str of shape (n,); speaker, str of shape (n,), or None where they are not known or too few to be kept
        apart; and bool of shape (n,), False for a clip that is left out because another part has the same recording.

    Raises:
        DatasetError: A split that the collection gives shares speakers.
    """
    speakers = clips.speakers
    content = np.array([hashlib.sha256(np.round(w * 32768).astype(np.int32)).hexdigest() for w in clips.waveforms])
    shares = SHARES_OF_FEW if min(np.unique(classes, return_counts=True)[1]) < FEW_CLIPS else SHARES
    if clips.parts is not None:
        if speakers is not None:
            refuse_overlap(clips.parts, speakers, "speaker")
        notes.append(
            "the split is the collection's own" + ("" if speakers is None else ", checked to be speaker-disjoint")
        )
        parts = clips.parts
    elif speakers is not None and len(set(speakers)) >= FEWEST_SPEAKERS:
        parts = split_by_group(speakers, seed=seed, shares=shares)
        notes.append(f"split by speaker: {len(set(speakers)):,} speakers")
    elif speakers is not None:
        parts, speakers = split_by_class(classes, clips.ids, seed=seed, shares=shares), None
        notes.append(
            "there are fewer than three speakers: they stand on both sides of the split, and the figures hold for "
            "these voices only"
        )
    else:
        parts = split_by_class(classes, clips.ids, seed=seed, shares=shares)
        notes.append(
            "speakers are not known (file names like ann_1.wav, or a manifest.csv, would tell): the same voice may "
            "be on both sides of the split, so the figures are too good for new speakers"
        )
    return parts, speakers, _without_copies(clips, content, classes, parts, notes)


def _without_copies(
    clips: Clips, content: np.ndarray, classes: np.ndarray, parts: np.ndarray, notes: list[str]
) -> np.ndarray:
    """Clips whose samples no later part has as well. A split that the collection gives is left as it is."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(content):
        rows.setdefault(str(name), []).append(row)
    twice = [found for found in rows.values() if len(found) > 1]
    two_words = [found for found in twice if len(set(classes[found])) > 1]
    two_parts = [found for found in twice if len(set(parts[found])) > 1]
    if two_words:
        notes.append(
            f"{len(two_words):,} recordings occur under two words, sample for sample: {_named(clips, two_words)}"
        )
    keep = np.ones(len(content), bool)
    if not two_parts:
        return keep
    if clips.parts is None:
        for found in two_parts:
            last = max(PARTS.index(str(parts[row])) for row in found)
            keep[[row for row in found if PARTS.index(str(parts[row])) < last]] = False
    notes.append(
        f"{len(two_parts):,} recordings occur, sample for sample, in two parts of the split: {_named(clips, two_parts)}"
        + (
            f"; {int(np.sum(~keep)):,} clips were left out, so that the test part's are in no other"
            if clips.parts is None
            else "; the collection's own split was left as it is, and its figures are too good by that much"
        )
    )
    return keep


def _named(clips: Clips, groups: list[list[int]], most: int = 3) -> str:
    shown = "; ".join(" = ".join(clips.ids[row] for row in found[:3]) for found in groups[:most])
    return shown + (f"; and {len(groups) - most:,} more" if len(groups) > most else "")


def check_classes(classes: np.ndarray, parts: np.ndarray, path: Path, notes: list[str]) -> None:
    """Refuse what cannot be trained on, and say how little can be told from few clips.

    Raises:
        DataError: There is one class only, or a class has no clips to train on.
    """
    names, counts = np.unique(classes, return_counts=True)
    if len(names) < 2:
        raise DataError(
            f"the collection has one class only, '{names[0]}'",
            where=str(path),
            hint="add clips of other words, or of silence",
        )
    for part in PARTS:
        missing = sorted(set(names) - set(classes[parts == part]))
        if missing and part == "train":
            raise DataError(
                f"the training part has no clips of {', '.join(missing)}",
                where=str(path),
                hint="collect more speakers for these words, or try another --seed",
            )
        if missing:
            notes.append(f"the {part} part has no clips of {', '.join(missing)}")
    few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < UNCERTAIN_CLIPS]
    if few:
        tested = int(np.sum(parts == "test"))
        each = int(min(np.sum((parts == "test") & (classes == name)) for name in names))
        notes.append(
            "few clips of " + ", ".join(few) + ": the figures of these words are uncertain. The test part has "
            f"{tested:,} clips, of one class only {each}: if nine of ten are right, the 95 % interval is "
            f"{_interval(tested)} over all and {_interval(each)} for that class"
        )
    if counts.max() > LARGEST_RATIO * counts.min():
        notes.append(
            f"the classes are unbalanced, {counts.min():,} clips of {names[counts.argmin()]} to {counts.max():,} of "
            f"{names[counts.argmax()]}: accuracy says little about the rare ones, see balanced_accuracy and recall"
        )


def cannot_tell(classes: np.ndarray, has_background: bool) -> list[str]:
    """What a model cannot tell that has never heard silence, or other words."""
    notes = []
    if SILENCE not in classes:
        notes.append(
            "there is no class _silence_: the model names a word for every noise, which costs false accepts on a "
            "stream. "
            + (
                f"No recording in {BACKGROUND} is five clips long or more"
                if has_background
                else f"Recordings of your rooms in a folder {BACKGROUND} would give one"
            )
        )
    if UNKNOWN not in classes:
        notes.append(
            "there is no class _unknown_: the model names one of its words for every other word that is said. A "
            "folder _unknown_ with any other words gives one, or choose some of the words with the option words"
        )
    return notes


def _interval(count: int) -> str:
    """Wilson's interval when nine of ten are right."""
    if not count:
        return "unknown"
    found = binomtest(round(0.9 * count), count).proportion_ci(method="wilson")
    return f"{found.low:.0%} to {found.high:.0%}"
