"""On a stream a word is reported once, near where it was said, however the sound comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.streaming import Decoding, Detection, Detector, Spotter, detect, look_at, look_times

LABELS = ("no", "yes", "_silence_", "_unknown_")
SHARP = Decoding(threshold=0.7, smoothed=1)


def looks(*peaks: tuple[int, int, float], count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    values = np.zeros((count, 4))
    values[:, 2] = 1.0
    for look, word, value in peaks:
        values[look : look + 4, word] = value
    return values, 1.0 + 0.1 * np.arange(count)


def test_a_word_is_reported_once_within_the_refractory_time() -> None:
    found = detect(*looks((10, 1, 0.9), (40, 0, 0.8)), LABELS, SHARP)
    assert [(d.word, d.seconds) for d in found] == [("yes", 2.0), ("no", 5.0)]


def test_a_word_that_lasts_is_reported_once_and_a_word_said_again_twice() -> None:
    values, times = looks(count=200)
    values[20:120, 1] = 0.9  # ten seconds of "yes"
    values[60:64, 1] = 0.5  # a dip that is not low enough to be its end
    values[150:160, 1] = 0.9
    assert [(d.word, d.seconds) for d in detect(values, times, LABELS, SHARP)] == [("yes", 3.0), ("yes", 16.0)]
    values[60:64, 1] = 0.4
    assert [d.seconds for d in detect(values, times, LABELS, SHARP)] == [3.0, 7.4, 16.0]


def test_another_word_need_not_wait_for_the_first_to_fall() -> None:
    values, times = looks(count=60)
    values[10:50, 1] = 0.8
    values[30:40, 0] = 0.9
    assert [(d.word, d.seconds) for d in detect(values, times, LABELS, SHARP)] == [("yes", 2.0), ("no", 4.0)]


def test_silence_and_unknown_are_no_words_and_weak_words_none() -> None:
    assert detect(*looks((10, 3, 1.0)), LABELS, SHARP) == []
    assert detect(*looks((10, 1, 0.69)), LABELS, SHARP) == []
    assert detect(np.zeros((0, 4)), np.zeros(0), LABELS, SHARP) == []


def test_smoothing_lets_through_what_lasts_and_not_what_flickers() -> None:
    values, times = looks()
    values[10, 1] = 1.0  # one look
    values[30:35, 1] = 1.0
    found = detect(values, times, LABELS, Decoding(threshold=0.9, smoothed=3))
    assert [(d.word, d.seconds, d.probability) for d in found] == [("yes", 4.2, 1.0)]


@given(
    st.integers(0, 2**31),
    st.lists(st.integers(0, 60), max_size=8),
    st.sampled_from([1, 3, 7]),
    st.floats(0.3, 0.95),
)
def test_blocks_of_looks_make_no_difference(seed: int, cuts: list[int], smoothed: int, threshold: float) -> None:
    generator = np.random.default_rng(seed)
    # Words that stay for a while, so that there is something to find.
    values = np.repeat(generator.dirichlet([0.15] * 4, 20), generator.integers(1, 15, 20), axis=0)
    times = 1.0 + 0.1 * np.arange(len(values))
    decoding = Decoding(threshold=threshold, smoothed=smoothed)
    detector = Detector(LABELS, decoding)
    pieces = zip(np.split(values, sorted(cuts)), np.split(times, sorted(cuts)), strict=True)
    found = [detection for piece in pieces for detection in detector.push(*piece)]
    assert found == detect(values, times, LABELS, decoding)
    assert found == by_the_rules(values, times, decoding)


def by_the_rules(values: np.ndarray, times: np.ndarray, decoding: Decoding) -> list[Detection]:
    """One look after the other, as the rules say it."""
    found: list[Detection] = []
    heard: set[int] = set()
    quiet_until = -1.0
    for index in range(len(values)):
        last = [values[max(0, index - back)] for back in range(decoding.smoothed - 1, -1, -1)]
        mean = sum(last, np.zeros(4)) / decoding.smoothed
        heard = {word for word in heard if mean[word] >= decoding.rearm_share * decoding.threshold}
        word = int(mean[:2].argmax())
        if mean[word] >= decoding.threshold and word not in heard and times[index] >= quiet_until:
            found.append(
                Detection(
                    word=LABELS[word], seconds=round(float(times[index]), 2), probability=round(float(mean[word]), 4)
                )
            )
            quiet_until = times[index] + decoding.refractory_seconds
            heard.add(word)
    return found


# ----------------------------------------------------------------------------------------------- samples to words


def loudness(x: np.ndarray) -> np.ndarray:
    """A model that can be told by heart: "yes" for what is loud."""
    loud = x.mean(axis=(1, 2, 3)) > -6
    return np.where(loud[:, None], [0.04, 0.95, 0.01, 0.0], [0.1, 0.1, 0.8, 0.0])


def spoken(*at: float, seconds: float) -> np.ndarray:
    samples = np.zeros(int(seconds * 16_000), np.float32)
    for start in at:
        samples[int(start * 16_000) : int(start * 16_000) + 16_000] = np.random.default_rng(0).normal(0, 0.2, 16_000)
    return samples


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=30))
@settings(max_examples=30)
def test_pieces_of_any_size_give_the_same_words(pieces: list[int]) -> None:
    samples = spoken(2.0, 6.0, 11.0, seconds=14)
    whole = Spotter(FrontEnd(), loudness, LABELS, Decoding(threshold=0.6)).push(samples)
    spotter = Spotter(FrontEnd(), loudness, LABELS, Decoding(threshold=0.6))
    found = [d for piece in np.split(samples, np.cumsum(pieces)) for d in spotter.push(piece)] + spotter.finish()
    assert found == whole and [d.word for d in found] == ["yes"] * 3
    for detection, start in zip(found, (2.0, 6.0, 11.0), strict=True):
        assert start < detection.seconds <= start + 1.3


def test_a_recording_shorter_than_a_clip_is_looked_at_once() -> None:
    seen: list[np.ndarray] = []
    spotter = Spotter(FrontEnd(), lambda x: seen.append(x) or loudness(x), LABELS, Decoding(threshold=0.6))
    half = spoken(0.0, seconds=1)[:8_000]
    assert spotter.push(half[:3_000]) == spotter.push(half[3_000:]) == []
    assert [(d.word, d.seconds) for d in spotter.finish()] == [("yes", 1.0)]
    assert np.allclose(seen[0], FrontEnd().of_clips(np.pad(half, 4_000)[None]), atol=1e-5)
    assert Spotter(FrontEnd(), loudness, LABELS, Decoding()).finish() == []


def test_looks_come_every_tenth_of_a_second_and_end_with_their_window() -> None:
    times = look_times(FrontEnd(), 0, 21)
    assert times[0] == 1.0 and times[-1] == 3.0 and np.allclose(np.diff(times), 0.1)
    frames = np.arange(49 + 5 * 20, dtype=np.float32)[:, None].repeat(40, axis=1)
    seen: list[np.ndarray] = []
    look_at(frames, FrontEnd(), lambda x: seen.append(x) or np.ones((len(x), 4)) / 4)
    together = np.concatenate(seen)
    assert together.shape == (21, 49, 40, 1)
    assert together[:, 0, 0, 0].tolist() == [5.0 * look for look in range(21)]


def test_memory_does_not_grow_with_the_recording() -> None:
    spotter = Spotter(FrontEnd(), loudness, LABELS, Decoding(threshold=0.6))
    for _ in range(40):
        spotter.push(np.zeros(16_000, np.float32))
    held = [value for value in vars(spotter._looks).values() if isinstance(value, np.ndarray)]
    assert sum(value.nbytes for value in held) < 50_000


@pytest.mark.parametrize("count", [0, 15_999])
def test_what_is_too_short_for_a_look_gives_none(count: int) -> None:
    assert Spotter(FrontEnd(), loudness, LABELS, Decoding()).push(np.zeros(count, np.float32)) == []
