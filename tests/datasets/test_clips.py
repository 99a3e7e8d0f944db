"""Clips in folders and archives, with or without manifest; what is broken is counted, what is unsafe refused."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from penjing_datasets.clips import clip_classes, clip_rates, read_clips
from penjing_datasets.errors import DatasetError
from penjing_datasets.speech_synthesis import generate_speech
from penjing_datasets.splits import PARTS, refuse_overlap, split_by_class, split_by_group


def write_clip(path: Path, value: float = 0.1, rate: int = 16_000, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(int(rate * seconds), value), rate)


def read(path: Path, **options):
    return read_clips(path, sample_rate=16_000, length=16_000, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for word in ("yes", "no"):
        for speaker in ("ann", "bob", "cy", "dee"):
            for take in range(2):
                write_clip(tmp_path / f"clips/{word}/{speaker}_nohash_{take}.wav")
    write_clip(tmp_path / "clips/_background_noise_/hum.wav", seconds=3)
    (tmp_path / "clips/README.md").write_text("notes")
    return tmp_path / "clips"


def pack(folder: Path, path: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.add(file, file.relative_to(folder))
    return path


def test_a_folder_a_word_with_speakers_in_the_names(folder: Path) -> None:
    clips = read(folder)
    assert clips.waveforms.shape == (16, 16_000)
    assert sorted(set(clips.classes)) == ["no", "yes"]
    assert sorted(set(clips.speakers)) == ["ann", "bob", "cy", "dee"]
    assert len(clips.background) == 1 and len(clips.background[0]) == 48_000
    assert clips.parts is None and clips.notes == ()


@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")])
def test_an_archive_is_the_same_as_its_folder(folder: Path, tmp_path: Path, suffix: str, mode: str) -> None:
    archive = pack(folder, tmp_path / f"clips.{suffix}", mode)
    direct, packed = read(folder), read(archive)
    assert packed.ids == direct.ids
    assert np.array_equal(packed.waveforms, direct.waveforms)
    assert packed.sha256 == direct.sha256


def test_a_manifest_beside_the_archive_decides_class_speaker_and_split(folder: Path, tmp_path: Path) -> None:
    rows = ["path,class,speaker,split"]
    for index, part in enumerate(PARTS):
        rows.append(f"yes/{('ann', 'bob', 'cy')[index]}_nohash_0.wav,word,speaker-{index},{part}")
    place = tmp_path / "with-manifest"
    place.mkdir()
    pack(folder, place / "clips.tar.gz", "w:gz")
    (place / "manifest.csv").write_text("\n".join(rows))
    clips = read(place)
    assert clips.classes.tolist() == ["word"] * 3
    assert clips.parts.tolist() == ["train", "validation", "test"]
    assert clips.speakers.tolist() == ["speaker-0", "speaker-1", "speaker-2"]
    assert "13 files are no clips of the collection" in clips.notes[0]


def test_speech_commands_lists_are_the_split(folder: Path) -> None:
    (folder / "validation_list.txt").write_text("yes/bob_nohash_0.wav\nyes/bob_nohash_1.wav\n")
    (folder / "testing_list.txt").write_text("no/cy_nohash_0.wav\n")
    clips = read(folder)
    parts = dict(zip(clips.ids, clips.parts, strict=True))
    assert parts["yes/bob_nohash_1.wav"] == "validation"
    assert parts["no/cy_nohash_0.wav"] == "test"
    assert parts["no/ann_nohash_0.wav"] == "train"


def test_rates_and_lengths_are_made_equal(tmp_path: Path) -> None:
    write_clip(tmp_path / "yes/a_1.wav", rate=8_000, seconds=0.5)
    write_clip(tmp_path / "no/b_1.flac", rate=48_000, seconds=2.5)
    assert read(tmp_path).waveforms.shape == (2, 16_000)


def test_broken_files_are_named_and_counted_up_to_a_share(folder: Path) -> None:
    (folder / "yes/eve_nohash_0.wav").write_text("no recording")
    clips = read(folder, max_broken_share=0.1)
    assert len(clips.ids) == 16
    assert "1 broken files skipped: yes/eve_nohash_0.wav: the file cannot be read as audio" in clips.notes[0]
    with pytest.raises(DatasetError) as caught:
        read(folder, max_broken_share=0.05)
    assert "1 of 17 files are broken, more than 5%" in str(caught.value)
    assert "eve_nohash_0.wav" in (caught.value.why or "")


def test_a_broken_background_recording_is_named_and_the_clips_stay(folder: Path) -> None:
    (folder / "_background_noise_/tap.wav").write_text("no recording")
    clips = read(folder)
    assert len(clips.ids) == 16 and len(clips.background) == 1
    assert "1 broken background recordings skipped: _background_noise_/tap.wav" in clips.notes[0]


def test_hidden_files_are_no_clips(folder: Path, tmp_path: Path) -> None:
    for speaker in ("ann", "bob", "cy", "dee"):
        (folder / f"yes/._{speaker}_nohash_0.wav").write_bytes(b"resource fork")
        (folder / "__MACOSX").mkdir(exist_ok=True)
        (folder / f"__MACOSX/{speaker}_nohash_0.wav").write_bytes(b"resource fork")
    assert len(read(folder).ids) == len(read(pack(folder, tmp_path / "clips.tar", "w")).ids) == 16


def test_the_hash_is_of_the_content_however_it_is_packed_and_of_nothing_less(folder: Path, tmp_path: Path) -> None:
    files = sorted((p for p in folder.rglob("*") if p.is_file()), reverse=True)
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        for file in files:
            archive.add(file, f"./inside/{file.relative_to(folder)}")
    before = read(folder).sha256
    assert read(tmp_path / "other.tar").sha256 == before
    write_clip(folder / "_background_noise_/hum.wav", value=0.2, seconds=3)
    noisier = read(folder).sha256
    (folder / "testing_list.txt").write_text("no/cy_nohash_0.wav\n")
    assert len({before, noisier, read(folder).sha256}) == 3


@pytest.mark.parametrize("name", ["{word}_{number}.wav", "recording_{number}.wav", "ann_{number}.wav"])
def test_a_name_that_says_one_word_only_or_stands_alone_is_not_taken_for_speakers(tmp_path: Path, name: str) -> None:
    for word in ("yes", "no", "up"):
        for number in range(2):
            write_clip(tmp_path / word / name.format(word=word, number=number))
    clips = read(tmp_path)
    assert clips.speakers is None
    assert "were not taken for names of speakers" in clips.notes[0]


def test_classes_are_known_before_anything_is_decoded_and_some_clips_can_be_chosen(folder: Path) -> None:
    (folder / "no/eve_nohash_0.wav").write_text("not decoded, so not noticed")
    classes = clip_classes(folder)
    assert len(classes) == 17 and classes["yes/ann_nohash_0.wav"] == "yes"
    chosen = [path for path in classes if path.startswith("yes/")]
    clips = read(folder, only=chosen)
    assert clips.ids == sorted(chosen) and clips.notes == ()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_nothing_there_is_said_so(tmp_path: Path, make) -> None:
    make(tmp_path / "empty")
    with pytest.raises(DatasetError, match=r"there (is|are) no"):
        read(tmp_path / "empty")


def test_a_file_that_the_manifest_names_and_that_is_not_there_counts_as_broken(folder: Path) -> None:
    rows = ["path,class", *(f"{file.relative_to(folder)},{file.parent.name}" for file in folder.rglob("*_nohash_*"))]
    (folder / "manifest.csv").write_text("\n".join([*rows, "yes/eve_nohash_0.wav,yes"]))
    clips = read(folder, max_broken_share=0.1)
    assert "yes/eve_nohash_0.wav: named in manifest.csv and not there" in clips.notes[0]
    # The manifest has no column for speakers, so Speech Commands' file names tell.
    assert sorted(set(clips.speakers)) == ["ann", "bob", "cy", "dee"]
    with pytest.raises(DatasetError, match="1 of 17 files are broken"):
        read(folder, max_broken_share=0.05)


def test_a_manifest_of_another_collection_is_said_to_be_so(folder: Path) -> None:
    (folder / "manifest.csv").write_text("path,class\nother/a.wav,yes\n")
    with pytest.raises(DatasetError, match=r"manifest\.csv names none of the files"):
        read(folder)


# ------------------------------------------------------------------------------------------------------- splits


def test_groups_stay_together_and_the_order_of_examples_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 60, 2000).astype(str)
    parts = split_by_group(groups, seed=1)
    refuse_overlap(parts, groups, "speaker")
    shares = {part: np.mean(parts == part) for part in PARTS}
    assert shares["train"] == pytest.approx(0.8, abs=0.04)
    assert shares["validation"] == pytest.approx(0.1, abs=0.03)
    order = generator.permutation(2000)
    assert np.array_equal(split_by_group(groups[order], seed=1), parts[order])
    assert not np.array_equal(split_by_group(groups, seed=2), parts)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_few_groups_still_fill_every_part(count: int) -> None:
    parts = split_by_group(np.repeat(np.arange(count), 10).astype(str))
    assert set(parts) == set(PARTS)


def test_two_groups_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match="2 groups cannot fill"):
        split_by_group(["a", "b", "a"])


def test_an_overlap_is_refused_with_the_group_that_overlaps() -> None:
    with pytest.raises(DatasetError, match="speaker 'ann' in train and test"):
        refuse_overlap(["train", "test", "test"], ["ann", "ann", "bob"], "speaker")


def test_examples_without_groups_are_split_class_by_class() -> None:
    classes = ["a"] * 50 + ["b"] * 10
    parts = split_by_class(classes, [str(i) for i in range(60)])
    for name, count in (("a", 50), ("b", 10)):
        of_class = parts[np.array(classes) == name]
        assert (of_class == "test").sum() == count / 10


# ----------------------------------------------------------------------------------------------------- synthesis


def test_the_sample_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first, again, other = (generate_speech(voices=2, seed=seed) for seed in (3, 3, 4))
    assert first.sha256 == again.sha256 != other.sha256
    assert np.array_equal(first.waveforms, again.waveforms)
    assert first.waveforms.shape == (48, 16_000)
    assert np.abs(first.waveforms).max() <= 1.0 and np.isfinite(first.waveforms).all()


def test_a_speaker_is_known_under_every_word_of_speech_commands(tmp_path: Path) -> None:
    for name in ("yes/fb7eb481_nohash_0.wav", "_unknown_/five_fb7eb481_nohash_0.wav.wav", "no/ann_b_nohash_1.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros(16_000), 16_000)
    clips = read(tmp_path)
    assert dict(zip(clips.ids, clips.speakers, strict=True)) == {
        "_unknown_/five_fb7eb481_nohash_0.wav.wav": "fb7eb481",
        "no/ann_b_nohash_1.wav": "ann_b",
        "yes/fb7eb481_nohash_0.wav": "fb7eb481",
    }


def test_rates_are_read_from_headers_alone_in_folder_and_archive(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    for name, rate in (("yes/a_0.wav", 8_000), ("no/a_0.wav", 44_100), ("_background_noise_/hum.wav", 22_050)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.zeros(rate), rate)
    (folder / "no/text_0.wav").write_text("no recording")
    with tarfile.open(tmp_path / "words.tar", "w") as archive:
        archive.add(folder, "words")
    expected = {"yes/a_0.wav": 8_000, "no/a_0.wav": 44_100}
    assert clip_rates(folder) == clip_rates(tmp_path / "words.tar") == expected
    with pytest.raises(DatasetError, match="no such file or folder"):
        clip_rates(tmp_path / "none")
