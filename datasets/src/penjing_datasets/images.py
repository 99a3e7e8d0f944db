"""Images for a network: read from files, made square, brought to one size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from penjing_datasets.errors import DatasetError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm")
MOST_PIXELS = 200_000_000
"""An image that says it is larger is refused: a small file can unpack to all of the memory."""


def read_image(source: Path | bytes, name: str = "") -> np.ndarray:
    """An image file as numbers from 0 to 1.

    16 bit grey keeps its depth; palettes and CMYK become RGB, transparency is dropped, the camera's orientation is
    applied, and of several pages the first is taken.

    Args:
        source: A file, or its content.
        name: What to call the content in messages.

    Returns:
        float32 of shape (height, width, 1), or (height, width, 3) for colour.

    Raises:
        DatasetError: It is no image, is cut off, is larger than `MOST_PIXELS`, or holds NaN.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    where = name or str(source)
    if isinstance(source, Path) and not source.is_file():
        raise DatasetError("there is no such file", where=where)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DatasetError(
                    f"the image has {image.width:,} x {image.height:,} pixels", where=where, hint="scale it down first"
                )
            return _numbers(ImageOps.exif_transpose(image), where)
    except DatasetError:
        raise
    except UnidentifiedImageError as error:
        raise DatasetError("this is no image", where=where, why="its content is of no known format") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError("the image cannot be read", where=where, why=str(error)) from error


def _numbers(image: object, where: str) -> np.ndarray:
    mode = image.mode  # type: ignore[attr-defined]
    if mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.asarray(image).astype(np.float64) / 65_535.0
    elif mode == "F":
        values = np.asarray(image, np.float64)
        if not np.isfinite(values).all():
            raise DatasetError("the image holds NaN or infinite values", where=where)
        low, high = values.min(), values.max()
        values = (values - low) / (high - low) if high > low else values * 0
    elif mode in ("1", "L", "LA"):
        values = np.asarray(image.convert("L")) / 255.0  # type: ignore[attr-defined]
    else:
        values = np.asarray(image.convert("RGB")) / 255.0  # type: ignore[attr-defined]
    values = np.clip(values, 0, 1).astype(np.float32)
    return values[..., None] if values.ndim == 2 else values


def square(image: np.ndarray, fit: str = "crop") -> np.ndarray:
    """A square of an image of shape (height, width, channels).

    Args:
        fit: "crop" takes the middle, as MedMNIST does; "pad" adds black, which shows the network each image's shape;
            "stretch" leaves it to the scaling.
    """
    height, width = image.shape[:2]
    if fit == "stretch" or height == width:
        return image
    if fit == "pad":
        size = max(height, width)
        top, left = (size - height) // 2, (size - width) // 2
        return np.pad(image, ((top, size - height - top), (left, size - width - left), (0, 0)))
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    return image[top : top + size, left : left + size]


def scaled(image: np.ndarray, size: int) -> np.ndarray:
    """An image at another size, with the mean over the pixels that become one (no aliasing).

    Args:
        image: float32 of shape (height, width, channels).

    Returns:
        float32 of shape (size, size, channels).
    """
    if image.shape[:2] == (size, size):
        return np.asarray(image, np.float32)
    from PIL import Image

    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., channel], np.float32)).resize(
                (size, size), Image.Resampling.BILINEAR
            )
        )
        for channel in range(image.shape[2])
    ]
    return np.stack(planes, axis=-1).astype(np.float32)


def is_grey(image: np.ndarray) -> bool:
    """Whether an image of shape (height, width, channels) holds no colour."""
    return image.shape[2] == 1 or bool(np.ptp(image, axis=2).max(initial=0) < 1 / 512)


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Grey repeated to colour, or colour as its luminance (ITU-R BT.601), where the number of channels differs."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image[..., :1], 3, axis=2)
    return (image @ np.array([0.299, 0.587, 0.114], np.float32))[..., None].astype(np.float32)
