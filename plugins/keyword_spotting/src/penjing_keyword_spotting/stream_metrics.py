"""False accepts an hour and false rejects on a continuous recording made of a part's own clips."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binomtest

from penjing.contract import Estimate, Split, Splits
from penjing_keyword_spotting.features import FrontEnd, StreamingFrontEnd
from penjing_keyword_spotting.stream_recording import Recording, plan_recording
from penjing_keyword_spotting.streaming import Decoding, Detection, detect, look_at, look_times

TOLERANCE_SECONDS = 0.75
"""A detection counts for a word when it lies at most this long after the word's clip."""
THRESHOLDS = np.concatenate([np.round(np.arange(0.3, 0.8999, 0.025), 3), np.round(np.arange(0.9, 0.9976, 0.0025), 4)])
ACCEPTS_PER_HOUR = (0.5, 1.0, 2.0, 5.0, 10.0)
SMOOTHED = (3, 5, 7)
"""Looks to average that are tried on the validation part."""
RESAMPLES = 2000
SEEDS = {"validation": 1, "test": 2}

Predict = Callable[[Any], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """What the domain's data say about their streams; stands in `Splits.extra["stream"]`."""

    hours: float
    """Length of each part's recording."""
    most_false_accepts_per_hour: float
    """The threshold keeps to this on the validation part's recording."""
    background: Mapping[str, Sequence[np.ndarray]]
    """Noise recordings of "validation" and "test": stretches of time that no other part has."""
    cache: dict[Any, Any] = field(default_factory=dict)
    """Features of the recordings, which are the same for every model."""
    looked: weakref.WeakKeyDictionary[Any, dict[str, Any]] = field(default_factory=weakref.WeakKeyDictionary)
    """What was seen of a model, while it lives: probabilities by part, the operating point, curves."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was found on a recording."""

    false_accepts: tuple[Detection, ...]
    found: np.ndarray
    """bool for each word to be found."""


def judge(recording: Recording, detections: Sequence[Detection]) -> Heard:
    """Tell true detections from false. A word may be claimed by one detection; every other detection is false."""
    starts = np.array([start for start, _ in recording.words])
    clip = recording.clips.shape[1] / recording.sample_rate
    found = np.zeros(len(starts), bool)
    false = []
    for detection in detections:
        # Words do not overlap, but the end of one may be the beginning of the next: the last two are looked at.
        last = int(np.searchsorted(starts, detection.seconds)) - 1
        match = next(
            (
                index
                for index in (last - 1, last)
                if index >= 0
                and not found[index]
                and recording.words[index][1] == detection.word
                and starts[index] < detection.seconds <= starts[index] + clip + TOLERANCE_SECONDS
            ),
            None,
        )
        if match is None:
            false.append(detection)
        else:
            found[match] = True
    return Heard(false_accepts=tuple(false), found=found)


def stream_errors(predict: Predict, split: Split, splits: Splits) -> dict[str, float | Estimate]:
    """Errors on the part's recording, at the smoothing and threshold that are chosen on the validation part's.

    Returns:
        false_accepts_per_hour (interval by bootstrap over the clips and scenes they come from), false_reject_share
        (Wilson's interval), threshold, smoothed_looks, what the validation recording gave there, and what the
        recording is made of.
    """
    decoding, chosen = _operating_point(predict, splits)
    recording, heard = _heard(predict, split, splits, decoding)
    accepts, rejects, words = len(heard.false_accepts), int(np.sum(~heard.found)), len(heard.found)
    counts = _sources(recording, heard)
    low, high = _bootstrapped(counts, recording.hours)
    figures: dict[str, float | Estimate] = {
        "false_accepts_per_hour": Estimate(
            value=accepts / recording.hours,
            low=low,
            high=high,
            method="bootstrap of the clips and the scenes heard, percentile, 95 %",
            n=sum(len(kind) for kind in counts),
        ),
        "false_accept_sources": float(sum(int(np.sum(kind > 0)) for kind in counts)),
        "false_reject_share": float("nan"),
    }
    if words:
        interval = binomtest(rejects, words).proportion_ci(method="wilson")
        figures["false_reject_share"] = Estimate(
            value=rejects / words, low=interval.low, high=interval.high, method="Wilson, 95 %", n=words
        )
    return figures | {
        "threshold": decoding.threshold,
        "smoothed_looks": float(decoding.smoothed),
        "validation_false_accepts_per_hour": chosen[0],
        "validation_false_reject_share": chosen[1],
        "hours": recording.hours,
        "words": float(words),
        "other_words": float(recording.others),
        "distinct_other_words": float(recording.distinct_others),
        "noise_hours": recording.noise_seconds / 3600,
    }


def rejects_at(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """Points of the detection error trade-off: the share of words missed where the part's own recording has at most so
    many false accepts an hour. The thresholds are read off this recording: nothing is chosen by them.

    Returns:
        "1 an hour" and its like, for each of `ACCEPTS_PER_HOUR`; the share is 1 where no threshold keeps to it.
    """
    curve = detection_error_tradeoff(predict, split, splits)
    shares = {}
    for most in ACCEPTS_PER_HOUR:
        kept = [point.false_reject_share for point in curve if point.accepts_per_hour <= most]
        shares[f"{most:g} an hour"] = min(kept, default=1.0)
    return shares


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """A point of the curve."""

    threshold: float
    accepts_per_hour: float
    false_reject_share: float
    """NaN on a recording without words."""


def detection_error_tradeoff(predict: Predict, split: Split, splits: Splits) -> list[TradeOff]:
    """False accepts an hour and false rejects on the part's recording at every threshold, at the smoothing that was
    chosen, lowest threshold first."""
    settings: StreamSettings = splits.extra["stream"]
    kept = settings.looked.setdefault(predict, {})
    name = f"curve of {'validation' if split is splits.validation else 'test'}"
    if name not in kept:
        chosen = operating_point(predict, splits)
        curve = []
        for threshold in THRESHOLDS:
            decoding = Decoding(threshold=float(threshold), smoothed=chosen.smoothed)
            recording, heard = _heard(predict, split, splits, decoding)
            curve.append(
                TradeOff(
                    threshold=float(threshold),
                    accepts_per_hour=len(heard.false_accepts) / recording.hours,
                    false_reject_share=float(np.mean(~heard.found)) if len(heard.found) else float("nan"),
                )
            )
        kept[name] = curve
    return kept[name]  # type: ignore[no-any-return]


def recording_of(split: Split, splits: Splits) -> Recording:
    """The part's recording, for what it is made of."""
    settings: StreamSettings = splits.extra["stream"]
    part = "validation" if split is splits.validation else "test"
    return _recorded(settings, part, split, splits)[0]


def operating_point(predict: Predict, splits: Splits) -> Decoding:
    """Smoothing and threshold with the fewest false rejects on the validation part's recording, among those that keep
    to the false accepts allowed there, they and every higher threshold.

    Where none does it is the highest threshold.
    """
    return _operating_point(predict, splits)[0]


def false_accepts(predict: Predict, split: Split, splits: Splits) -> list[tuple[Detection, int | None]]:
    """False accepts on the part's recording, each with the row of the clip that was heard; None where it was noise."""
    recording, heard = _heard(predict, split, splits, operating_point(predict, splits))
    return [(detection, source(recording, detection)) for detection in heard.false_accepts]


def source(recording: Recording, detection: Detection) -> int | None:
    """Row of the clip that began last before the detection's window had ended by 0.3 s, within two seconds; None where
    there is none, so that it was the background."""
    latest = None
    for sound in recording.sounds:
        begin = sound.start / recording.sample_rate
        if begin > detection.seconds - 0.3:
            break
        latest = sound
    if latest is None or detection.seconds - latest.start / recording.sample_rate > 2.0:
        return None
    return latest.row


def _operating_point(predict: Predict, splits: Splits) -> tuple[Decoding, tuple[float, float]]:
    settings: StreamSettings = splits.extra["stream"]
    kept = settings.looked.setdefault(predict, {})
    if "operating point" not in kept:
        kept["operating point"] = _chosen(predict, splits, settings.most_false_accepts_per_hour)
    return kept["operating point"]  # type: ignore[no-any-return]


def _chosen(predict: Predict, splits: Splits, most: float) -> tuple[Decoding, tuple[float, float]]:
    best: tuple[float, float, Decoding] | None = None
    highest = Decoding(threshold=float(THRESHOLDS[-1]), smoothed=SMOOTHED[0])
    for smoothed in SMOOTHED:
        for threshold in THRESHOLDS[::-1]:
            decoding = Decoding(threshold=float(threshold), smoothed=smoothed)
            recording, heard = _heard(predict, splits.validation, splits, decoding)
            accepts = len(heard.false_accepts) / recording.hours
            rejects = float(np.mean(~heard.found)) if len(heard.found) else 0.0
            if accepts > most:
                break
            if best is None or rejects < best[0]:
                best = (rejects, accepts, decoding)
    if best is not None:
        return best[2], (best[1], best[0])
    recording, heard = _heard(predict, splits.validation, splits, highest)
    rejects = float(np.mean(~heard.found)) if len(heard.found) else float("nan")
    return highest, (len(heard.false_accepts) / recording.hours, rejects)


def _heard(predict: Predict, split: Split, splits: Splits, decoding: Decoding) -> tuple[Recording, Heard]:
    settings: StreamSettings = splits.extra["stream"]
    part = "validation" if split is splits.validation else "test"
    recording, frames = _recorded(settings, part, split, splits)
    front_end = FrontEnd.from_json(splits.preprocessing)
    kept = settings.looked.setdefault(predict, {})
    if part not in kept:
        kept[part] = look_at(frames, front_end, predict).astype(np.float32)
    probabilities = kept[part]
    times = look_times(front_end, 0, len(probabilities))
    return recording, judge(recording, detect(probabilities, times, splits.labels, decoding))


def _recorded(settings: StreamSettings, part: str, split: Split, splits: Splits) -> tuple[Recording, np.ndarray]:
    """A part's recording and its frames."""
    key = (part, str(dict(splits.preprocessing)))
    if key not in settings.cache:
        front_end = FrontEnd.from_json(splits.preprocessing)
        recording = plan_recording(
            split,
            splits.labels,
            background=settings.background[part],
            sample_rate=front_end.sample_rate,
            hours=settings.hours,
            seed=SEEDS[part],
        )
        stream = StreamingFrontEnd(front_end)
        settings.cache[key] = (recording, np.concatenate([stream.push(block) for block in recording.blocks()]))
    return settings.cache[key]


def _sources(recording: Recording, heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """False accepts by the clip, and by the scene without a clip, that they come from; zeros included."""
    rows = sorted({sound.row for sound in recording.sounds})
    clips, scenes = np.zeros(len(rows)), np.zeros(len(recording.scenes))
    seconds = recording.scenes[0].length / recording.sample_rate
    for detection in heard.false_accepts:
        row = source(recording, detection)
        if row is None:
            scenes[min(len(scenes) - 1, int(detection.seconds // seconds))] += 1
        else:
            clips[rows.index(row)] += 1
    return clips, scenes


def _bootstrapped(counts: Sequence[np.ndarray], hours: float) -> tuple[float, float]:
    """95 % interval of the sum of counts an hour, when clips and scenes are drawn anew."""
    generator = np.random.default_rng(0)
    totals = np.zeros(RESAMPLES)
    for kind in counts:
        if len(kind):
            drawn = generator.multinomial(len(kind), np.full(len(kind), 1 / len(kind)), size=RESAMPLES)
            totals += drawn @ kind
    low, high = np.percentile(totals / hours, [2.5, 97.5])
    return float(low), float(high)
