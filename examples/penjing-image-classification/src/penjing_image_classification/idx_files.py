"""The four files of MNIST and its kin: a header of big-endian numbers, then bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from penjing.errors import DataError

from penjing_image_classification.collection import Collection

FIRST = "train-images-idx3-ubyte.gz"
"""By this one a folder of them is known."""


def read_idx_files(path: Path) -> Collection:
    """Images of a folder of IDX files, grey, in their own size.

    Raises:
        DataError: A file is missing, cut off or empty, or has as many labels as images have not.
    """
    images, classes = {}, {}
    for part, name in (("train", "train"), ("test", "t10k")):
        pixels = _array(path / f"{name}-images-idx3-ubyte.gz", 3)
        classes[part] = _array(path / f"{name}-labels-idx1-ubyte.gz", 1).astype(np.int64)
        images[part] = pixels[..., None]
        if len(pixels) != len(classes[part]):
            raise DataError(f"{len(pixels):,} images, {len(classes[part]):,} labels", where=f"{path}, {name}")
        if not pixels.size:
            raise DataError(f"there are no images in part '{part}'", where=f"{path}, {name}")
    count = 1 + int(max(numbers.max() for numbers in classes.values()))
    return Collection(images, classes, tuple(str(number) for number in range(count)), path.name)


def _array(path: Path, axes: int) -> np.ndarray:
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError) as error:
        raise DataError("the file cannot be read", where=str(path), why=str(error)) from error
    header = 4 * (axes + 1)
    sizes = np.frombuffer(content, ">i4", min(axes + 1, len(content) // 4))[1:]
    if content[:4] != bytes([0, 0, 8, axes]) or len(content) != header + int(np.prod(sizes)):
        raise DataError("the file is no IDX file of bytes, or is cut off", where=str(path))
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)
