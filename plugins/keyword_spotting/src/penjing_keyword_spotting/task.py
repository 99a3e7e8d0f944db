"""The task made of a collection: which words, how many others for `_unknown_`, where `_silence_` comes from.

The field's task on Speech Commands has ten words; all others are `_unknown_`, about as many clips as of one word, and
`_silence_` is cut from the background recordings (Warden 2018, section 7).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from penjing.errors import DataError
from penjing_datasets.speech_synthesis import SILENCE, UNKNOWN
from penjing_datasets.splits import PARTS

SPEECH_COMMANDS_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
BACKGROUND_SHARES: Mapping[str, float] = {"train": 0.6, "validation": 0.2, "test": 0.2}
_WHOLE_SET = 20
"""With more classes than this, and the ten words among them, a collection is the whole of Speech Commands."""


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Clips that hold no word."""

    waveforms: np.ndarray
    """float32 of shape (n, samples)."""
    parts: np.ndarray
    """Part of each, str of shape (n,)."""
    ids: list[str]


def task_words(classes: Mapping[str, str], asked: Sequence[str], where: str) -> tuple[str, ...]:
    """Words of the task; empty when every class of the collection is one of its own.

    Args:
        classes: Class of each clip by its path.
        asked: The option `words`.
        where: The collection, for messages.

    Raises:
        DataError: A word that is asked for has no clips.
    """
    present = set(classes.values())
    missing = [word for word in asked if word not in present]
    if missing and present:
        raise DataError(
            f"the collection has no clips of {', '.join(missing)}",
            where=where,
            hint="its classes are " + ", ".join(sorted(present)),
        )
    if asked:
        return tuple(asked)
    whole = len(present) > _WHOLE_SET and present >= set(SPEECH_COMMANDS_WORDS)
    return SPEECH_COMMANDS_WORDS if whole else ()


def task_clips(classes: Mapping[str, str], words: Sequence[str], unknown_ratio: float, seed: int) -> set[str]:
    """Paths of the clips that the task needs: all of the words and of silence, some of the others.

    Args:
        unknown_ratio: Clips of other words, as a multiple of the mean number of clips of a word; 0 takes all.

    Returns:
        Paths; which of the others is decided by a hash of seed and path, not by any order.
    """
    wanted = {path for path, label in classes.items() if label in words or label == SILENCE}
    others = sorted(
        (path for path in classes if path not in wanted),
        key=lambda path: hashlib.sha256(f"{seed}/{path}".encode()).hexdigest(),
    )
    spoken = sum(label in words for label in classes.values())
    count = round(unknown_ratio * spoken / len(words)) if unknown_ratio else len(others)
    return wanted | set(others[:count])


def as_task(classes: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """Classes of the task: the words, `_silence_`, and `_unknown_` for everything else."""
    return np.where(np.isin(classes, [*words, SILENCE]), classes, UNKNOWN)


def divide_background(background: Sequence[np.ndarray], length: int) -> dict[str, list[np.ndarray]]:
    """Noise recordings by part: each part has its own stretch of time of every recording.

    So what is measured in noise is measured in noise that training has not heard. A recording that cannot give every
    part more than a clip's length belongs to training.

    Args:
        background: Recordings, float32 of any length.
        length: Samples of a clip.
    """
    edges = np.cumsum([0.0, *(BACKGROUND_SHARES[part] for part in PARTS)])
    divided: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for recording in background:
        if len(recording) * min(BACKGROUND_SHARES.values()) <= length:
            divided["train"].append(recording)
            continue
        for part, low, high in zip(PARTS, edges[:-1], edges[1:], strict=True):
            divided[part].append(recording[round(low * len(recording)) : round(high * len(recording))])
    return divided


def cut_silence(
    background: Mapping[str, Sequence[np.ndarray]], *, length: int, counts: Mapping[str, int], seed: int
) -> Silence | None:
    """Clips of background at random levels, -40 to 0 dB of the recording's own.

    Args:
        background: Recordings by part, as `divide_background` gives them.
        length: Samples of a clip.
        counts: How many clips each part gets.

    Returns:
        None where some part has no recording that is long enough.
    """
    usable = {part: [stretch for stretch in background[part] if len(stretch) > length] for part in PARTS}
    if not all(usable.values()):
        return None
    generator = np.random.default_rng([seed, 41])
    clips, parts, ids = [], [], []
    for part in PARTS:
        for number in range(counts[part]):
            stretch = usable[part][int(generator.integers(len(usable[part])))]
            start = int(generator.integers(len(stretch) - length + 1))
            clips.append(stretch[start : start + length] * np.float32(10 ** generator.uniform(-2, 0)))
            parts.append(part)
            ids.append(f"{SILENCE}/{part}_{number:05d}")
    return Silence(
        waveforms=np.stack(clips) if clips else np.zeros((0, length), np.float32), parts=np.array(parts), ids=ids
    )
