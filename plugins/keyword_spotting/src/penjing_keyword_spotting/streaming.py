"""From probabilities on a stream to words with times: smoothing, a threshold, a refractory time. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing_datasets.audio import fit_length
from penjing_datasets.speech_synthesis import SILENCE, UNKNOWN
from penjing_keyword_spotting.features import FrontEnd, StreamingFrontEnd

HOP_SECONDS = 0.1
"""Time between two looks at the last second."""
NOT_WORDS = (SILENCE, UNKNOWN)
LOOKS_AT_ONCE = 600
"""Looks that are predicted at once: bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How probabilities become words."""

    threshold: float = 0.8
    """A word is reported when its smoothed probability reaches it."""
    smoothed: int = 3
    """Looks that are averaged (Chen et al. 2014, "Small-footprint keyword spotting", posterior smoothing)."""
    refractory_seconds: float = 0.8
    """After a word nothing is reported for this long: the same word is still in the window."""
    rearm_share: float = 0.7
    """A word is reported again only after its probability has fallen below this share of the threshold. Without it a
    word that lasts longer than the refractory time counts twice: of 26 false accepts on a validation stream 18 were
    such."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A word on a stream."""

    word: str
    seconds: float
    """End of the window in which it was recognised."""
    probability: float


class Detector:
    """Words from looks that come in blocks of any length; the blocks make no difference to what is found."""

    def __init__(self, labels: Sequence[str], decoding: Decoding) -> None:
        self.labels = tuple(labels)
        self.decoding = decoding
        self._words = np.array([index for index, label in enumerate(labels) if label not in NOT_WORDS], int)
        self._history = np.zeros((0, len(self.labels)))
        self._quiet_until = -np.inf
        self._heard: set[int] = set()  # words that were reported and have not fallen since

    def push(self, probabilities: np.ndarray, times: np.ndarray) -> list[Detection]:
        """Take looks, return the words found in them.

        Args:
            probabilities: Shape (n, classes).
            times: Seconds of each look, ascending, shape (n,).
        """
        if not len(probabilities) or not len(self._words):
            return []
        return self._found(self._smooth(np.asarray(probabilities, np.float64)), times)

    def _smooth(self, probabilities: np.ndarray) -> np.ndarray:
        """Mean of each look and those before it; before the first look stands the first look."""
        if not len(self._history):
            self._history = np.repeat(probabilities[:1], self.decoding.smoothed - 1, axis=0)
        padded = np.concatenate([self._history, probabilities])
        self._history = padded[len(padded) - (self.decoding.smoothed - 1) :]
        return smooth(padded, self.decoding.smoothed)

    def _found(self, smoothed: np.ndarray, times: np.ndarray) -> list[Detection]:
        threshold = self.decoding.threshold
        fallen = self.decoding.rearm_share * threshold
        best = self._words[smoothed[:, self._words].argmax(axis=1)]
        values = smoothed[np.arange(len(smoothed)), best]
        found: list[Detection] = []
        looked_from = dict.fromkeys(self._heard, 0)
        for index in np.flatnonzero(values >= threshold):
            word = int(best[index])
            if word in looked_from:
                if not (smoothed[looked_from[word] : index, word] < fallen).any():
                    looked_from[word] = int(index)
                    continue
                del looked_from[word]
            if times[index] < self._quiet_until:
                continue
            self._quiet_until = times[index] + self.decoding.refractory_seconds
            looked_from[word] = int(index)
            found.append(
                Detection(
                    word=self.labels[word],
                    seconds=round(float(times[index]), 2),
                    probability=round(float(values[index]), 4),
                )
            )
        self._heard = {word for word, start in looked_from.items() if not (smoothed[start:, word] < fallen).any()}
        return found


def smooth(padded: np.ndarray, looks: int) -> np.ndarray:
    """Moving mean over `looks` rows: shape (n, classes) -> (n - looks + 1, classes).

    Each mean is summed by itself, so that it does not depend on where a block begins.
    """
    total = np.zeros((len(padded) - looks + 1, padded.shape[1]))
    for offset in range(looks):
        total += padded[offset : offset + len(total)]
    return total / looks


