"""False accepts an hour and false rejects on a continuous stream made of a part's own clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.streaming import NOT_WORDS, Detection, detect, posteriors

TOLERANCE_SECONDS = 0.75
"""A detection counts for a word when it lies at most this long after the word's clip."""
THRESHOLDS = np.round(np.linspace(0.3, 0.99, 70), 3)
MOST_FALSE_ACCEPTS_AN_HOUR = 10.0
"""The threshold is the lowest that keeps to this on the validation stream."""
WORD_SHARE = 0.25
"""Share of the stream's clips that are words; the rest are unknown words, silence and background."""

MOST_WORDS = 240
"""Words on a stream at most: about half an hour, so that measuring takes seconds. The result states hours and words."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A continuous recording whose words are known."""

    samples: np.ndarray
    sample_rate: int
    words: tuple[tuple[float, str], ...]
    """(start in seconds, word) of each word."""

    @property
    def hours(self) -> float:
        return len(self.samples) / self.sample_rate / 3600


def build_stream(split: Split, splits: Splits, seed: int = 0) -> Stream:
    """A part's words in random order, at most `MOST_WORDS`, with pauses of 0.2 to 1.5 s of background between.

    Words are mixed among three times as many clips that are none, which are drawn with repetition.
    """
    front_end: FrontEnd = splits.extra["front_end"]
    rate = front_end.sample_rate
    generator = np.random.default_rng([seed, 23])
    is_word = np.array([splits.labels[number] not in NOT_WORDS for number in split.y])
    words = generator.permutation(np.flatnonzero(is_word))[:MOST_WORDS]
    others = np.flatnonzero(~is_word)
    wanted = round(len(words) * (1 - WORD_SHARE) / WORD_SHARE)
    filling = generator.choice(others, wanted) if len(others) else np.full(wanted, -1)
    order = generator.permutation(np.concatenate([words, filling]))
    background = [b for b in splits.extra["background"] if len(b) > max(2 * rate, front_end.clip_samples)]
    pieces: list[np.ndarray] = []
    placed: list[tuple[float, str]] = []
    position = 0
    for row in order:
        pause = _pause(background, round(generator.uniform(0.2, 1.5) * rate), generator)
        clip = split.raw[row] if row >= 0 else _pause(background, front_end.clip_samples, generator)
        position += len(pause)
        if row >= 0 and is_word[row]:
            placed.append((position / rate, splits.labels[split.y[row]]))
        position += len(clip)
        pieces += [pause, clip]
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return Stream(samples=samples.astype(np.float32), sample_rate=rate, words=tuple(placed))


def _pause(background: Sequence[np.ndarray], length: int, generator: np.random.Generator) -> np.ndarray:
    if not background:
        return (1e-3 * generator.standard_normal(length)).astype(np.float32)
    recording = background[int(generator.integers(len(background)))]
    start = int(generator.integers(len(recording) - length))
    return recording[start : start + length] * np.float32(10 ** generator.uniform(-2, -0.7))


def count_errors(stream: Stream, found: Sequence[Detection], clip_seconds: float) -> tuple[int, int]:
    """(false accepts, false rejects). A word may be claimed by one detection; every other detection is false."""
    claimed = [False] * len(stream.words)
    false_accepts = 0
    for detection in found:
        match = next(
            (
                index
                for index, (start, word) in enumerate(stream.words)
                if not claimed[index]
                and word == detection.word
                and start < detection.seconds <= start + clip_seconds + TOLERANCE_SECONDS
            ),
            None,
        )
        if match is None:
            false_accepts += 1
        else:
            claimed[match] = True
    return false_accepts, claimed.count(False)


def choose_threshold(stream: Stream, smoothed: np.ndarray, times: np.ndarray, splits: Splits) -> float:
    """The lowest threshold that keeps to the false accepts allowed; the highest there is when none does."""
    front_end: FrontEnd = splits.extra["front_end"]
    clip_seconds = front_end.clip_samples / front_end.sample_rate
    for threshold in THRESHOLDS:
        accepts, _ = count_errors(stream, detect(smoothed, times, splits.labels, threshold), clip_seconds)
        if accepts <= MOST_FALSE_ACCEPTS_AN_HOUR * stream.hours:
            return float(threshold)
    return float(THRESHOLDS[-1])


def stream_errors(predict: Callable[[Any], np.ndarray], split: Split, splits: Splits) -> dict[str, float]:
    """Errors on the part's stream, at a threshold that is chosen on the validation part's stream.

    Returns:
        false_accepts_per_hour, false_reject_share, threshold, hours, words.
    """
    front_end: FrontEnd = splits.extra["front_end"]
    clip_seconds = front_end.clip_samples / front_end.sample_rate
    validation = build_stream(splits.validation, splits, seed=1)
    threshold = choose_threshold(validation, *posteriors(validation.samples, front_end, predict), splits)
    stream = build_stream(split, splits, seed=2)
    found = detect(*posteriors(stream.samples, front_end, predict), splits.labels, threshold)
    accepts, rejects = count_errors(stream, found, clip_seconds)
    return {
        "false_accepts_per_hour": accepts / stream.hours if stream.hours else float("nan"),
        "false_reject_share": rejects / len(stream.words) if stream.words else float("nan"),
        "threshold": threshold,
        "hours": stream.hours,
        "words": float(len(stream.words)),
    }
