"""Predicting asks for something to predict from, and says what it cannot do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.predict import predict

LABELS = ("no", "yes", "_silence_")


class LoudnessModel:
    """A model that can be told by heart: "yes" for what is loud, silence for the rest. Tests of whole runs, in
    tests/end_to_end, predict with real bundles."""

    labels = LABELS
    preprocessing = FrontEnd().to_json()
    manifest = SimpleNamespace(metrics={})

    def predict(self, x: np.ndarray) -> np.ndarray:
        loud = x.mean(axis=(1, 2, 3)) > -6
        return np.where(loud[:, None], [0.04, 0.95, 0.01], [0.1, 0.1, 0.8])


def rows(*inputs: Path, **options) -> list[dict]:
    request = PredictRequest(bundle=LoudnessModel(), inputs=tuple(map(str, inputs)), options=options)
    return list(predict(request))


def recording(path: Path, *words_at: float, seconds: float, rate: int = 44_100) -> Path:
    samples = np.zeros(int(seconds * rate))
    for start in words_at:
        place = int(start * rate)
        samples[place : place + rate] = np.random.default_rng(0).normal(0, 0.2, len(samples[place : place + rate]))
    soundfile.write(path, np.stack([samples, samples], axis=1), rate)
    return path


def test_a_clip_has_its_likeliest_words_first(tmp_path: Path) -> None:
    clip = recording(tmp_path / "clip.flac", 0.0, seconds=1.0)
    assert [(row["rank"], row["word"], row["probability"]) for row in rows(clip, top=2)] == [
        (1, "yes", 0.95),
        (2, "no", 0.04),
    ]
    assert [row["word"] for row in rows(clip, top=9)] == ["yes", "no", "_silence_"]


def test_a_stream_has_each_word_once_with_its_time(tmp_path: Path) -> None:
    found = rows(recording(tmp_path / "long.wav", 3.0, 8.0, seconds=12.0), stream=True)
    assert [row["word"] for row in found] == ["yes", "yes"]
    for row, start in zip(found, (3.0, 8.0), strict=True):
        assert start < row["seconds"] <= start + 1.3


def test_a_word_in_half_a_second_is_found_on_a_stream_too(tmp_path: Path) -> None:
    found = rows(recording(tmp_path / "short.wav", 0.0, seconds=0.7), stream=True)
    assert [row["word"] for row in found] == ["yes"]


@pytest.mark.parametrize("top", [0, -1])
def test_no_words_at_all_cannot_be_asked_for(tmp_path: Path, top: int) -> None:
    with pytest.raises(UsageError, match="--top cannot be"):
        rows(recording(tmp_path / "clip.wav", 0.0, seconds=1.0), top=top)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -2.0, float("nan")])
def test_a_threshold_is_a_probability(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(UsageError, match="--threshold cannot be"):
        rows(recording(tmp_path / "clip.wav", 0.0, seconds=1.0), stream=True, threshold=threshold)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to recognise"):
        rows()
    (tmp_path / "text.wav").write_text("no recording")
    with pytest.raises(DataError, match="cannot be read as audio"):
        rows(tmp_path / "text.wav")
