"""On a stream a word is reported once, near where it was said; what was not said is a false accept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from penjing.contract import DataRequest, Splits
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.stream_metrics import Stream, build_stream, count_errors, stream_errors
from penjing_keyword_spotting.streaming import Detection, detect, posteriors

LABELS = ("no", "yes", "_silence_", "_unknown_")


@pytest.fixture(scope="module")
def sample() -> Splits:
    return load_data(DataRequest(options={"voices": 8}))


def smoothed(*peaks: tuple[int, int, float], looks: int = 60) -> tuple[np.ndarray, np.ndarray]:
    values = np.zeros((looks, 4))
    values[:, 2] = 1.0
    for look, word, value in peaks:
        values[look : look + 4, word] = value
    return values, 1.0 + 0.1 * np.arange(looks)


def test_a_word_is_reported_once_within_the_refractory_time() -> None:
    found = detect(*smoothed((10, 1, 0.9), (40, 0, 0.8)), LABELS, 0.7)
    assert [(d.word, d.seconds) for d in found] == [("yes", 2.0), ("no", 5.0)]


def test_a_word_that_lasts_is_reported_once_and_a_word_said_again_twice() -> None:
    values, times = smoothed(looks=200)
    values[20:120, 1] = 0.9  # ten seconds of "yes"
    values[60:64, 1] = 0.5  # a dip that is not low enough to be its end
    values[150:160, 1] = 0.9
    assert [(d.word, d.seconds) for d in detect(values, times, LABELS, 0.7)] == [("yes", 3.0), ("yes", 16.0)]
    values[60:64, 1] = 0.4
    assert [d.seconds for d in detect(values, times, LABELS, 0.7)] == [3.0, 7.4, 16.0]


def test_another_word_need_not_wait_for_the_first_to_fall() -> None:
    values, times = smoothed(looks=60)
    values[10:50, 1] = 0.8
    values[30:40, 0] = 0.9
    assert [(d.word, d.seconds) for d in detect(values, times, LABELS, 0.7)] == [("yes", 2.0), ("no", 4.0)]


def test_silence_and_unknown_are_no_words_and_weak_words_none() -> None:
    assert detect(*smoothed((10, 3, 1.0)), LABELS, 0.7) == []
    assert detect(*smoothed((10, 1, 0.69)), LABELS, 0.7) == []
    assert detect(np.zeros((0, 0)), np.zeros(0), LABELS, 0.5) == []


def test_errors_are_counted_as_a_person_would() -> None:
    stream = Stream(
        samples=np.zeros(16_000 * 30, "float32"), sample_rate=16_000, words=((5.0, "yes"), (10.0, "no"), (20.0, "yes"))
    )

    def found(*pairs: tuple[str, float]) -> list[Detection]:
        return [Detection(word=word, seconds=seconds, probability=0.9) for word, seconds in pairs]

    assert count_errors(stream, found(("yes", 6.0), ("no", 11.0), ("yes", 21.0)), 1.0) == (0, 0)
    assert count_errors(stream, found(), 1.0) == (0, 3)
    # The right word too late, a wrong word at the right time, the same word twice.
    assert count_errors(stream, found(("yes", 7.0)), 1.0) == (1, 3)
    assert count_errors(stream, found(("no", 6.0)), 1.0) == (1, 3)
    assert count_errors(stream, found(("yes", 5.5), ("yes", 6.4)), 1.0) == (1, 2)


def test_a_stream_holds_every_word_of_the_part_where_it_says(sample: Splits) -> None:
    stream = build_stream(sample.test, sample, seed=2)
    words = [sample.labels[y] for y in sample.test.y if sample.labels[y] not in ("_silence_", "_unknown_")]
    assert sorted(word for _, word in stream.words) == sorted(words)
    start, word = stream.words[0]
    place = round(start * 16_000)
    clip = stream.samples[place : place + 16_000]
    rows = [row for row, y in enumerate(sample.test.y) if sample.labels[y] == word]
    assert any(np.allclose(clip, sample.test.raw[row]) for row in rows)
    assert np.array_equal(build_stream(sample.test, sample, seed=2).samples, stream.samples)


def test_looks_come_every_tenth_of_a_second_and_end_with_their_window(sample: Splits) -> None:
    front_end = sample.extra["front_end"]
    seen = []

    def predict(x: np.ndarray) -> np.ndarray:
        seen.append(x.shape)
        return np.ones((len(x), 4)) / 4

    _, times = posteriors(np.zeros(16_000 * 3, "float32"), front_end, predict)
    assert seen == [(len(times), 49, 40, 1)]
    assert times[0] == 1.0 and np.allclose(np.diff(times), 0.1)
    assert 2.9 <= times[-1] <= 3.0


def test_a_recording_shorter_than_a_clip_is_looked_at_once(sample: Splits) -> None:
    front_end = sample.extra["front_end"]
    short = np.random.default_rng(0).normal(0, 0.1, 8_000).astype("float32")
    looks: list[np.ndarray] = []
    _, times = posteriors(short, front_end, lambda x: looks.append(x) or np.ones((len(x), 4)) / 4)
    assert times.tolist() == [1.0]
    assert np.allclose(looks[0], front_end.of_clips(np.pad(short, 4_000)[None]), atol=1e-5)


def test_a_long_recording_is_seen_piece_by_piece_as_if_whole(sample: Splits) -> None:
    front_end = sample.extra["front_end"]
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000 * 130 + 77).astype("float32")
    seen: list[np.ndarray] = []
    _, times = posteriors(samples, front_end, lambda x: seen.append(x) or np.ones((len(x), 4)) / 4)
    assert max(len(block) for block in seen) < len(times)
    looks = np.concatenate(seen)
    for look in (0, 585, 590, 599, 600, 1187, len(times) - 1):
        end = round(times[look] * 16_000)
        clip = samples[end - 16_000 : end]
        assert np.allclose(looks[look], front_end.of_clips(clip[None])[0], atol=1e-4)


def test_hours_are_hours_at_any_rate() -> None:
    for rate in (8_000, 16_000):
        assert Stream(samples=np.zeros(rate * 36, "float32"), sample_rate=rate, words=()).hours == pytest.approx(0.01)


def test_a_stream_can_be_built_for_long_clips_and_without_background(sample: Splits) -> None:
    short = replace(sample, extra={**sample.extra, "background": [np.ones(20_000, "float32")]})
    for splits in (short, replace(sample, extra={**sample.extra, "background": []})):
        stream = build_stream(splits.test, splits, seed=2)
        assert len(stream.words) > 0 and np.isfinite(stream.samples).all()


def test_a_model_that_hears_nothing_rejects_all_and_accepts_nothing(sample: Splits) -> None:
    silence = sample.labels.index("_silence_")
    outputs = lambda x: np.eye(len(sample.labels))[np.full(len(x), silence)]  # noqa: E731
    errors = stream_errors(outputs, sample.test, sample)
    assert errors["false_accepts_per_hour"] == 0
    assert errors["false_reject_share"] == 1
    assert errors["hours"] > 0 and errors["words"] > 0


def test_a_model_that_hears_words_every_other_moment_accepts_falsely(sample: Splits) -> None:
    yes, silence = sample.labels.index("yes"), sample.labels.index("_silence_")

    def predict(x: np.ndarray) -> np.ndarray:
        return np.eye(len(sample.labels))[np.where(np.arange(len(x)) % 30 < 15, yes, silence)]

    errors = stream_errors(predict, sample.test, sample)
    assert errors["false_accepts_per_hour"] > 500
