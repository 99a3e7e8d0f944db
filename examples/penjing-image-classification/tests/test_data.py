"""What is particular to this domain: the collections that it reads, and the split."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from penjing.contract import DataRequest
from penjing.errors import DataError, RecipeError
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


def packed(path: Path, *members: tuple[Path, str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for source, name in members:
            archive.add(source, name)
    return path


def test_archives_say_the_same_as_folders(folder: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        packed(tmp_path / "apart" / f"set-{part}.tar.gz", (folder / part, part))
    whole = packed(tmp_path / "together" / "whole.tgz", (folder, "things"))
    assert load(tmp_path / "apart").sha256 == load(whole).sha256 == load(folder).sha256


def test_an_archive_of_one_part_says_that_the_other_is_not_there(folder: Path, tmp_path: Path) -> None:
    path = packed(tmp_path / "apart" / "set-train.tar.gz", (folder / "train", "train"))
    with pytest.raises(DataError, match="there are no images in part 'test'") as error:
        load(path)
    assert "give the folder in which an archive of each part lies" in str(error.value)


def write_idx(
    folder: Path, shape: tuple[int, int] = (28, 28), train: int = 40, test: int = 10
) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    pixels = {name: generator.integers(0, 256, (n, *shape)) for name, n in (("train", train), ("t10k", test))}
    for name, images in pixels.items():
        header = bytes([0, 0, 8, 3]) + np.array(images.shape, ">i4").tobytes()
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.astype("u1").tobytes()))
        labels = np.arange(len(images)) % 10
        header = bytes([0, 0, 8, 1]) + np.array(labels.shape, ">i4").tobytes()
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.astype("u1").tobytes()))
    return pixels


def test_idx_files_are_read_in_their_own_size_unless_another_is_asked_for(tmp_path: Path) -> None:
    pixels = write_idx(tmp_path)
    splits = load_data(DataRequest(path=tmp_path))
    assert splits.train.x.shape[1:] == (28, 28, 1) and len(splits.labels) == 10
    assert (splits.test.raw[..., 0] == pixels["t10k"]).all()
    smaller = load(tmp_path, size=14, channels=3)
    assert smaller.test.raw.shape == (10, 14, 14, 3)
    # Scaling keeps the mean, and a grey image in colour has three channels alike.
    assert smaller.test.raw.mean() == pytest.approx(pixels["t10k"].mean(), rel=0.02)
    assert (smaller.test.raw[..., 0] == smaller.test.raw[..., 2]).all()
    assert smaller.preprocessing["size"] == 14 and len(smaller.preprocessing["mean"]) == 3


def test_damaged_and_empty_idx_files_are_named(tmp_path: Path) -> None:
    write_idx(tmp_path)
    whole = (tmp_path / "train-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(gzip.decompress(whole)[:-5]))
    with pytest.raises(DataError, match="cut off"):
        load(tmp_path)
    write_idx(tmp_path, test=0)
    with pytest.raises(DataError, match=r"no images in part 'test'[^/]*/.*t10k"):
        load(tmp_path)


def test_images_that_are_not_square_want_a_size(tmp_path: Path) -> None:
    write_idx(tmp_path, shape=(28, 20))
    with pytest.raises(DataError, match=r"28 x 20 pixels(.|\n)*--set data\.size=32"):
        load_data(DataRequest(path=tmp_path))
    assert load(tmp_path, size=24).train.x.shape[1:] == (24, 24, 1)


def test_cifar10_and_the_sample_are_scaled_where_a_recipe_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), np.uint8)
    part = (images, np.arange(50)[:, None] % 10)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: (part, part))
    assert load_data(DataRequest(path=Path("cifar10"))).train.x.shape[1:] == (32, 32, 3)
    assert load(Path("cifar10"), size=16, channels=1).train.x.shape[1:] == (16, 16, 1)
    sample = load_data(DataRequest(options={"sample": 60, "size": 24, "channels": 1}))
    assert sample.train.x.shape[1:] == (24, 24, 1)
    with pytest.raises(RecipeError, match="'channels' in \\[data\\] cannot be 2"):
        load_data(DataRequest(options={"channels": 2}))


def test_a_damaged_image_is_named(folder: Path) -> None:
    (folder / "train/light/007.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"007\.png"):
        load(folder)


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder or archive"):
        load(tmp_path / "nowhere")
    (tmp_path / "text.tar.gz").write_text("no archive")
    with pytest.raises(DataError, match="the file is no archive of images"):
        load(tmp_path / "text.tar.gz")
    (folder / "test").rename(folder / "elsewhere")
    with pytest.raises(DataError, match="there is no part 'test'"):
        load(folder)
    (folder / "test").mkdir()
    with pytest.raises(DataError, match=r"there are no images in part 'test'(.|\n)*test/CLASS"):
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


def test_too_few_images_for_a_training_part_are_said_to_be_too_few(folder: Path) -> None:
    for label in ("dark", "light"):
        for file in sorted((folder / "train" / label).glob("*.png"))[1:]:
            file.unlink()
    with pytest.raises(DataError, match="2 images are too few for a training part"):
        load(folder)
