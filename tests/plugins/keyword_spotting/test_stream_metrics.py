"""Errors are counted as a person would, on a recording that is what its figures say."""

from __future__ import annotations

import itertools
import weakref
from dataclasses import replace

import numpy as np
import pytest

from penjing.contract import DataRequest, Estimate, Split, Splits
from penjing_keyword_spotting import stream_metrics
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.noise_metrics import by_noise
from penjing_keyword_spotting.stream_metrics import (
    SEEDS,
    detection_error_tradeoff,
    judge,
    operating_point,
    rejects_at,
    source,
    stream_errors,
)
from penjing_keyword_spotting.stream_recording import Recording, plan_recording
from penjing_keyword_spotting.streaming import NOT_WORDS, Detection

RATE = 16_000


@pytest.fixture(scope="module")
def sample() -> Splits:
    return load_data(DataRequest(options={"voices": 12, "stream_hours": 0.1}))


def recording_of(split: Split, splits: Splits, hours: float = 0.1, **options) -> Recording:
    background = splits.extra["stream"].background["test"]
    return plan_recording(split, splits.labels, background=background, sample_rate=RATE, hours=hours, seed=2, **options)


def rendered(recording: Recording) -> np.ndarray:
    return np.concatenate(list(recording.blocks()))


# --------------------------------------------------------------------------------------------------- the recording


def test_a_recording_is_as_long_as_it_says_and_the_same_for_the_same_seed(sample: Splits) -> None:
    recording = recording_of(sample.test, sample)
    samples = rendered(recording)
    assert len(samples) == recording.samples == 0.1 * 3600 * RATE and recording.hours == pytest.approx(0.1)
    assert samples.dtype == np.float32 and np.abs(samples).max() <= 1
    assert np.array_equal(samples, rendered(recording_of(sample.test, sample)))


def test_words_are_where_it_says_and_each_clip_of_the_part_at_most_once(sample: Splits) -> None:
    recording = recording_of(sample.test, sample, hours=0.5)
    rows = [sound.row for sound in recording.sounds if sample.labels[sample.test.y[sound.row]] not in NOT_WORDS]
    assert len(rows) == len(set(rows)) == len(recording.words) > 10
    samples, background = rendered(recording), rendered(replace(recording, sounds=()))
    sounds = {round(sound.start / RATE, 4): sound for sound in recording.sounds}
    for start, word in recording.words:
        sound = sounds[round(start, 4)]
        clip = sample.test.raw[sound.row]
        assert sample.labels[sample.test.y[sound.row]] == word
        heard = slice(sound.start, sound.start + len(clip))
        inside = np.abs(samples[heard]) < 1
        inside[:200] = inside[-200:] = False  # faded in and out
        assert np.allclose((samples - background)[heard][inside], sound.gain * clip[inside], atol=1e-5)


def test_words_to_be_found_keep_their_distance_from_whatever_else_is_said(sample: Splits) -> None:
    recording = recording_of(sample.test, sample, hours=0.5)
    words = {round(start * RATE) for start, _ in recording.words}
    ends = {sound.start: sound.start + sound.length for sound in recording.sounds}
    starts = sorted(ends)
    for before, after in itertools.pairwise(starts):
        if before in words or after in words:
            assert after - ends[before] >= 1.4 * RATE


def test_talk_is_of_all_the_parts_other_words_and_counted(sample: Splits) -> None:
    recording = recording_of(sample.test, sample, hours=0.5)
    talk = [sound for sound in recording.sounds if sample.labels[sample.test.y[sound.row]] == "_unknown_"]
    assert len(talk) == recording.others > 100
    assert {sound.row for sound in talk} == set(np.flatnonzero(sample.test.y == sample.labels.index("_unknown_")))
    assert recording.distinct_others == len({sound.row for sound in talk})
    assert len({sound.speed for sound in talk}) > 3


def test_no_sound_of_another_part_is_heard(sample: Splits) -> None:
    settings = sample.extra["stream"]
    assert SEEDS["validation"] != SEEDS["test"]
    for recording, mine, others in zip(
        settings.background["test"], settings.background["validation"], sample.extra["background"], strict=True
    ):
        assert not np.shares_memory(recording, mine) and not np.shares_memory(recording, others)
    assert recording_of(sample.test, sample).clips is sample.test.raw