class Spotter:
    """Words on a stream of samples that come in pieces of any size."""

    def __init__(
        self,
        front_end: FrontEnd,
        predict: Callable[[Any], np.ndarray],
        labels: Sequence[str],
        decoding: Decoding,
    ) -> None:
        self.front_end = front_end
        self._looks = _Looks(front_end, predict)
        self._detector = Detector(labels, decoding)
        self._first = np.zeros(0, np.float32)
        """All of the recording while it is shorter than a clip, for `finish`."""
        self._started = False

    def push(self, samples: np.ndarray) -> list[Detection]:
        """Take samples, float32 of shape (n,) at the front end's rate; return the words found in them."""
        if not self._started:
            self._first = np.concatenate([self._first, samples])
            self._started = len(self._first) >= self.front_end.clip_samples
            if self._started:
                self._first = np.zeros(0, np.float32)
        return self._detector.push(*self._looks.push(samples))

    def finish(self) -> list[Detection]:
        """The recording is over: one shorter than a clip is looked at once, centred in silence."""
        if self._started or not len(self._first):
            return []
        looks = _Looks(self.front_end, self._looks.predict)
        return self._detector.push(*looks.push(fit_length(self._first, self.front_end.clip_samples)))


class _Looks:
    """Frames as they come, and a look at the last second every `HOP_SECONDS`."""

    def __init__(self, front_end: FrontEnd, predict: Callable[[Any], np.ndarray]) -> None:
        self.front_end, self.predict = front_end, predict
        self._stream = StreamingFrontEnd(front_end)
        self._frames = np.zeros((0, front_end.columns), np.float32)
        self._count = 0

    def push(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the new looks, and their times in seconds."""
        self._frames = np.concatenate([self._frames, self._stream.push(samples)])
        step = look_step(self.front_end)
        probabilities = look_at(self._frames, self.front_end, self.predict)
        count = len(probabilities)
        self._frames = self._frames[count * step :]
        times = look_times(self.front_end, self._count, count)
        self._count += count
        return probabilities, times


def look_step(front_end: FrontEnd) -> int:
    """Frames between two looks."""
    return max(1, round(HOP_SECONDS * front_end.sample_rate / front_end.hop_samples))


def look_times(front_end: FrontEnd, first: int, count: int) -> np.ndarray:
    """Seconds at which the windows of looks number `first` and following end, shape (count,)."""
    starts = np.arange(first, first + count) * look_step(front_end) * front_end.hop_samples
    return (starts + front_end.clip_samples) / front_end.sample_rate


def look_at(frames: np.ndarray, front_end: FrontEnd, predict: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Probabilities of every look that the frames hold.

    Args:
        frames: float32 of shape (n, columns), from `StreamingFrontEnd`.
        predict: Features of shape (n, frames, columns, 1) -> probabilities of shape (n, classes).

    Returns:
        Shape (looks, classes); (0, 0) where there are fewer frames than a clip has.
    """
    blocks = [np.asarray(predict(block)) for block in _windows(frames, front_end)]
    return np.concatenate(blocks) if blocks else np.zeros((0, 0))


def _windows(frames: np.ndarray, front_end: FrontEnd) -> Iterator[np.ndarray]:
    if len(frames) < front_end.frames:
        return
    views = np.lib.stride_tricks.sliding_window_view(frames, front_end.frames, axis=0)[:: look_step(front_end)]
    for start in range(0, len(views), LOOKS_AT_ONCE):
        yield np.ascontiguousarray(views[start : start + LOOKS_AT_ONCE].transpose(0, 2, 1)[..., None])


def detect(probabilities: np.ndarray, times: np.ndarray, labels: Sequence[str], decoding: Decoding) -> list[Detection]:
    """Words of a whole recording."""
    return Detector(labels, decoding).push(probabilities, times)
