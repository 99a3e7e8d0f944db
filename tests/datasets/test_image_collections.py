"""Folders of images: classes by folder or table, patients kept together and unnamed, broken files counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_files import write_dicom
from penjing_datasets.errors import DatasetError
from penjing_datasets.image_collections import ImageCollection, read_images


def picture(path: Path, seed: int, *, size: tuple[int, int] = (20, 20), mode: str = "L") -> None:
    generator = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = generator.integers(0, 256, (*size, 3) if mode == "RGB" else size).astype(np.uint8)
    Image.fromarray(values).convert(mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        picture(tmp_path / "set" / ("ill" if number % 2 else "well") / f"{number}.png", number)
    return tmp_path / "set"


def read(folder: Path, **options: object) -> ImageCollection:
    return read_images(folder, size=16, **options)  # type: ignore[arg-type]


def test_a_folder_is_a_class(folder: Path) -> None:
    found = read(folder)
    assert found.images.shape == (6, 16, 16, 1)
    assert found.labels.tolist() == ["ill"] * 3 + ["well"] * 3
    assert found.patients is None and found.parts is None


def test_folders_of_parts_are_the_given_split(folder: Path, tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for label in ("well", "ill"):
            picture(tmp_path / "kaggle" / part / label / "1.jpeg", hash((part, label)) % 1000)
    found = read(tmp_path / "kaggle")
    assert found.parts is not None
    assert sorted(set(found.parts)) == ["test", "train", "validation"]
    assert sorted(set(found.labels)) == ["ill", "well"]


def test_a_table_gives_labels_patients_parts_and_slices(folder: Path) -> None:
    rows = [
        f"{'ill' if n % 2 else 'well'}/{n}.png,grade {n % 3},pat-{n // 2},test,{'A' if n < 3 else 'B'}"
        for n in range(6)
    ]
    (folder / "labels.csv").write_text("\n".join(["path,label,patient,split,scanner", *rows]))
    found = read(folder)
    assert sorted(set(found.labels)) == ["grade 0", "grade 1", "grade 2"]
    assert found.patients is not None and len(set(found.patients)) == 3
    assert sorted(set(found.slices["scanner"])) == ["A", "B"]
    assert not any("pat-" in str(value) for value in vars(found).values())


def test_the_same_collection_gives_the_same_patients_and_another_gives_others(folder: Path, tmp_path: Path) -> None:
    rows = [f"{'ill' if n % 2 else 'well'}/{n}.png,pat-1" for n in range(6)]
    (folder / "labels.csv").write_text("\n".join(["path,patient", *rows]))
    first, again = read(folder), read(folder)
    assert first.patients is not None and first.patients.tolist() == again.patients.tolist()  # type: ignore[union-attr]
    picture(folder / "ill" / "1.png", 77)
    other = read(folder)
    assert first.patients[0] != other.patients[0]  # type: ignore[index]


def test_a_slice_with_too_many_values_might_name_people(folder: Path) -> None:
    for number in range(6, 60):
        picture(folder / "ill" / f"{number}.png", number)
    rows = [f"{'ill' if n % 2 or n > 5 else 'well'}/{n}.png,1951-{n:02}" for n in range(60)]
    (folder / "labels.csv").write_text("\n".join(["path,born", *rows]))
    found = read(folder)
    assert not found.slices
    assert any("born" in note and "60" in note for note in found.notes)


def test_mixed_sizes_and_modes_are_brought_to_one_and_said(folder: Path) -> None:
    picture(folder / "ill" / "wide.png", 9, size=(30, 60), mode="RGB")
    found = read(folder)
    assert found.images.shape == (7, 16, 16, 3)
    assert any("2 sizes" in note for note in found.notes)
    assert any("6 grey images" in note for note in found.notes)


def test_broken_files_are_counted_and_skipped_up_to_a_share(folder: Path) -> None:
    (folder / "ill" / "broken.png").write_bytes(b"\x89PNG no")
    with pytest.raises(DatasetError, match="1 of 7 files cannot be read"):
        read(folder)
    found = read(folder, max_broken_share=0.2)
    assert len(found.images) == 6
    assert any(note.startswith("1 files skipped: file 4.png of the sorted listing") for note in found.notes)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,label\nx,1", "lacks the column path"),
        ("path,label\nwell/0.png,1\nwell/0.png,2", "names an image twice"),
        ("path,label,split\nwell/0.png,1,exam", "no part 'exam'"),
        ("path,label\nwell/0.png,", "no label"),
        ("path,label\nelse/0.png,a", "no images"),
        ("path,label", "no rows"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(folder: Path, table: str, message: str) -> None:
    (folder / "labels.csv").write_text(table)
    with pytest.raises(DatasetError, match=message):
        read(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images"):
        read(tmp_path)


class TestDicom:
    """Files with made-up patients."""

    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        pytest.importorskip("pydicom", reason="DICOM needs pydicom")
        generator = np.random.default_rng(3)
        for number in range(6):
            write_dicom(
                tmp_path / "dicom" / ("ill" if number % 2 else "well") / f"Doe_Jane_{number}.dcm",
                generator.integers(0, 4096, (24, 24)),
                patient=f"SECRET-{number // 3}",
                name="Doe^Jane",
            )
        return tmp_path / "dicom"

    def test_patients_come_from_the_headers_and_stay_unnamed(self, archive: Path) -> None:
        found = read(archive)
        assert found.patients is not None and len(set(found.patients)) == 2
        everything = repr({**vars(found), "images": None})
        assert not any(secret in everything for secret in ("SECRET", "Doe", "Jane", "1951"))
        assert set(found.slices) == {"sex", "manufacturer"}
        assert any("no window" in note for note in found.notes)

    def test_a_file_without_pixels_is_skipped_without_its_name(self, archive: Path) -> None:
        import pydicom

        report = pydicom.dcmread(archive / "well" / "Doe_Jane_0.dcm")
        del report.PixelData
        report.save_as(archive / "well" / "Doe_Jane_0.dcm")
        found = read(archive, max_broken_share=0.3)
        assert len(found.images) == 5
        note = next(note for note in found.notes if "skipped" in note)
        assert "no pixels" in note and "Doe" not in note

    def test_a_table_may_name_the_files_alone(self, archive: Path) -> None:
        rows = [f"Doe_Jane_{n}.dcm,{'x' if n < 2 else 'y'}" for n in range(6)]
        (archive / "labels.csv").write_text("\n".join(["path,label", *rows]))
        assert sorted(read(archive).labels) == ["x"] * 2 + ["y"] * 4
