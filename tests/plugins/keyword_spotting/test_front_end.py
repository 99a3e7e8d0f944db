"""The front end is MLPerf Tiny's where it says so, the same on a stream as on a clip, and travels as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.runtime import LiteRTModel
from penjing_datasets.clips import read_clips
from penjing_keyword_spotting.features import MLPERF_TINY, FrontEnd, StreamingFrontEnd

MLPERF_LABELS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "_silence_", "_unknown_")


def test_mlperf_tinys_own_file_gets_as_many_clips_right_as_with_its_own_front_end(penjing_data: Path) -> None:
    clips = read_clips(penjing_data / "keyword_spotting/speech_commands", sample_rate=16_000, length=16_000)
    assert len(clips.ids) == 4221
    model = LiteRTModel((penjing_data / "mlperf_tiny/kws_ref_model.tflite").read_bytes())
    decided = model.predict_raw(MLPERF_TINY.of_clips(clips.waveforms)).argmax(axis=1)
    truth = np.array([MLPERF_LABELS.index(name) for name in clips.classes])
    assert int((decided == truth).sum()) == 3865


@given(
    st.sampled_from(
        [FrontEnd(), FrontEnd(kind="mfcc"), FrontEnd(hop_samples=160, frame_samples=400, mean=-3, scale=2)]
    ),
    st.lists(st.integers(0, 9000), min_size=1, max_size=12),
    st.integers(0, 2**31),
)
def test_a_stream_in_pieces_of_any_size_gives_the_frames_of_the_whole(
    front_end: FrontEnd, pieces: list[int], seed: int
) -> None:
    samples = np.random.default_rng(seed).normal(0, 0.1, sum(pieces)).astype("float32")
    stream = StreamingFrontEnd(front_end)
    frames = [stream.push(piece) for piece in np.split(samples, np.cumsum(pieces)[:-1])]
    together = np.concatenate(frames)
    whole = StreamingFrontEnd(front_end).push(samples)
    assert together.shape == whole.shape
    assert np.allclose(together, whole, atol=1e-5)


def test_a_clips_features_are_those_of_the_stream() -> None:
    clip = np.random.default_rng(0).normal(0, 0.1, 16_000).astype("float32")
    front_end = FrontEnd()
    features = front_end.of_clips(clip[None])
    assert features.shape == (1, 49, 40, 1) == (1, *front_end.shape)
    assert np.allclose(StreamingFrontEnd(front_end).push(clip), features[0, :, :, 0], atol=1e-5)


def test_log_mel_is_what_the_formula_says() -> None:
    """Computed here from the definition, band by band."""
    front_end = FrontEnd(mel_bands=12, low_hz=100.0, high_hz=4000.0)
    samples = np.random.default_rng(1).normal(0, 0.1, 480)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    spectrum = np.abs(np.fft.rfft(samples * window, 512))
    mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)  # noqa: E731
    edges = np.linspace(mel(100.0), mel(4000.0), 14)
    for band in range(12):
        total = 0.0
        for index, value in enumerate(spectrum):
            place = mel(index * 16_000 / 512)
            low, centre, high = edges[band : band + 3]
            total += value * max(0.0, min((place - low) / (centre - low), (high - place) / (high - centre)))
        assert front_end.of_frames(samples.astype("float32"))[band] == pytest.approx(np.log(total + 1e-6), abs=1e-3)


def test_mfcc_is_the_cosine_transform_of_the_field() -> None:
    from scipy.fft import dct

    frames = np.random.default_rng(2).normal(0, 0.1, (5, 480)).astype("float32")
    log_mel = FrontEnd().of_frames(frames)
    expected = dct(log_mel, type=2, axis=1)[:, :10] / np.sqrt(80)
    assert np.allclose(FrontEnd(kind="mfcc").of_frames(frames), expected, atol=1e-4)


def test_parameters_travel_as_json() -> None:
    front_end = FrontEnd(kind="mfcc", mean=-2.5, scale=1.5)
    assert FrontEnd.from_json(json.loads(json.dumps(front_end.to_json()))) == front_end


def test_normalised_features_have_mean_zero_and_spread_one() -> None:
    clips = np.random.default_rng(3).normal(0, 0.05, (40, 16_000)).astype("float32")
    features = FrontEnd().normalised_to(clips).of_clips(clips)
    assert features.mean() == pytest.approx(0, abs=0.01)
    assert features.std() == pytest.approx(1, abs=0.01)
