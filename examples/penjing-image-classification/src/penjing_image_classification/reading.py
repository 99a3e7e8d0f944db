"""Which reader a path is for."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
from penjing.errors import DataError

from penjing_image_classification.collection import Collection
from penjing_image_classification.idx_files import FIRST, read_idx_files
from penjing_image_classification.image_files import read_image_files


def read_collection(path: Path, size: int, channels: int) -> Collection:
    """Images of a training and a test part.

    Args:
        path: `cifar10`, which keras.datasets fetches; a folder with the files of Fashion-MNIST; or a folder or an
            archive of image files, as `read_image_files` takes them.
        size: Width and height to which image files are scaled, pixels. The others keep their own.
        channels: Of image files, 3 for colour, 1 for grey. The others keep their own.

    Raises:
        DataError: Nothing of that kind is there, or something in it cannot be read; says which file and why.
    """
    if not path.exists():
        if str(path) == "cifar10":
            return _cifar10()
        raise DataError(
            "there is no such folder or archive", where=str(path), hint="give one of images, or the word cifar10"
        )
    if path.is_file() and not tarfile.is_tarfile(path):
        raise DataError(
            "the file is no archive of images", where=str(path), hint="give a folder, or a .tar or .tar.gz archive"
        )
    if (path / FIRST).is_file():
        return read_idx_files(path)
    return read_image_files(path, size, channels)


def _cifar10() -> Collection:
    import keras

    try:
        (train, train_classes), (test, test_classes) = keras.datasets.cifar10.load_data()
    except Exception as error:
        raise DataError(
            "CIFAR-10 cannot be fetched",
            where="keras.datasets.cifar10",
            why=str(error),
            hint="without a network give a folder of images: --data FOLDER",
        ) from error
    labels = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    classes = {"train": train_classes.reshape(-1).astype(np.int64), "test": test_classes.reshape(-1).astype(np.int64)}
    return Collection({"train": train, "test": test}, classes, labels, "CIFAR-10")
