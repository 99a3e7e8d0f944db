"""Image files of every mode as numbers from 0 to 1, and what is no image refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from penjing_datasets.errors import DatasetError
from penjing_datasets.images import is_grey, read_image, scaled, square, with_channels


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_gives_white_as_one_and_black_as_zero(mode: str) -> None:
    picture = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 2, axis=0)).convert("RGB").convert(mode)
    read = read_image(encoded(picture))
    assert read[0, 0].max() == 0
    assert read[0, 1].min() == 1


def test_sixteen_bits_keep_their_depth() -> None:
    values = np.array([[0, 1, 256, 65_535]], np.uint16)
    read = read_image(encoded(Image.fromarray(values)))
    assert np.allclose(read[0, :, 0] * 65_535, values[0], atol=0.01)


def test_cmyk_jpegs_become_rgb() -> None:
    assert read_image(encoded(Image.new("CMYK", (8, 8)), "JPEG")).shape == (8, 8, 3)


def test_the_cameras_orientation_is_applied() -> None:
    picture = Image.fromarray(np.array([[0, 255], [0, 0], [0, 0]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    turned = read_image(encoded(picture, "PNG", exif=exif))
    assert turned.shape[:2] == (2, 3)
    assert turned[1, 2, 0] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no image at all", "no image"), (encoded(Image.new("L", (64, 64)))[:60], "cannot be read"), (b"", "no image")],
)
def test_what_is_no_image_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_image(content, "x.png")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file") as caught:
        read_image(tmp_path / "gone.png")
    assert "gone.png" in str(caught.value.where)


def test_cropping_takes_the_middle_and_padding_keeps_all() -> None:
    image = np.arange(12, dtype=np.float32).reshape(2, 6, 1)
    assert square(image)[..., 0].tolist() == [[2, 3], [8, 9]]
    padded = square(image, "pad")
    assert padded.shape == (6, 6, 1)
    assert np.array_equal(padded[2:4], image)
    assert square(image, "stretch").shape == (2, 6, 1)


def test_scaling_down_keeps_the_mean() -> None:
    image = np.random.default_rng(0).random((96, 96, 3)).astype(np.float32)
    small = scaled(image, 24)
    assert small.shape == (24, 24, 3)
    assert np.allclose(small.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=0.01)
    assert small.std() < 0.5 * image.std()


def test_grey_and_colour_are_turned_into_each_other() -> None:
    grey = np.full((2, 2, 1), 0.25, np.float32)
    colour = with_channels(grey, 3)
    assert is_grey(colour)
    assert np.allclose(with_channels(colour, 1), grey, atol=1e-4)
    assert not is_grey(np.array([[[1.0, 0.0, 0.0]]], np.float32))
