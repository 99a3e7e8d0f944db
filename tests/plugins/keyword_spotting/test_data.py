"""Clips become splits: no speaker on two sides, nothing lost in silence, the sample learnable and not trivial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from penjing.contract import DataRequest, Splits
from penjing.errors import DataError, RecipeError
from penjing.runner.data_checks import check_splits
from penjing_keyword_spotting.augmentation import DEFAULTS, augment
from penjing_keyword_spotting.baseline import fit_baseline
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.metrics import accuracy, balanced_accuracy, recall_per_class


@pytest.fixture(scope="module")
def sample() -> Splits:
    return load_data(DataRequest(options={"voices": 16}))


def test_the_sample_is_offline_seeded_and_says_that_it_is_synthetic(sample: Splits) -> None:
    again = load_data(DataRequest(options={"voices": 16}))
    assert np.array_equal(sample.train.x, again.train.x) and sample.sha256 == again.sha256
    assert sample.synthetic and "synthetic" in sample.source
    assert sample.labels == ("down", "left", "no", "right", "up", "yes", "_silence_", "_unknown_")
    check_splits(sample, "classification")


def test_no_voice_stands_on_two_sides(sample: Splits) -> None:
    voices = [set(part.groups) for part in (sample.train, sample.validation, sample.test)]
    assert not voices[0] & voices[1] and not voices[0] & voices[2] and not voices[1] & voices[2]


def test_the_sample_is_learnable_and_not_trivial(sample: Splits) -> None:
    baseline = fit_baseline(sample, 0)
    outputs = baseline.predict(sample.test.x)
    assert outputs.shape == (len(sample.test), len(sample.labels))
    assert 0.35 < accuracy(sample.test.y, outputs) < 0.95


def write(path: Path, rate: int = 16_000, seconds: float = 1.0, hertz: float = 300) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(rate * seconds)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * time), rate)


def folder(path: Path, rate: int = 16_000, name: str = "{speaker}_{take}.wav") -> Path:
    for index, word in enumerate(("open", "close")):
        for speaker in range(6):
            for take in range(3):
                write(path / word / name.format(speaker=f"s{speaker}", take=take), rate, hertz=200 + 400 * index)
    return path


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_own_words_at_any_rate_are_split_by_speaker(tmp_path: Path, rate: int) -> None:
    splits = load_data(DataRequest(path=folder(tmp_path / "mine", rate)))
    assert splits.labels == ("close", "open")
    assert splits.train.x.shape[1:] == (49, 40, 1)
    assert "split by speaker" in splits.notes
    assert any("few clips of close (18), open (18)" in note for note in splits.notes)
    assert not splits.synthetic
    check_splits(splits, "classification")


def test_unknown_speakers_are_said_to_be_unknown(tmp_path: Path) -> None:
    splits = load_data(DataRequest(path=folder(tmp_path / "mine", name="{speaker}-{take}.wav")))
    assert splits.train.groups is None
    assert any("speakers are not known" in note for note in splits.notes)


def test_chosen_words_make_the_rest_unknown(tmp_path: Path) -> None:
    splits = load_data(DataRequest(path=folder(tmp_path / "mine"), options={"words": ["open"]}))
    assert splits.labels == ("open", "_unknown_")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"words": ["opne"]}, DataError, "no clips of opne"),
        ({"mel_band": 3}, RecipeError, "did you mean 'mel_bands'"),
        ({"mel_bands": "many"}, RecipeError, "cannot be 'many'"),
        ({"features": "chroma"}, DataError, "unknown features"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, options: dict, kind, message: str) -> None:
    with pytest.raises(kind) as caught:
        load_data(DataRequest(path=folder(tmp_path / "mine"), options=options))
    assert message in str(caught.value)


def test_one_word_alone_is_refused(tmp_path: Path) -> None:
    for speaker in range(5):
        write(tmp_path / f"mine/open/s{speaker}_0.wav")
    with pytest.raises(DataError, match="one class only, 'open'"):
        load_data(DataRequest(path=tmp_path / "mine"))


def test_a_split_with_one_speaker_on_both_sides_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "mine")
    rows = ["path,class,speaker,split"]
    for file in sorted(path.rglob("*.wav")):
        part = ("train", "validation", "test")[int(file.stem[-1])]
        rows.append(f"{file.relative_to(path)},{file.parent.name},{file.stem[:2]},{part}")
    (path / "manifest.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match="6 speakers stand in two parts"):
        load_data(DataRequest(path=path))


def test_the_real_recordings_have_their_counts_and_disjoint_speakers(penjing_data: Path) -> None:
    splits = load_data(DataRequest(path=penjing_data / "keyword_spotting/speech_commands"))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [3000, 574, 647]
    assert len(splits.labels) == 12 and len(splits.extra["background"]) == 6
    check_splits(splits, "classification")


# ------------------------------------------------------------------------------------------------- augmentation


def test_augmentation_depends_on_seed_and_epoch_alone_and_leaves_the_data_as_it_was(sample: Splits) -> None:
    before = sample.train.raw.copy()
    first, y = augment(sample.train, sample, epoch=3, seed=1, options={})
    again, _ = augment(sample.train, sample, epoch=3, seed=1, options={})
    assert np.array_equal(first, again) and np.array_equal(y, sample.train.y)
    assert first.shape == sample.train.x.shape and np.isfinite(first).all()
    for epoch, seed in ((4, 1), (3, 2)):
        assert not np.array_equal(first, augment(sample.train, sample, epoch=epoch, seed=seed, options={})[0])
    assert np.array_equal(sample.train.raw, before)


NOTHING = {name: type(value)(0) for name, value in DEFAULTS.items()}


def test_nothing_switched_on_changes_nothing(sample: Splits) -> None:
    speech = sample.train.y != sample.labels.index("_silence_")  # silence is exchanged for other silence
    x, _ = augment(sample.train, sample, epoch=0, seed=0, options=NOTHING)
    assert np.allclose(x[speech], sample.train.x[speech], atol=1e-4)


@pytest.mark.parametrize(
    ("option", "value"),
    [("shift_milliseconds", 100.0), ("gain_db", 6.0), ("speed", 0.1), ("noise_probability", 1.0)],
)
def test_each_kind_of_augmentation_does_something(sample: Splits, option: str, value: float) -> None:
    x, _ = augment(sample.train, sample, epoch=0, seed=0, options={**NOTHING, option: value, "highest_snr_db": 10.0})
    assert np.abs(x - sample.train.x).mean() > 0.01


def test_masks_hide_whole_frames_and_bands(sample: Splits) -> None:
    options = {**NOTHING, "time_masks": 1, "time_mask_frames": 5, "band_masks": 1, "band_mask_bands": 4}
    x, _ = augment(sample.train, sample, epoch=0, seed=0, options=options)
    hidden_frames = (x == 0).all(axis=(2, 3)).sum(axis=1)
    hidden_bands = (x == 0).all(axis=(1, 3)).sum(axis=1)
    assert 0 < hidden_frames.max() <= 5 and 0 < hidden_bands.max() <= 4


def test_mixup_gives_soft_targets_that_sum_to_one(sample: Splits) -> None:
    _, targets = augment(sample.train, sample, epoch=0, seed=0, options={**NOTHING, "mixup": 0.4})
    assert targets.shape == (len(sample.train), 8)
    assert np.allclose(targets.sum(axis=1), 1, atol=1e-5)
    assert np.mean(targets.argmax(axis=1) == sample.train.y) > 0.9


def test_a_collection_without_background_still_has_noise(sample: Splits) -> None:
    bare = replace(sample, extra={**sample.extra, "background": []})
    x, _ = augment(bare.train, bare, epoch=0, seed=0, options={**NOTHING, "noise_probability": 1.0})
    assert np.isfinite(x).all() and np.abs(x - sample.train.x).mean() > 0.01


# ------------------------------------------------------------------------------------------------------ metrics


def test_recall_counts_each_class_apart() -> None:
    targets = np.array([0, 0, 0, 1, 2, 2])
    outputs = np.eye(3)[[0, 0, 1, 1, 0, 2]]
    assert accuracy(targets, outputs) == pytest.approx(4 / 6)
    assert recall_per_class(targets, outputs) == pytest.approx({0: 2 / 3, 1: 1.0, 2: 0.5})
    assert balanced_accuracy(targets, outputs) == pytest.approx((2 / 3 + 1 + 0.5) / 3)