def test_without_background_and_without_other_words_there_is_a_recording_too(sample: Splits) -> None:
    words = np.flatnonzero(sample.test.y < len(sample.labels) - 2)
    bare = replace(
        sample.test, y=sample.test.y[words], raw=sample.test.raw[words], ids=[sample.test.ids[r] for r in words]
    )
    recording = plan_recording(bare, sample.labels, background=[], sample_rate=RATE, hours=0.05, seed=0)
    assert recording.others == 0 and recording.noise_seconds == 0 and len(recording.words) > 0
    assert np.isfinite(rendered(recording)).all()


# -------------------------------------------------------------------------------------------------------- judging


def told(words: tuple[tuple[float, str], ...]) -> Recording:
    return Recording(
        sample_rate=RATE,
        samples=30 * RATE,
        clips=np.zeros((1, RATE), np.float32),
        background=[],
        scenes=(),
        sounds=(),
        words=words,
        others=0,
        distinct_others=0,
        noise_seconds=0.0,
    )


@pytest.mark.parametrize(
    ("found", "accepts", "rejects"),
    [
        ([("yes", 6.0), ("no", 11.0), ("yes", 21.0)], 0, 0),
        ([], 0, 3),
        ([("yes", 7.0)], 1, 3),  # too late
        ([("yes", 4.9)], 1, 3),  # before it was said
        ([("no", 6.0)], 1, 3),  # another word
        ([("yes", 5.5), ("yes", 6.4)], 1, 2),  # twice
    ],
)
def test_errors_are_counted_as_a_person_would(found: list, accepts: int, rejects: int) -> None:
    recording = told(((5.0, "yes"), (10.0, "no"), (20.0, "yes")))
    heard = judge(recording, [Detection(word=word, seconds=at, probability=0.9) for word, at in found])
    assert (len(heard.false_accepts), int(np.sum(~heard.found))) == (accepts, rejects)


def test_two_words_close_together_are_each_found_by_their_own_detection() -> None:
    recording = told(((5.0, "yes"), (6.2, "no")))
    found = [Detection(word="yes", seconds=6.5, probability=0.9), Detection(word="no", seconds=7.1, probability=0.9)]
    heard = judge(recording, found)
    assert heard.found.all() and not heard.false_accepts


def test_a_false_accept_is_traced_to_the_clip_that_was_heard(sample: Splits) -> None:
    recording = recording_of(sample.test, sample)
    sound = recording.sounds[3]
    middle = (sound.start + sound.length / 2) / RATE
    assert source(recording, Detection(word="yes", seconds=middle, probability=1.0)) == sound.row
    quiet = [
        s for s in np.arange(3, 350, 0.5) if not any(0 <= s * RATE - x.start <= 3 * RATE for x in recording.sounds)
    ]
    assert source(recording, Detection(word="yes", seconds=float(quiet[0]), probability=1.0)) is None


# ------------------------------------------------------------------------------------------------ figures of models


def deaf(x: np.ndarray) -> np.ndarray:
    return np.eye(8)[np.full(len(x), 6)]


class Scripted:
    """Answers look after look from a script about the validation part's recording, then the test part's: words are
    heard with a confidence of their own, and now and then one that nobody said."""

    def __init__(self, splits: Splits) -> None:
        generator = np.random.default_rng(0)
        scripts = []
        for part in (splits.validation, splits.test):
            recording = stream_metrics.recording_of(part, splits)
            count = 1 + (recording.samples - RATE) // 1600
            script = np.tile(np.eye(8)[6], (count, 1))
            peaks = [(start + 1.2, splits.labels.index(word), 0.6, 1.0) for start, word in recording.words]
            peaks += [(at, 2, 0.2, 0.9) for at in generator.uniform(5, recording.samples / RATE - 5, 60)]
            for seconds, word, low, high in peaks:
                look = round((seconds - 1) * 10)
                script[look - 4 : look + 5] = 0
                script[look - 4 : look + 5, word] = generator.uniform(low, high)
            scripts.append(script)
        self.script, self.place = np.concatenate(scripts), 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.place += len(x)
        return self.script[self.place - len(x) : self.place]


