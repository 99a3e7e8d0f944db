"""Predicting asks for something to predict from, and says what it cannot do."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile

from penjing.contract import PredictRequest
from penjing.errors import DataError, MissingExtraError, UsageError
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.microphone import listen
from penjing_keyword_spotting.predict import decoding_of, predict
from penjing_keyword_spotting.streaming import Decoding

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


def test_a_recording_of_an_hour_is_heard_in_little_memory(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 8_000, 1) as file:
        block = np.random.default_rng(0).normal(0, 0.2, 8_000)
        for second in range(900):
            file.write(block if second % 300 == 100 else np.zeros(8_000))
    tracemalloc.start()
    found = rows(tmp_path / "hour.wav", stream=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row["word"], 0.2 < row["seconds"] - at < 1.5) for row, at in zip(found, (100, 400, 700), strict=True)] == [
        ("yes", True)
    ] * 3
    assert peak < 16e6  # a quarter of an hour at 16 kHz alone would be 58 MB


def test_of_several_files_one_that_is_broken_is_named_and_the_others_are_heard(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no recording")
    clip = recording(tmp_path / "clip.wav", 0.0, seconds=1.0)
    found = rows(tmp_path / "text.wav", clip, top=1)
    assert [row.get("word") for row in found] == [None, "yes"]
    assert "cannot be read as audio" in found[0]["problem"] and found[0]["file"].endswith("text.wav")


def test_the_bundles_own_operating_point_decides_on_a_stream() -> None:
    entries = {
        "stream[threshold]": SimpleNamespace(estimate=0.93),
        "stream[smoothed_looks]": SimpleNamespace(estimate=7),
    }
    bundle = SimpleNamespace(manifest=SimpleNamespace(metrics=entries))
    assert decoding_of(bundle) == Decoding(threshold=0.93, smoothed=7)
    assert decoding_of(bundle, 0.5) == Decoding(threshold=0.5, smoothed=7)
    assert decoding_of(SimpleNamespace(manifest=SimpleNamespace(metrics={}))) == Decoding()


# ----------------------------------------------------------------------------------------------------- microphone


class PortAudioError(Exception):
    """As sounddevice's."""


def sound_card(samples: np.ndarray, rates: tuple[int, ...], overflow_at: int = -1) -> ModuleType:
    """A module in place of sounddevice, with one device that plays these samples. What the code under test calls has
    the signatures of sounddevice 0.5."""
    module = ModuleType("sounddevice")
    opened: list[dict] = []

    class InputStream:
        def __init__(self, samplerate=None, blocksize=None, device=None, channels=None, dtype=None) -> None:
            opened.append({"samplerate": samplerate, "device": device, "open": False})
            self.place, self.reads = 0, 0

        def __enter__(self) -> InputStream:
            opened[-1]["open"] = True
            return self

        def __exit__(self, *_: object) -> None:
            opened[-1]["open"] = False

        def read(self, frames: int) -> tuple[np.ndarray, bool]:
            if self.place >= len(samples):
                raise KeyboardInterrupt
            block = samples[self.place : self.place + frames, None]
            self.place, self.reads = self.place + frames, self.reads + 1
            return block.astype(np.float32), self.reads == overflow_at

    def check_input_settings(device=None, channels=None, dtype=None, samplerate=None) -> None:
        if device == "none":
            raise ValueError("No input device matching 'none'")
        if samplerate not in rates:
            raise PortAudioError("Invalid sample rate")

    module.InputStream, module.PortAudioError = InputStream, PortAudioError
    module.check_input_settings = check_input_settings
    module.query_devices = lambda device=None, kind=None: {"default_samplerate": float(rates[0])}
    module.opened = opened
    return module


def played(rate: int) -> np.ndarray:
    samples = np.zeros(10 * rate)
    samples[4 * rate : 5 * rate] = np.random.default_rng(0).normal(0, 0.2, rate)
    return samples


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_microphone_gives_words_as_they_are_said(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    card = sound_card(played(rate), rates=(rate,))
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    found = predict(PredictRequest(bundle=LoudnessModel(), inputs=(), options={"microphone": True}))
    first = next(found)
    assert first["word"] == "yes" and 4 < first["seconds"] < 5.5
    assert card.opened == [{"samplerate": rate, "device": None, "open": True}]
    with pytest.raises(KeyboardInterrupt):
        list(found)
    assert not card.opened[0]["open"]


def test_listening_ends_after_the_seconds_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", sound_card(played(16_000), rates=(16_000,)))
    assert sum(map(len, listen(16_000, seconds=2.25))) == 36_000


def test_lost_sound_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", sound_card(played(16_000), rates=(16_000,), overflow_at=3))
    list(listen(16_000, seconds=5))
    assert [record.message for record in caplog.records] == ["the machine is too slow for this: sound was lost"]


def test_a_microphone_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", sound_card(played(16_000), rates=(16_000,)))
    with pytest.raises(UsageError, match="'none' cannot be opened"):
        rows(microphone=True, device="none")


def test_without_sounddevice_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=r"penjing-keyword-spotting\[microphone\]"):
        rows(microphone=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"microphone": True, "seconds": -1.0}, "--seconds cannot be"),
        ({"seconds": 3.0}, "--seconds is for --microphone"),
        ({"device": "usb"}, "--device is for --microphone"),
    ],
)
def test_options_of_the_microphone_that_mean_nothing_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    files = [] if options.get("microphone") else [recording(tmp_path / "clip.wav", 0.0, seconds=1.0)]
    with pytest.raises(UsageError, match=message):
        rows(*files, **options)


def test_files_and_a_microphone_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not go together"):
        rows(recording(tmp_path / "clip.wav", 0.0, seconds=1.0), microphone=True)
