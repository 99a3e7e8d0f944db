"""How recognition falls as noise rises: clips and words on a stream at exact signal-to-noise ratios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from penjing.contract import Split, Splits
from penjing_keyword_spotting.features import FrontEnd, StreamingFrontEnd
from penjing_keyword_spotting.stream_metrics import TOLERANCE_SECONDS, Predict, StreamSettings, operating_point
from penjing_keyword_spotting.streaming import NOT_WORDS, detect, look_at, look_times

RATIOS_DB = (None, 20, 10, 5, 0)
"""None is the clip as it was recorded."""
MOST_CLIPS = 1000
MOST_WORDS = 300
"""Words on the stream of each ratio, at most."""
QUIET = np.float32(10 ** (-65 / 20))
"""Root mean square of a quiet room, which is on the stream in any case: digital silence is nowhere."""
LEAD_SECONDS, TAIL_SECONDS = 1.0, 1.25
"""Noise before and after a word on the stream."""


def by_noise(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """Accuracy of spoken clips, and share of words found on a stream, at each signal-to-noise ratio.

    The ratio is the clip's mean square to that of the noise under it; noise comes from the part's own stretches of the
    noise recordings, each in turn, white where there is none. The stream has the decoding of the operating point.

    Returns:
        "clean accuracy", "20 dB accuracy", ..., "clean found", ...
    """
    settings: StreamSettings = splits.extra["stream"]
    front_end = FrontEnd.from_json(splits.preprocessing)
    part = "validation" if split is splits.validation else "test"
    kinds = np.array([splits.labels[number] for number in split.y])
    spoken = np.flatnonzero(kinds != NOT_WORDS[0])[:MOST_CLIPS]
    words = np.random.default_rng(5).permutation(np.flatnonzero(~np.isin(kinds, NOT_WORDS)))[:MOST_WORDS]
    decoding = operating_point(predict, splits)
    figures: dict[str, float] = {}
    found_share: dict[str, float] = {}
    for ratio in RATIOS_DB:
        name = "clean" if ratio is None else f"{ratio} dB"
        key = (part, "noise", ratio, str(dict(splits.preprocessing)))
        if key not in settings.cache:
            noise = settings.background[part]
            clips = np.stack([split.raw[:0].sum(axis=0), *_in_noise(split.raw[spoken], noise, ratio, 0, 0)])[1:]
            settings.cache[key] = (
                front_end.of_clips(clips),
                _frames(split.raw[words], noise, ratio, front_end),
            )
        features, frames = settings.cache[key]
        if len(spoken):
            figures[f"{name} accuracy"] = float(np.mean(np.argmax(predict(features), axis=1) == split.y[spoken]))
        if len(words):
            probabilities = look_at(frames, front_end, predict)
            found = detect(probabilities, look_times(front_end, 0, len(probabilities)), splits.labels, decoding)
            found_share[f"{name} found"] = _share_found(found, kinds[words], front_end)
    return figures | found_share


def _in_noise(
    clips: np.ndarray, background: Sequence[np.ndarray], ratio: int | None, lead: int, tail: int
) -> Iterator[np.ndarray]:
    """Each clip with silence of `lead` and `tail` samples around it, and noise under all of it."""
    generator = np.random.default_rng([7, 0 if ratio is None else 1 + ratio])
    length = lead + clips.shape[1] + tail
    for index, clip in enumerate(clips):
        padded = np.pad(clip, (lead, tail)) + QUIET * generator.standard_normal(length, np.float32) * bool(lead)
        if ratio is not None:
            if background:
                recording = background[index % len(background)]
                noise = recording[(int(generator.integers(len(recording))) + np.arange(length)) % len(recording)]
            else:
                noise = generator.standard_normal(length, np.float32)
            under = noise[lead : lead + len(clip)]
            power = float(np.mean(np.square(under, dtype=np.float64)))
            signal = float(np.mean(np.square(clip, dtype=np.float64)))
            padded = padded + noise * np.float32(np.sqrt(signal / max(power, 1e-12) / 10 ** (ratio / 10)))
        yield padded.astype(np.float32)


def _frames(clips: np.ndarray, background: Sequence[np.ndarray], ratio: int | None, front_end: FrontEnd) -> np.ndarray:
    rate = front_end.sample_rate
    stream = StreamingFrontEnd(front_end)
    pieces = _in_noise(clips, background, ratio, round(LEAD_SECONDS * rate), round(TAIL_SECONDS * rate))
    frames = [stream.push(piece) for piece in pieces]
    return np.concatenate(frames) if frames else np.zeros((0, front_end.columns), np.float32)


def _share_found(found: Sequence, words: np.ndarray, front_end: FrontEnd) -> float:  # type: ignore[type-arg]
    clip = front_end.clip_samples / front_end.sample_rate
    each = LEAD_SECONDS + clip + TAIL_SECONDS
    right = set()
    for detection in found:
        index = min(len(words) - 1, int((detection.seconds - LEAD_SECONDS) // each))
        begin = index * each + LEAD_SECONDS
        if detection.word == words[index] and begin < detection.seconds <= begin + clip + TOLERANCE_SECONDS:
            right.add(index)
    return len(right) / len(words)
