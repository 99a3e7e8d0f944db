"""Any folder with a folder a word works, says what it cannot tell, and names what it left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from penjing.contract import DataRequest, Splits
from penjing.errors import DataError
from penjing.runner.data_checks import check_splits
from penjing_datasets.audio import resample
from penjing_keyword_spotting.data import load_data

Words = dict[str, dict[str, np.ndarray]]


def arranged(
    folder: Path, words: Words, *, each: int | dict[str, int] = 20, rate: int | dict[str, int] = 16_000
) -> Path:
    """The first clips of each word in a folder of its own, at a rate."""
    for word, clips in words.items():
        (folder / word).mkdir(parents=True, exist_ok=True)
        count = each[word] if isinstance(each, dict) else each
        hertz = rate[word] if isinstance(rate, dict) else rate
        for name, samples in list(clips.items())[:count]:
            soundfile.write(folder / word / name, resample(samples, 16_000, hertz), hertz, subtype="PCM_16")
    return folder


def load(folder: Path, **options: object) -> Splits:
    splits = load_data(DataRequest(path=folder, options=options))
    check_splits(splits, "classification")
    return splits


def noted(splits: Splits, *parts: str) -> bool:
    return any(all(part in note for part in parts) for note in splits.notes)


# ------------------------------------------------------------------------------------------------- rates and sizes


def test_twenty_clips_a_word_at_8_khz_are_taken_as_they_are(real_words: Words, tmp_path: Path) -> None:
    splits = load(arranged(tmp_path / "mine", real_words, rate=8_000))
    front_end = splits.extra["front_end"]
    assert (front_end.sample_rate, front_end.clip_samples) == (8_000, 8_000)
    assert front_end.high_hz == 3_800 and front_end.problem is None
    assert splits.train.x.shape[1:] == (49, 40, 1)
    assert noted(splits, "8,000 Hz (80 clips)") and noted(splits, "split by speaker")
    # One of ten would be eight clips for test: a fifth is kept.
    assert len(splits.test) >= 14 and len(splits.validation) >= 10
    assert noted(splits, "few clips of go (20), no (20), stop (20), yes (20)", "the 95 % interval is")


def test_the_interval_that_few_clips_allow_is_said_in_figures(real_words: Words, tmp_path: Path) -> None:
    splits = load(arranged(tmp_path / "mine", real_words))
    note = next(note for note in splits.notes if note.startswith("few clips"))
    assert f"The test part has {len(splits.test)} clips" in note
    low = int(note.split("the 95 % interval is ")[1].split("%")[0])
    assert 50 < low < 85  # Wilson, nine of ten of about sixteen


def test_low_and_high_rates_together_get_bands_that_both_have(real_words: Words, tmp_path: Path) -> None:
    rates = {"yes": 8_000, "no": 16_000, "stop": 44_100, "go": 16_000}
    splits = load(arranged(tmp_path / "mine", real_words, rate=rates))
    front_end = splits.extra["front_end"]
    assert front_end.sample_rate == 16_000 and front_end.high_hz == 3_800
    assert noted(splits, "mixed sample rates: 8,000 Hz (20 clips), 16,000 Hz (40 clips), 44,100 Hz (20 clips)")
    assert noted(splits, "hold nothing above 4,000 Hz", "cannot give the word away")


def test_rates_that_are_all_high_enough_keep_all_bands(real_words: Words, tmp_path: Path) -> None:
    rates = {"yes": 48_000, "no": 16_000, "stop": 44_100, "go": 16_000}
    splits = load(arranged(tmp_path / "mine", real_words, rate=rates))
    assert splits.extra["front_end"].high_hz == 7_600
    assert noted(splits, "mixed sample rates") and not noted(splits, "give the word away")


def test_a_rate_that_is_asked_for_is_taken(real_words: Words, tmp_path: Path) -> None:
    splits = load(arranged(tmp_path / "mine", real_words, rate=8_000), sample_rate=16_000)
    assert splits.extra["front_end"].sample_rate == 16_000
    with pytest.raises(DataError, match="sample_rate cannot be 100"):
        load(tmp_path / "mine", sample_rate=100)


def test_unbalanced_words_are_said_to_be(real_words: Words, tmp_path: Path) -> None:
    splits = load(arranged(tmp_path / "mine", real_words, each={"yes": 40, "no": 40, "stop": 40, "go": 10}))
    assert noted(splits, "unbalanced, 10 clips of go to 40", "balanced_accuracy")
    assert all((part.y == splits.labels.index("go")).any() for part in (splits.train, splits.validation, splits.test))


# ------------------------------------------------------------------------------------------- silence and other words


def test_without_silence_and_other_words_it_says_what_the_model_cannot_tell(real_words: Words, tmp_path: Path) -> None:
    splits = load(arranged(tmp_path / "mine", real_words))
    assert splits.labels == ("go", "no", "stop", "yes")
    assert noted(splits, "no class _silence_", "a word for every noise", "_background_noise_ would give one")
    assert noted(splits, "no class _unknown_", "every other word that is said")


def test_background_noise_gives_silence_and_each_part_its_own_time(real_words: Words, tmp_path: Path) -> None:
    folder = arranged(tmp_path / "mine", real_words, rate=8_000)
    (folder / "_background_noise_").mkdir()
    hum = 0.05 * np.random.default_rng(0).standard_normal(20 * 8_000)
    soundfile.write(folder / "_background_noise_/hum.wav", hum, 8_000)
    splits = load(folder)
    assert splits.labels == ("go", "no", "stop", "yes", "_silence_")
    silent = [int(np.sum(part.y == 4)) for part in (splits.train, splits.validation, splits.test)]
    assert all(count > 0 for count in silent) and 15 <= sum(silent) <= 25
    assert not noted(splits, "no class _silence_")
    settings = splits.extra["stream"]
    assert [len(settings.background[part][0]) / 8_000 for part in ("train", "validation", "test")] == [12, 4, 4]


def test_a_folder_unknown_is_no_word(real_words: Words, tmp_path: Path) -> None:
    words = {("_unknown_" if word == "go" else word): clips for word, clips in real_words.items()}
    splits = load(arranged(tmp_path / "mine", words))
    assert splits.labels == ("no", "stop", "yes", "_unknown_")
    assert not noted(splits, "no class _unknown_")


# ------------------------------------------------------------------------------------------------------ speakers


def test_speakers_come_from_the_names_of_speech_commands(real_words: Words, tmp_path: Path) -> None:
    splits = load(arranged(tmp_path / "mine", real_words))
    assert set(splits.test.groups) == {name.rsplit("/", 1)[-1].split("_nohash_")[0] for name in splits.test.ids}
    assert not set(splits.train.groups) & set(splits.test.groups)


def test_names_that_say_nothing_leave_speakers_unknown(real_words: Words, tmp_path: Path) -> None:
    numbered = {
        word: {f"recording-{n}.wav": clip for n, clip in enumerate(clips.values())}
        for word, clips in real_words.items()
    }
    splits = load(arranged(tmp_path / "mine", numbered))
    assert splits.train.groups is None and noted(splits, "speakers are not known", "too good for new speakers")


# ---------------------------------------------------------------------------------------------- the same recording


def test_a_copy_in_another_part_is_left_out_and_named(real_words: Words, tmp_path: Path) -> None:
    folder = arranged(tmp_path / "mine", real_words)
    original = load(folder)
    tested = original.test.ids[0]
    word = tested.split("/")[0]
    samples, rate = soundfile.read(folder / tested)
    names = {part: getattr(original, part).groups[0] for part in ("train", "validation")}
    for speaker in names.values():  # the same samples, by another speaker's name, in another format
        soundfile.write(folder / word / f"{speaker}_nohash_9.flac", samples, rate)
    splits = load(folder)
    assert noted(splits, "1 recordings occur, sample for sample, in two parts", tested, "2 clips were left out")
    assert list(splits.test.ids) == list(original.test.ids)
    assert not any(name.endswith(".flac") for part in (splits.train, splits.validation) for name in part.ids)


def test_a_copy_in_a_split_that_is_given_is_only_reported(real_words: Words, tmp_path: Path) -> None:
    words = {
        word: {f"take-{n}.wav": clip for n, clip in enumerate(clips.values())} for word, clips in real_words.items()
    }
    folder = arranged(tmp_path / "mine", words, each=10)
    clip = sorted((folder / "yes").iterdir())[0]
    (folder / "yes/copy.wav").write_bytes(clip.read_bytes())
    rows = ["path,class,split"]
    for number, file in enumerate(sorted(folder.rglob("*.wav"))):
        part = "test" if file.name == "copy.wav" else ("train", "train", "validation", "test")[number % 4]
        part = "train" if file == clip else part
        rows.append(f"{file.relative_to(folder)},{file.parent.name},{part}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    splits = load(folder)
    assert noted(splits, "1 recordings occur, sample for sample, in two parts", "was left as it is")
    assert sum(len(part) for part in (splits.train, splits.validation, splits.test)) == 41


def test_a_recording_under_two_words_is_named(real_words: Words, tmp_path: Path) -> None:
    folder = arranged(tmp_path / "mine", real_words)
    first = sorted((folder / "yes").iterdir())[0]
    (folder / "no" / first.name).write_bytes(first.read_bytes())
    splits = load(folder)
    assert noted(splits, "1 recordings occur under two words", f"no/{first.name} = yes/{first.name}")


# ------------------------------------------------------------------------------------------------------- bad input


def truncated(path: Path, samples: np.ndarray) -> None:
    soundfile.write(path, samples, 16_000)
    path.write_bytes(path.read_bytes()[:9_000])


def not_a_number(path: Path, samples: np.ndarray) -> None:
    samples = samples.copy()
    samples[100] = np.nan
    soundfile.write(path, samples, 16_000, subtype="FLOAT")


BROKEN: dict[str, Callable[[Path, np.ndarray], object]] = {
    "the recording is truncated": truncated,
    "the recording is empty": lambda path, _: soundfile.write(path, np.zeros(0), 16_000),
    "NaN or infinite": not_a_number,
    "cannot be read as audio": lambda path, _: path.write_text("this is text"),
    "it has no bytes": lambda path, _: path.write_bytes(b""),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_clip_is_named_and_counted(message: str, real_words: Words, tmp_path: Path) -> None:
    folder = arranged(tmp_path / "mine", real_words)
    path = folder / "yes/broken_nohash_0.wav"
    BROKEN[message](path, next(iter(real_words["yes"].values())))
    splits = load(folder)
    assert noted(splits, "1 broken files skipped: yes/broken_nohash_0.wav", message)


def test_a_clip_that_may_not_be_read_is_named_and_counted(
    real_words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = arranged(tmp_path / "mine", real_words)
    locked = sorted((folder / "yes").iterdir())[0]
    locked.chmod(0)
    if os.geteuid() == 0:  # root reads it all the same
        read = Path.read_bytes

        def refused(path: Path) -> bytes:
            if path == locked:
                raise PermissionError(13, "Permission denied", str(path))
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", refused)
    splits = load(folder)
    assert noted(splits, f"1 broken files skipped: yes/{locked.name}: Permission denied")


def test_studio_recordings_work(real_words: Words, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for word, clips in real_words.items():
        (folder / word).mkdir(parents=True)
        for name, samples in list(clips.items())[:20]:
            high = resample(samples, 16_000, 96_000)
            soundfile.write(folder / word / name, np.stack([high, 0.5 * high], axis=1), 96_000, subtype="PCM_24")
    splits = load(folder)
    plain = load(arranged(tmp_path / "plain", real_words))
    assert splits.extra["front_end"].sample_rate == 16_000 and list(splits.test.ids) == list(plain.test.ids)
    # Both channels averaged: three quarters of the samples' size.
    assert np.allclose(splits.test.raw[:, 200:-200], 0.75 * plain.test.raw[:, 200:-200], atol=2e-2)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda folder: None, "there are no clips"),
        (lambda folder: (folder / "notes.txt").write_text("nothing"), "there are no clips"),
        (lambda folder: (folder / "yes").mkdir(), "there are no clips"),
    ],
)
def test_a_folder_without_recordings_is_refused(made: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    made(folder)
    with pytest.raises(DataError, match=message):
        load_data(DataRequest(path=folder))


def test_one_word_alone_is_refused_with_what_to_do(real_words: Words, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)one class only, 'yes'.*add clips of other words") as caught:
        load(arranged(tmp_path / "mine", {"yes": real_words["yes"]}))
    assert str(tmp_path / "mine") in str(caught.value)


def test_too_many_broken_clips_are_refused_and_named(real_words: Words, tmp_path: Path) -> None:
    folder = arranged(tmp_path / "mine", real_words)
    for number in range(10):
        (folder / f"yes/broken_nohash_{number}.wav").write_text("this is text")
    with pytest.raises(DataError, match=r"10 of 90 files are broken, more than 5%"):
        load(folder)