class ByHeart:
    """Knows the features of each clip by heart."""

    def __init__(self, part: Split) -> None:
        self.known, self.y = part.x.reshape(len(part), -1), part.y

    def __call__(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), -1)
        distance = (flat**2).sum(1)[:, None] - 2 * flat @ self.known.T + (self.known**2).sum(1)
        return np.eye(8)[self.y[distance.argmin(axis=1)]]


def test_a_model_that_hears_nothing_rejects_all_and_accepts_nothing(sample: Splits) -> None:
    figures = stream_errors(deaf, sample.test, sample)
    accepts, rejects = figures["false_accepts_per_hour"], figures["false_reject_share"]
    assert isinstance(accepts, Estimate) and (accepts.value, accepts.low, accepts.high) == (0, 0, 0)
    assert isinstance(rejects, Estimate) and rejects.value == 1 and rejects.n == figures["words"]
    assert figures["hours"] == pytest.approx(0.1) and figures["other_words"] > 0
    assert rejects_at(deaf, sample.test, sample)["1 an hour"] == 1


def test_a_model_that_hears_words_every_other_moment_accepts_falsely(sample: Splits) -> None:
    def predict(x: np.ndarray) -> np.ndarray:
        return np.eye(8)[np.where(np.arange(len(x)) % 30 < 15, 5, 6)]

    figures = stream_errors(predict, sample.test, sample)
    assert figures["false_accepts_per_hour"].value > 500
    assert figures["validation_false_accepts_per_hour"] > 500
    assert figures["false_accept_sources"] > 5


def test_the_operating_point_keeps_to_the_false_accepts_allowed_and_rejects_least(sample: Splits) -> None:
    rejects = []
    for allowed in (400.0, 150.0, 0.0):
        settings = replace(
            sample.extra["stream"], most_false_accepts_per_hour=allowed, looked=weakref.WeakKeyDictionary()
        )
        splits = replace(sample, extra={**sample.extra, "stream": settings})
        predict = Scripted(splits)
        chosen = operating_point(predict, splits)
        curve = detection_error_tradeoff(predict, splits.validation, splits)
        (at,) = [point for point in curve if point.threshold == chosen.threshold]
        assert at.accepts_per_hour <= allowed
        assert at.false_reject_share == min(p.false_reject_share for p in curve if p.accepts_per_hour <= allowed)
        rejects.append(at.false_reject_share)
        figures = stream_errors(predict, splits.test, splits)
        assert figures["threshold"] == chosen.threshold
        assert figures["validation_false_accepts_per_hour"] == at.accepts_per_hour
        assert figures["validation_false_reject_share"] == at.false_reject_share
    assert rejects[0] < rejects[1] < rejects[2] < 1


def test_the_curve_falls_as_the_threshold_rises(sample: Splits) -> None:
    predict = Scripted(sample)
    operating_point(predict, sample)  # looks at the validation part first
    curve = detection_error_tradeoff(predict, sample.test, sample)
    accepts = [point.accepts_per_hour for point in curve]
    assert accepts == sorted(accepts, reverse=True) and accepts[0] > 300 and accepts[-1] == 0
    shares = [point.false_reject_share for point in curve]
    assert shares == sorted(shares) and shares[0] < 0.1 and shares[-1] == 1
    points = rejects_at(predict, sample.test, sample)
    assert points["10 an hour"] <= points["0.5 an hour"] < 1


def test_noise_costs_accuracy_and_the_ratio_is_exact(sample: Splits) -> None:
    predict = ByHeart(sample.test)
    figures = by_noise(predict, sample.test, sample)
    assert list(figures)[:5] == [f"{name} accuracy" for name in ("clean", "20 dB", "10 dB", "5 dB", "0 dB")]
    assert figures["clean accuracy"] == 1.0 > figures["0 dB accuracy"]
    assert figures["clean found"] >= figures["0 dB found"]


def test_a_clip_in_noise_has_the_ratio_that_was_asked_for(sample: Splits) -> None:
    from penjing_keyword_spotting.noise_metrics import _in_noise

    background = sample.extra["stream"].background["test"]
    clips = sample.test.raw[:6]
    for ratio in (20, 0):
        for clip, noisy in zip(clips, _in_noise(clips, background, ratio, 0, 0), strict=True):
            power = np.mean(clip.astype(float) ** 2) / np.mean((noisy - clip).astype(float) ** 2)
            assert 10 * np.log10(power) == pytest.approx(ratio, abs=0.01)
