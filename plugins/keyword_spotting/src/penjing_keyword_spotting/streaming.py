"""From probabilities on a stream to words with times: smoothing, a threshold, a refractory time. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing_datasets.audio import fit_length
from penjing_datasets.speech_synthesis import SILENCE, UNKNOWN
from penjing_keyword_spotting.features import FrontEnd, StreamingFrontEnd

HOP_SECONDS = 0.1
"""Time between two looks at the last second."""
SMOOTHED = 3
"""Looks that are averaged (Chen et al. 2014, "Small-footprint keyword spotting", posterior smoothing)."""
REFRACTORY_SECONDS = 0.8
"""After a word nothing is reported for this long: the same word is still in the window."""
REARM_SHARE = 0.7
"""A word is reported again only after its probability has fallen below this share of the threshold. Without it a word
that lasts longer than the refractory time counts twice: of 26 false accepts on the validation stream 18 were such."""
NOT_WORDS = (SILENCE, UNKNOWN)
_PIECE_SECONDS = 60
"""Sound that is turned into frames at once, and _LOOKS that are predicted at once: a recording of hours fits in the
memory of a small device."""
_LOOKS = 600


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A word on a stream."""

    word: str
    seconds: float
    """End of the window in which it was recognised."""
    probability: float


def posteriors(
    samples: np.ndarray, front_end: FrontEnd, predict: Callable[[Any], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities at each look.

    Args:
        samples: float32 of shape (n,) at the front end's sample rate; a shorter one than a clip is centred in silence.
        predict: Features of shape (n, frames, columns, 1) -> probabilities of shape (n, classes).

    Returns:
        Smoothed probabilities of shape (looks, classes), and the time in seconds of each look.
    """
    if len(samples) < front_end.clip_samples:
        samples = fit_length(samples, front_end.clip_samples)
    stream = StreamingFrontEnd(front_end)
    piece = _PIECE_SECONDS * front_end.sample_rate
    frames = np.concatenate([stream.push(samples[start : start + piece]) for start in range(0, len(samples), piece)])
    step = max(1, round(HOP_SECONDS * front_end.sample_rate / front_end.hop_samples))
    windows = np.lib.stride_tricks.sliding_window_view(frames, front_end.frames, axis=0)[::step]
    raw = np.concatenate(
        [
            np.asarray(predict(np.ascontiguousarray(windows[start : start + _LOOKS].transpose(0, 2, 1)[..., None])))
            for start in range(0, len(windows), _LOOKS)
        ]
    )
    kernel = np.ones(SMOOTHED) / SMOOTHED
    smoothed = np.stack(
        [np.convolve(np.pad(column, (SMOOTHED - 1, 0), mode="edge"), kernel, "valid") for column in raw.T],
        axis=1,
    )
    ends = np.arange(len(raw)) * step * front_end.hop_samples + front_end.clip_samples
    return smoothed, ends / front_end.sample_rate


def detect(smoothed: np.ndarray, times: np.ndarray, labels: Sequence[str], threshold: float) -> list[Detection]:
    """Words whose smoothed probability reaches the threshold, each once: see `REFRACTORY_SECONDS`, `REARM_SHARE`."""
    words = [index for index, label in enumerate(labels) if label not in NOT_WORDS]
    if not len(smoothed) or not words:
        return []
    best = np.array(words)[smoothed[:, words].argmax(axis=1)]
    values = smoothed[np.arange(len(smoothed)), best]
    found: list[Detection] = []
    quiet_until = -np.inf
    looked_from: dict[int, int] = {}  # words that were reported and have not fallen since, as far as looked
    for index in np.flatnonzero(values >= threshold):
        word = int(best[index])
        if word in looked_from:
            if not (smoothed[looked_from[word] : index, word] < REARM_SHARE * threshold).any():
                looked_from[word] = int(index)
                continue
            del looked_from[word]
        if times[index] < quiet_until:
            continue
        quiet_until = times[index] + REFRACTORY_SECONDS
        looked_from[word] = int(index)
        found.append(
            Detection(
                word=labels[word],
                seconds=round(float(times[index]), 2),
                probability=round(float(values[index]), 4),
            )
        )
    return found
