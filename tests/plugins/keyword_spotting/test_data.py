"""Clips become splits: no speaker on two sides, nothing lost in silence, the sample learnable and not trivial."""

from __future__ import annotations

import zlib
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
    own = np.random.default_rng(zlib.crc32(f"{path.parent.name}/{path.name}".encode())).normal(0, 0.01, len(time))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * time) + own, rate)


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
    assert "split by speaker: 6 speakers" in splits.notes
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
        ({"mel_bands": 0}, RecipeError, "it is from 4 to 256"),
        ({"words": [3]}, RecipeError, "cannot be [3]"),
        ({"hop_milliseconds": 0.0}, RecipeError, "it is from 1 to 500"),
        ({"hop_milliseconds": 40.0}, DataError, "nor further apart than they are long"),
        ({"clip_seconds": 0.1, "frame_milliseconds": 200.0}, DataError, "must not be longer than the clip"),
        ({"high_hz": 9_000.0}, DataError, "not from 20 to 9000 Hz"),
        ({"low_hz": 7_700.0}, DataError, "not from 7700 to 7600 Hz"),
        ({"mel_bands": 256}, DataError, "mel bands are narrower than the spectrum's resolution"),
        ({"features": "mfcc", "coefficients": 41}, DataError, "40 bands cannot give 41"),
        ({"max_broken_share": 1.5}, RecipeError, "it is from 0 to 1"),
        ({"features": "chroma"}, DataError, "unknown features"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, options: dict, kind, message: str) -> None:
    with pytest.raises(kind) as caught:
        load_data(DataRequest(path=folder(tmp_path / "mine"), options=options))
    assert message in str(caught.value)


@pytest.mark.parametrize("voices", [0, 2])
def test_a_sample_of_too_few_voices_is_refused(voices: int) -> None:
    with pytest.raises(RecipeError, match="it is from 3 to"):
        load_data(DataRequest(options={"voices": voices}))


def test_one_persons_own_words_can_be_used_and_the_notes_say_what_that_means(tmp_path: Path) -> None:
    for index, word in enumerate(("open", "close")):
        for take in range(20):
            write(tmp_path / f"mine/{word}/ann_nohash_{take}.wav", hertz=200 + 400 * index)
    splits = load_data(DataRequest(path=tmp_path / "mine"))
    assert splits.train.groups is None
    assert any("fewer than three speakers" in note for note in splits.notes)
    check_splits(splits, "classification")


WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
OTHERS = ("bed", "bird", "cat", "dog", "eight", "five", "four", "happy", "house", "nine", "one", "seven")


def hashed(path: Path, background_seconds: float) -> Path:
    """The layout of the whole of Speech Commands: ten speakers, two takes of 22 words, lists for the split."""
    generator = np.random.default_rng(0)
    lists: dict[str, list[str]] = {"validation": [], "testing": []}
    for word in WORDS + OTHERS:
        (path / word).mkdir(parents=True)
        for speaker in range(10):
            for take in range(2):
                name = f"{word}/{speaker:08x}_nohash_{take}.wav"
                soundfile.write(path / name, generator.normal(0, 0.1, 16_000), 16_000)
                if speaker >= 8:
                    lists["validation" if speaker == 8 else "testing"].append(name)
    for part, names in lists.items():
        (path / f"{part}_list.txt").write_text("\n".join(names))
    (path / "_background_noise_").mkdir()
    ramp = np.linspace(0.1, 0.9, int(16_000 * background_seconds))
    soundfile.write(path / "_background_noise_/ramp.wav", ramp, 16_000, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hashed(tmp_path_factory.mktemp("whole") / "speech_commands", background_seconds=40)


def test_the_whole_of_speech_commands_becomes_the_fields_12_classes(whole: Path) -> None:
    splits = load_data(DataRequest(path=whole))
    assert splits.labels == (*sorted(WORDS), "_silence_", "_unknown_")
    # As many clips of _silence_ and about as many of _unknown_ as of a word, in every part that the lists make.
    for part, each in ((splits.train, 16), (splits.validation, 2), (splits.test, 2)):
        counts = dict(zip(splits.labels, np.bincount(part.y, minlength=12), strict=True))
        assert all(counts[word] == each for word in WORDS) and counts["_silence_"] == each
    parts = (splits.train, splits.validation, splits.test)
    assert sum(int((part.y == 11).sum()) for part in parts) == 20
    check_splits(splits, "classification")


def test_silence_of_one_part_shares_no_sample_with_another_or_with_augmentation(whole: Path) -> None:
    splits = load_data(DataRequest(path=whole))
    (background,) = splits.extra["background"]

    # The recording is a rising ramp of one level a moment. A clip scales it by one factor; the slope against the value
    # undoes that and tells the clip's place in time.
    def places(part) -> tuple[float, float]:
        clips = part.raw[part.y == splits.labels.index("_silence_")].astype(np.float64)
        slope = (clips[:, -1] - clips[:, 0]) / 15_999
        starts = clips[:, 0] / slope - 0.1 / (0.8 / (40 * 16_000 - 1))
        return starts.min(), starts.max() + 16_000

    ends = [places(part) for part in (splits.train, splits.validation, splits.test)]
    samples = 40 * 16_000
    assert len(background) == 0.6 * samples
    assert ends[0][1] <= 0.6 * samples + 20 and ends[1][0] >= 0.6 * samples - 20
    assert ends[1][1] <= 0.8 * samples + 20 and ends[2][0] >= 0.8 * samples - 20


def test_which_other_words_are_unknown_depends_on_the_seed_alone(whole: Path) -> None:
    def unknown(seed: int, **options: float) -> list[str]:
        splits = load_data(DataRequest(path=whole, seed=seed, options=options))
        return [name for name, y in zip(splits.train.ids, splits.train.y, strict=True) if y == 11]

    assert unknown(0) == unknown(0) != unknown(1)
    assert len(unknown(0, unknown_ratio=0.0)) == 16 * len(OTHERS)


def test_without_a_long_recording_there_is_no_silence_and_a_note(tmp_path: Path) -> None:
    splits = load_data(DataRequest(path=hashed(tmp_path / "speech_commands", background_seconds=5)))
    assert "_silence_" not in splits.labels
    assert any("there is no class _silence_" in note for note in splits.notes)


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


@pytest.mark.parametrize(
    "options",
    [
        {"shift_milliseconds": -1.0},
        {"noise_probability": 2.0},
        {"gain_db": -3.0},
        {"time_masks": -1},
        {"time_mask_frames": -3},
        {"speed": 2.0},
        {"mixup": -1.0},
        {"lowest_snr_db": 20.0, "highest_snr_db": 10.0},
        {"shfit_milliseconds": 1.0},
    ],
)
def test_augmentation_that_means_nothing_is_refused(sample: Splits, options: dict) -> None:
    with pytest.raises(RecipeError, match=r"\[augment\]"):
        augment(sample.train, sample, epoch=0, seed=0, options=options)


@pytest.mark.parametrize("options", [{}, {"speed": 0.1, "mixup": 0.2}])
def test_augmentation_does_not_depend_on_the_size_of_its_blocks(
    sample: Splits, options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = augment(sample.train, sample, epoch=1, seed=0, options=options)
    monkeypatch.setattr("penjing_keyword_spotting.augmentation.BLOCK", 100)
    assert np.allclose(augment(sample.train, sample, epoch=1, seed=0, options=options)[0], whole, atol=1e-4)


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
