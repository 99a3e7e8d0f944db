"""MedMNIST's 2D files: every kind of label, images of any size brought down as they are read, and no pickle opened."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from penjing_datasets.errors import DatasetError
from penjing_datasets.medmnist import KNOWN, read_medmnist

Arrays = dict[str, np.ndarray]


def arrays(size: int = 28, *, colour: bool = False, classes: int = 2, columns: int = 1) -> Arrays:
    generator = np.random.default_rng(1)
    made: Arrays = {}
    for key, count in (("train", 12), ("val", 5), ("test", 6)):
        shape = (count, size, size, 3) if colour else (count, size, size)
        made[f"{key}_images"] = generator.integers(0, 256, shape).astype(np.uint8)
        made[f"{key}_labels"] = generator.integers(0, 2 if columns > 1 else classes, (count, columns)).astype(np.uint8)
        made[f"{key}_labels"][:classes, 0] = np.arange(min(count, classes)) if columns == 1 else 1
    return made


def saved(path: Path, made: Arrays) -> Path:
    np.savez_compressed(path, **made)
    return path


def test_images_and_labels_come_out_as_they_went_in(tmp_path: Path) -> None:
    made = arrays(colour=True, classes=3)
    read = read_medmnist(saved(tmp_path / "own.npz", made))
    for part, key in (("train", "train"), ("validation", "val"), ("test", "test")):
        assert np.array_equal(read.images[part], made[f"{key}_images"])
        assert np.array_equal(read.labels[part], made[f"{key}_labels"][:, 0])
    assert read.known is None


def test_grey_images_get_a_channel(tmp_path: Path) -> None:
    assert read_medmnist(saved(tmp_path / "own.npz", arrays())).images["train"].shape == (12, 28, 28, 1)


def test_large_images_are_brought_down_by_means_of_pixels(tmp_path: Path) -> None:
    made = arrays(224)
    made["train_images"][0] = np.indices((224, 224)).sum(axis=0) % 2 * 255  # a grid finer than any smaller image
    read = read_medmnist(saved(tmp_path / "own_224.npz", made), size=lambda own: own // 4)
    assert read.images["train"].shape == (12, 56, 56, 1)
    assert read.original_size == 224
    assert np.abs(read.images["train"][0].astype(int) - 127.5).max() < 3
    assert abs(read.images["train"].mean() - made["train_images"].mean()) < 1


@pytest.mark.parametrize(
    ("name", "task"),
    [("pneumoniamnist", "binary"), ("retinamnist_224", "ordinal"), ("bloodmnist_64", "classification")],
)
def test_published_sets_are_known_by_their_file(tmp_path: Path, name: str, task: str) -> None:
    known = read_medmnist(saved(tmp_path / f"{name}.npz", arrays(classes=2))).known
    assert known is not None and known.task == task


def test_a_name_does_not_count_where_the_labels_are_others(tmp_path: Path) -> None:
    assert read_medmnist(saved(tmp_path / "pneumoniamnist.npz", arrays(classes=4))).known is None


def test_several_labels_an_image_are_zeros_and_ones(tmp_path: Path) -> None:
    read = read_medmnist(saved(tmp_path / "chestmnist.npz", arrays(columns=14)))
    assert read.labels["train"].shape == (12, 14)
    assert read.labels["train"].dtype == np.float32
    assert read.known is KNOWN["chestmnist"]


class _Bomb:
    """What a pickle can do when it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the pickle ran')",)


def test_pickled_objects_are_refused_and_not_opened(tmp_path: Path) -> None:
    made = arrays()
    made["val_labels"] = np.array([[_Bomb()]] * 5, dtype=object)
    np.savez(tmp_path / "bad.npz", **made)
    with pytest.raises(DatasetError, match="pickled objects") as caught:
        read_medmnist(tmp_path / "bad.npz")
    assert "val_labels" in str(caught.value.where)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made: made.pop("val_labels"), "lacks val_labels"),
        (lambda made: made.update(train_images=made["train_images"][:3]), "3 images but labels of shape"),
        (lambda made: made.update(test_images=np.zeros((6, 28, 28, 28), np.uint8)), "volumes"),
        (lambda made: made.update(test_images=np.zeros((6, 28, 20), np.uint8)), "no square images"),
        (lambda made: made.update(test_images=np.zeros((6, 28, 28, 4), np.uint8)), "have 4 channels"),
        (lambda made: made.update(test_images=np.zeros((6, 3, 28, 28), np.uint8)), "channels stand before the pixels"),
        (lambda made: made.update(test_images=np.zeros(6, np.uint8)), "no square images"),
        (lambda made: made.update(val_labels=np.array(1)), r"5 images but labels of shape \(\)"),
        (lambda made: made.update(val_labels=np.zeros((5, 1, 1), np.uint8)), "5 images but labels of shape"),
        (lambda made: made.update(test_images=np.zeros((6, 28, 28), np.float32)), "are float32"),
        (lambda made: made.update(test_images=np.zeros((6, 32, 32), np.uint8)), "different shapes"),
        (lambda made: made.update(val_labels=np.full((5, 1), -1)), "no whole numbers"),
        (lambda made: made.update(val_labels=np.full((5, 1), np.nan)), "no whole numbers"),
        (lambda made: made.update(val_labels=np.array([["a"]] * 5)), "labels are"),
        (
            lambda made: made.update(train_images=made["train_images"][:0], train_labels=made["train_labels"][:0]),
            "no images",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, change: object, message: str) -> None:
    made = arrays()
    change(made)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=message):
        read_medmnist(saved(tmp_path / "bad.npz", made))


def test_a_text_file_called_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_text("no zip")
    with pytest.raises(DatasetError, match=r"no \.npz file"):
        read_medmnist(tmp_path / "bad.npz")


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    """The bytes of one image are changed inside the zip; its checksum tells."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays().items():
            inner = io.BytesIO()
            np.save(inner, values)
            archive.writestr(f"{name}.npy", inner.getvalue())
    content = bytearray(buffer.getvalue())
    place = content.index(b"train_images") + 2000
    content[place] ^= 0xFF
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(DatasetError, match="damaged"):
        read_medmnist(tmp_path / "bad.npz")


def test_a_header_that_claims_a_billion_images_asks_for_no_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays().items():
            inner = io.BytesIO()
            np.save(inner, values)
            if name == "train_images":
                inner = io.BytesIO()
                header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 28, 28)}
                np.lib.format.write_array_header_1_0(inner, header)
            archive.writestr(f"{name}.npy", inner.getvalue())
    with pytest.raises(DatasetError, match="not as long as it says"):
        read_medmnist(tmp_path / "bad.npz")


def test_pneumoniamnist_reads_as_published(penjing_data: Path) -> None:
    path = penjing_data / "medical_imaging" / "pneumoniamnist.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    read = read_medmnist(path)
    assert {part: len(images) for part, images in read.images.items()} == {
        "train": 4708,
        "validation": 524,
        "test": 624,
    }
    assert int(read.labels["test"].sum()) == 390
    assert read.known is not None and read.known.labels == ("normal", "pneumonia")
