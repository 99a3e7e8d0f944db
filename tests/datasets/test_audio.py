"""Audio of any common kind becomes mono float32 at one rate; what is broken is named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from penjing_datasets.audio import fit_length, read_audio, resample
from penjing_datasets.errors import DatasetError

SECONDS, TONE_HZ = 1.0, 440.0


def tone(rate: int, channels: int = 1) -> np.ndarray:
    samples = 0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(int(rate * SECONDS)) / rate)
    return np.stack([samples] * channels, axis=1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16")]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_is_the_same_tone_whatever_the_file(
    tmp_path: Path, rate: int, suffix: str, subtype: str, channels: int
) -> None:
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(rate, channels), rate, subtype=subtype)
    for source in (path, path.read_bytes()):
        samples = read_audio(source, 16_000)
        assert samples.dtype == np.float32 and samples.shape == (16_000,)
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(16_000)))
        assert spectrum.argmax() == TONE_HZ
        assert np.sqrt(np.mean(samples[2000:-2000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def wav(samples: np.ndarray, subtype: str = "PCM_16", rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


BROKEN = {
    "text called wav": (b"this is a text and no recording at all", "cannot be read as audio"),
    "no bytes": (b"", "it has no bytes"),
    "zero length": (wav(np.zeros(0)), "the recording is empty"),
    "truncated": (wav(tone(16_000))[:9000], "truncated"),
    "cut in the header": (wav(tone(16_000))[:30], "cannot be read as audio"),
    "NaN samples": (wav(np.array([0.1, np.nan, 0.2], "float32"), "FLOAT"), "NaN or infinite"),
    "no rate of sound": (wav(np.zeros(100), rate=7), "7 samples a second"),
    "infinite samples": (wav(np.array([0.1, np.inf], "float32"), "FLOAT"), "NaN or infinite"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, kind: str) -> None:
    content, message = BROKEN[kind]
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        read_audio(path, 16_000)
    assert message in str(caught.value)
    assert caught.value.where == str(path)
    # The same words each time: no memory address.
    with pytest.raises(DatasetError, match=message) as in_memory:
        read_audio(content, 16_000, "clip.wav")
    assert " at 0x" not in str(in_memory.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such file"):
        read_audio(tmp_path / "none.wav", 16_000)
    with pytest.raises(DatasetError, match="it is a folder"):
        read_audio(tmp_path, 16_000)


@given(st.integers(1, 5000), st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000]))
def test_resampling_keeps_the_duration(count: int, rate: int) -> None:
    assert len(resample(np.ones(count, "float32"), rate, 16_000)) == -(-count * 16_000 // rate)


@given(st.integers(0, 400), st.integers(1, 200))
def test_a_clip_has_its_length_whatever_it_was(count: int, length: int) -> None:
    assert fit_length(np.ones(count, "float32"), length).shape == (length,)


def test_of_a_long_clip_the_loudest_stretch_is_kept_and_a_short_one_is_centred() -> None:
    long = np.zeros(100, "float32")
    long[60:70] = 1.0
    assert fit_length(long, 20).sum() == 10
    short = fit_length(np.ones(4, "float32"), 10)
    assert short.tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
