"""Where images come from: archives and folders with a folder a class, IDX files, keras.datasets, and the sample."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from penjing.errors import DataError

from penjing_image_classification.images import ENDINGS, decode

PARTS = ("train", "test")
SAMPLE_LABELS = ("disc", "ring", "square", "cross")


@dataclass(frozen=True)
class Collection:
    """Images with their classes, in the parts that they came in."""

    images: dict[str, np.ndarray]
    """uint8 of shape (n, size, size, channels), by part."""
    classes: dict[str, np.ndarray]
    """int64 of shape (n,), by part."""
    labels: tuple[str, ...]
    source: str
    synthetic: bool = False


def read_collection(path: Path, size: int, channels: int) -> Collection:
    """Images of a training and a test part.

    Args:
        path: `cifar10`, which keras.datasets fetches; a folder with `train-images-idx3-ubyte.gz` and its kin
            (Fashion-MNIST); or a folder with `train` and `test`, each a folder a class, or an archive of one whose
            name holds that word (.tar, .tar.gz, .tgz).
        size: Width and height to which images of files are scaled, pixels.
        channels: 3 for colour, 1 for grey.

    Raises:
        DataError: Nothing of that kind is there, or something in it cannot be read; says which file and why.
    """
    if str(path) == "cifar10" and not path.exists():
        return _cifar10()
    if not path.is_dir():
        raise DataError("there is no such folder", where=str(path), hint="give a folder, or the word cifar10")
    if (path / "train-images-idx3-ubyte.gz").is_file():
        return _idx(path)
    found = {part: list(_files(_place(path, part))) for part in PARTS}
    labels = tuple(sorted({label for files in found.values() for label, _, _ in files}))
    if len(labels) < 2:
        raise DataError(
            f"there are {len(labels)} classes", where=str(path), hint="make a folder for each of two or more"
        )
    images, classes = {}, {}
    for part, files in found.items():
        images[part] = np.stack([decode(content, where, size, channels) for _, where, content in files])
        classes[part] = np.array([labels.index(label) for label, _, _ in files], np.int64)
    return Collection(images, classes, labels, path.name)


def generate(seed: int, count: int, size: int = 16) -> Collection:
    """Shapes of any colour, place and size before a noisy ground: colour alone tells nothing.

    Args:
        count: Images of the training part; the test part has a third as many.
    """
    images, classes = {}, {}
    for number, (part, n) in enumerate((("train", count), ("test", count // 3))):
        generator = np.random.default_rng((seed, number))
        classes[part] = generator.integers(0, len(SAMPLE_LABELS), n)
        images[part] = np.stack([_drawn(generator, SAMPLE_LABELS[kind], size) for kind in classes[part]])
    return Collection(images, classes, SAMPLE_LABELS, f"built-in sample, {count:,} drawn shapes", synthetic=True)


def _drawn(generator: np.random.Generator, kind: str, size: int) -> np.ndarray:
    radius = generator.uniform(0.2, 0.33) * size
    x, y = (np.arange(size) - generator.uniform(radius, size - 1 - radius) for _ in range(2))
    across, down = np.abs(x)[None], np.abs(y)[:, None]
    distance = np.sqrt(across**2 + down**2)
    inside = {
        "disc": distance < radius,
        "ring": (distance < radius) & (distance > 0.55 * radius),
        "square": np.maximum(across, down) < 0.85 * radius,
        "cross": (np.minimum(across, down) < 0.3 * radius) & (np.maximum(across, down) < radius),
    }[kind]
    colours = generator.uniform(0, 255, (2, 3))
    while np.abs(colours[0] - colours[1]).max() < 90:
        colours = generator.uniform(0, 255, (2, 3))
    image = np.where(inside[..., None], colours[0], colours[1]) + generator.normal(0, 25, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def _place(path: Path, part: str) -> Path:
    if (path / part).is_dir():
        return path / part
    archives = [file for file in sorted(path.glob("*.t*")) if part in file.name and tarfile.is_tarfile(file)]
    if len(archives) != 1:
        raise DataError(
            f"there is no part '{part}'",
            where=str(path),
            why=f"no folder '{part}', and {len(archives)} archives with that word in their name",
        )
    return archives[0]


def _files(place: Path) -> Iterator[tuple[str, str, bytes]]:
    """(class, where it stands, content) of each image, in the order of their names."""
    if place.is_dir():
        for file in sorted(place.glob("*/*")):
            if file.suffix.lower() in ENDINGS:
                yield file.parent.name, str(file), file.read_bytes()
        return
    try:
        with tarfile.open(place) as archive:
            members = {PurePosixPath(member.name): member for member in archive if member.isfile()}
            for name in sorted(members):
                content = archive.extractfile(members[name])
                if name.suffix.lower() in ENDINGS and content is not None:
                    yield name.parent.name, f"{place}, {name}", content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError("the archive cannot be read", where=str(place), why=str(error)) from error


def _idx(path: Path) -> Collection:
    """The four files of MNIST and its kin: a header of big-endian numbers, then bytes."""
    images, classes = {}, {}
    for part, name in (("train", "train"), ("test", "t10k")):
        pixels = _idx_array(path / f"{name}-images-idx3-ubyte.gz", 3)
        classes[part] = _idx_array(path / f"{name}-labels-idx1-ubyte.gz", 1).astype(np.int64)
        images[part] = pixels[..., None]
        if len(pixels) != len(classes[part]):
            raise DataError(f"{len(pixels):,} images, {len(classes[part]):,} labels", where=f"{path}, {name}")
    labels = tuple(str(number) for number in range(int(classes["train"].max()) + 1))
    return Collection(images, classes, labels, path.name)


def _idx_array(path: Path, axes: int) -> np.ndarray:
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
