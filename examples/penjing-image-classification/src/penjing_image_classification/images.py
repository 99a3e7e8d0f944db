"""What training and device share: reading an image, and the model's input. numpy and Pillow alone."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from penjing.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")


def preprocess(raw: Any, parameters: Mapping[str, Any]) -> np.ndarray:
    """uint8 images of shape (n, size, size, channels) as float32 of the same shape, in standard deviations of the
    training part, channel by channel."""
    mean, deviation = (np.asarray(parameters[name], np.float32) for name in ("mean", "deviation"))
    return (np.asarray(raw, np.float32) - mean) / deviation


def decode(content: bytes, where: str, size: int, channels: int) -> np.ndarray:
    """An image file as uint8 of shape (size, size, channels); another size is scaled.

    Raises:
        DataError: It is no image that Pillow can read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            return _fitted(image, size, channels)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError("the image cannot be read", where=where, why=str(error)) from error


def rescale(images: np.ndarray, size: int, channels: int) -> np.ndarray:
    """uint8 images of shape (n, height, width, 1 or 3) as (n, size, size, channels)."""
    from PIL import Image

    if images.shape[1:] == (size, size, channels):
        return images
    # Pillow wants grey images without an axis of channels.
    flat = images[..., 0] if images.shape[-1] == 1 else images
    return np.stack([_fitted(Image.fromarray(image), size, channels) for image in flat])


def read_image(path: Path, size: int, channels: int) -> np.ndarray:
    """An image file, as `decode` gives it.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError("the file cannot be read", where=str(path), why=str(error)) from error
    return decode(content, str(path), size, channels)


def _fitted(image: Any, size: int, channels: int) -> np.ndarray:
    """An image of Pillow as uint8 of shape (size, size, channels)."""
    from PIL import Image

    image = image.convert("RGB" if channels == 3 else "L")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(size, size, channels)
