"""A recording in blocks is the recording, at any rate and in blocks of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from penjing_datasets.audio import read_audio, resample
from penjing_datasets.audio_blocks import BlockResampler, read_blocks
from penjing_datasets.errors import DatasetError


@given(
    st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]),
    st.sampled_from([8_000, 16_000]),
    st.lists(st.integers(0, 30_000), min_size=1, max_size=8),
    st.integers(0, 2**31),
)
@settings(max_examples=40)
def test_blocks_of_any_size_give_what_the_whole_gives(rate: int, target: int, sizes: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).normal(0, 0.2, sum(sizes)).astype(np.float32)
    resampler = BlockResampler(rate, target)
    blocks = [resampler.push(block) for block in np.split(samples, np.cumsum(sizes)[:-1])]
    together = np.concatenate([*blocks, resampler.finish()])
    whole = resample(samples, rate, target) if len(samples) else samples
    assert len(together) == len(whole)
    assert np.allclose(together, whole, atol=2e-6)


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"), [(96_000, 2, "PCM_24"), (16_000, 1, "PCM_16"), (44_100, 2, "FLOAT")]
)
def test_a_file_in_blocks_is_the_file(tmp_path: Path, rate: int, channels: int, subtype: str) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (int(2.3 * rate), channels))
    soundfile.write(tmp_path / "sound.wav", sound, rate, subtype=subtype)
    blocks = list(read_blocks(tmp_path / "sound.wav", 16_000, seconds=0.5))
    assert len(blocks) > 3
    assert np.allclose(np.concatenate(blocks), read_audio(tmp_path / "sound.wav", 16_000), atol=2e-6)


def test_what_is_wrong_is_said_when_it_is_reached(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    sound = np.zeros(16_000 * 3)
    sound[40_000] = np.nan
    soundfile.write(path, sound, 16_000, subtype="FLOAT")
    blocks = read_blocks(path, 16_000, seconds=1.0)
    assert len(next(blocks)) == len(next(blocks)) == 16_000
    with pytest.raises(DatasetError, match=r"NaN or infinite samples; where: .*2\.0 to 3\.0 s"):
        next(blocks)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no recording at all", "cannot be read as audio"),
        (b"", "it has no bytes"),
        (None, "there is no such file"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "sound.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        list(read_blocks(path, 16_000))


def test_a_truncated_recording_is_refused_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(DatasetError, match="truncated"):
        list(read_blocks(path, 16_000))
    soundfile.write(path, np.zeros(0), 16_000)
    with pytest.raises(DatasetError, match="empty"):
        list(read_blocks(path, 16_000))
