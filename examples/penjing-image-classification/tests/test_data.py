"""What is particular to this domain: the collections that it reads, and the split."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from penjing.contract import DataRequest
from penjing.errors import DataError
from PIL import Image

from penjing_image_classification.augmentation import augment
from penjing_image_classification.data import load_data


def png(value: int, size: int = 20) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (size, size), (value, 0, 0)).save(content, "png")
    return content.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes in two parts; the classes differ in their red."""
    for part, count in (("train", 30), ("test", 6)):
        for label, red in (("dark", 40), ("light", 200)):
            place = tmp_path / "things" / part / label
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number:03d}.png").write_bytes(png(red + number))
            (place / "notes.txt").write_text("no image")
    return tmp_path / "things"


def load(path: Path, **options: object):
    return load_data(DataRequest(path=path, options={"size": 8, **options}))


def test_a_folder_is_read_scaled_and_split(folder: Path) -> None:
    splits = load(folder)
    assert splits.labels == ("dark", "light")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (54, 6, 12)
    assert splits.train.x.shape == (54, 8, 8, 3) and splits.train.x.dtype == np.float32
    assert set(splits.train.ids).isdisjoint(splits.validation.ids)
    red = splits.test.raw[..., 0].mean(axis=(1, 2))
    assert (red[splits.test.y == 0] < 100).all() and (red[splits.test.y == 1] > 100).all()
    # The scale is that of the training part, to which validation images give nothing.
    assert splits.train.x[..., 0].mean() == pytest.approx(0, abs=1e-3)


def test_archives_say_the_same_as_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    for part in ("train", "test"):
        with tarfile.open(tmp_path / "packed" / f"set-{part}.tar.gz", "w:gz") as archive:
            archive.add(folder / part, part)
    assert load(tmp_path / "packed").sha256 == load(folder).sha256


def test_idx_files_are_read(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = {"train": generator.integers(0, 256, (40, 28, 28)), "t10k": generator.integers(0, 256, (10, 28, 28))}
    for name, images in pixels.items():
        header = bytes([0, 0, 8, 3]) + np.array(images.shape, ">i4").tobytes()
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.astype("u1").tobytes()))
        labels = np.arange(len(images)) % 10
        header = bytes([0, 0, 8, 1]) + np.array(labels.shape, ">i4").tobytes()
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.astype("u1").tobytes()))
    splits = load(tmp_path)
    assert splits.train.x.shape[1:] == (28, 28, 1) and len(splits.labels) == 10
    assert (splits.test.raw[..., 0] == pixels["t10k"]).all()
    whole = (tmp_path / "train-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(gzip.decompress(whole)[:-5]))
    with pytest.raises(DataError, match="cut off"):
        load(tmp_path)


def test_a_damaged_image_is_named(folder: Path) -> None:
    (folder / "train/light/007.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"007\.png"):
        load(folder)


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load(tmp_path / "nowhere")
    (folder / "test").rename(folder / "elsewhere")
    with pytest.raises(DataError, match="there is no part 'test'"):
        load(folder)


def test_one_class_is_none(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part / "dark").rename(folder.parent / f"dark-{part}")
    with pytest.raises(DataError, match="1 classes"):
        load(folder)


def test_shifts_and_mirrors_keep_the_image_and_equal_arguments_give_equal_arrays(folder: Path) -> None:
    splits = load_data(DataRequest(options={"sample": 60}))
    x, y = augment(splits.train, splits, epoch=1, seed=2, options={"shift": 0, "mirror": True})
    same = (x == splits.train.x).all(axis=(1, 2, 3))
    turned = (x == splits.train.x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same | turned).all() and same.any() and turned.any()
    assert (y == splits.train.y).all()
    first, again, other = (augment(splits.train, splits, epoch=epoch, seed=2, options={})[0] for epoch in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
