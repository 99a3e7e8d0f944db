"""Files of MedMNIST's 2D sets: .npz with images and labels of three parts, 28 to 224 pixels.

Source: Yang et al. 2023, "MedMNIST v2", Scientific Data 10:41. The files do not say what their labels mean; the names
of the published sets do, and of others the labels' shape.
"""

from __future__ import annotations

import hashlib
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from penjing_datasets.errors import DatasetError
from penjing_datasets.images import scaled
from penjing_datasets.splits import PARTS

KEYS = {"train": "train", "validation": "val", "test": "test"}
_ORGANS = (
    "bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left", "lung-right",
    "pancreas", "spleen",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """What the publication says of a set's labels."""

    task: str
    labels: tuple[str, ...]
    any_orientation: bool = False
    """Whether an image may be turned and mirrored without changing what it shows, as under a microscope."""


KNOWN: Mapping[str, KnownSet] = {
    "pathmnist": KnownSet(
        task="classification",
        labels=(
            "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa",
            "cancer-associated stroma", "colorectal adenocarcinoma epithelium",
        ),
        any_orientation=True,
    ),
    "chestmnist": KnownSet(
        task="multilabel",
        labels=(
            "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax",
            "consolidation", "edema", "emphysema", "fibrosis", "pleural thickening", "hernia",
        ),
    ),
    "dermamnist": KnownSet(
        task="classification",
        labels=(
            "actinic keratoses", "basal cell carcinoma", "benign keratosis-like lesions", "dermatofibroma", "melanoma",
            "melanocytic nevi", "vascular lesions",
        ),
        any_orientation=True,
    ),
    "octmnist": KnownSet(
        task="classification", labels=("choroidal neovascularization", "diabetic macular edema", "drusen", "normal")
    ),
    "pneumoniamnist": KnownSet(task="binary", labels=("normal", "pneumonia")),
    "retinamnist": KnownSet(task="ordinal", labels=("grade 0", "grade 1", "grade 2", "grade 3", "grade 4")),
    "breastmnist": KnownSet(task="binary", labels=("malignant", "normal or benign")),
    "bloodmnist": KnownSet(
        task="classification",
        labels=(
            "basophil", "eosinophil", "erythroblast", "immature granulocytes", "lymphocyte", "monocyte", "neutrophil",
            "platelet",
        ),
        any_orientation=True,
    ),
    "tissuemnist": KnownSet(
        task="classification",
        labels=(
            "collecting duct, connecting tubule", "distal convoluted tubule", "glomerular endothelial cells",
            "interstitial endothelial cells", "leukocytes", "podocytes", "proximal tubule segments",
            "thick ascending limb",
        ),
        any_orientation=True,
    ),
    "organamnist": KnownSet(task="classification", labels=_ORGANS),
    "organcmnist": KnownSet(task="classification", labels=_ORGANS),
    "organsmnist": KnownSet(task="classification", labels=_ORGANS),
}  # fmt: skip
"""The published 2D sets by name."""


@dataclass(frozen=True, kw_only=True)
class MedMnist:
    """A file, read."""

    images: Mapping[str, np.ndarray]
    """By part: uint8 of shape (n, size, size, channels)."""
    labels: Mapping[str, np.ndarray]
    """By part: int64 of shape (n,), or float32 of shape (n, labels) of zeros and ones for several labels an image."""
    known: KnownSet | None
    """What is published of the set; None where its name is none of theirs."""
    name: str
    original_size: int
    sha256: str
    """Of the whole file."""


def read_medmnist(
    path: Path, *, size: int | Callable[[int], int] = 0, progress: Callable[[str, int, int], None] | None = None
) -> MedMnist:
    """Read a file block by block, so that images of 224 pixels never stand in memory at their full size.

    Args:
        size: Pixels of the images to return, or a function of the file's own size; 0 takes the file's own.

    Raises:
        DatasetError: It is no .npz file, lacks an array, holds pickled objects (which are not opened: they can run any
            code), is three-dimensional, or images and labels do not fit each other.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DatasetError("this is no .npz file", where=str(path), why=str(error)) from error
    with archive:
        names = {Path(name).stem: name for name in archive.namelist() if name.endswith(".npy")}
        wanted = [f"{key}_{kind}" for key in KEYS.values() for kind in ("images", "labels")]
        missing = [name for name in wanted if name not in names]
        if missing:
            raise DatasetError(
                f"the file lacks {', '.join(missing)}",
                where=str(path),
                why="it holds " + (", ".join(sorted(names)) or "no arrays"),
                hint="MedMNIST's 2D files hold " + ", ".join(wanted),
            )
        images, labels, original = {}, {}, 0
        for part in PARTS:
            key = KEYS[part]
            images[part], original = _images(archive, names[f"{key}_images"], path, size, progress)
            labels[part] = _labels(archive, names[f"{key}_labels"], path, len(images[part]))
    shapes = {part: (array.shape[1:], labels[part].shape[1:]) for part, array in images.items()}
    if len(set(shapes.values())) > 1:
        raise DatasetError("the parts have images or labels of different shapes", where=str(path), why=str(shapes))
    stem = re.sub(r"[_-]?\d+$", "", path.stem.lower())
    known = KNOWN.get(stem)
    width = labels["train"].shape[1] if labels["train"].ndim == 2 else 0
    if known and not _fits(known, labels, width):
        known = None
    return MedMnist(
        images=images, labels=labels, known=known, name=path.stem, original_size=original, sha256=_file_sha256(path)
    )


def _fits(known: KnownSet, labels: Mapping[str, np.ndarray], width: int) -> bool:
    """Whether a file that has a published set's name has its labels too."""
    if width:
        return known.task == "multilabel" and width == len(known.labels)
    return known.task != "multilabel" and max(int(values.max()) for values in labels.values()) < len(known.labels)


def _open(archive: zipfile.ZipFile, name: str, path: Path) -> tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]:
    where = f"{path}, {name}"
    try:
        stream = archive.open(name)
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = reader(stream)
    except (ValueError, zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise DatasetError("the array cannot be read", where=where, why=str(error)) from error
    if dtype.hasobject:
        raise DatasetError(
            "the file holds pickled objects, which are not opened",
            where=where,
            why="a pickle can run any code when it is read",
            hint="save plain arrays of numbers: np.savez(file, train_images=..., ...)",
        )
    if by_columns and len(shape) > 1:
        raise DatasetError("the array is stored by columns", where=where, hint="np.ascontiguousarray before saving")
    # Before memory is asked for: a damaged header can claim any number of images.
    stored, said = archive.getinfo(name).file_size - stream.tell(), math.prod(shape) * dtype.itemsize
    if stored != said:
        raise DatasetError(
            "the array is not as long as it says",
            where=where,
            why=f"shape {shape} of {dtype} takes {said:,} bytes, there are {stored:,}",
            hint="fetch the file again",
        )
    return stream, shape, dtype


def _images(
    archive: zipfile.ZipFile,
    name: str,
    path: Path,
    size: int | Callable[[int], int],
    progress: Callable[[str, int, int], None] | None,
) -> tuple[np.ndarray, int]:
    where = f"{path}, {name}"
    stream, shape, dtype = _open(archive, name, path)
    with stream:
        _check_images(shape, dtype, where)
        own = int(shape[1])
        target = (size(own) if callable(size) else size) or own
        channels = 1 if len(shape) == 3 else int(shape[3])
        made = np.empty((shape[0], target, target, channels), np.uint8)
        bytes_each = own * own * channels
        block = max(1, 32_000_000 // bytes_each)
        for start in range(0, shape[0], block):
            count = min(block, shape[0] - start)
            content = _read_exactly(stream, count * bytes_each, where)
            rows = np.frombuffer(content, np.uint8).reshape(count, own, own, channels)
            if target == own:
                made[start : start + count] = rows
            else:
                for index, row in enumerate(rows):
                    made[start + index] = np.rint(scaled(row.astype(np.float32), target))
            if progress:
                progress("reading images", start + count, shape[0])
    return made, own


def _check_images(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Refuse what is no array of square images in bytes, grey or in three colours."""
    why = f"shape {shape}"
    if len(shape) == 5 or (len(shape) == 4 and shape[1] == shape[2] == shape[3]):
        raise DatasetError("these are volumes", where=where, why=why, hint="only MedMNIST's 2D sets can be read")
    if len(shape) == 4 and shape[1] in (1, 3) and shape[2] == shape[3]:
        raise DatasetError(
            "the channels stand before the pixels", where=where, why=why, hint="images.transpose(0, 2, 3, 1)"
        )
    if len(shape) not in (3, 4) or shape[1] != shape[2] or 0 in shape[1:]:
        raise DatasetError("these are no square images", where=where, why=why, hint="(n, size, size) or with 3 colours")
    if len(shape) == 4 and shape[3] not in (1, 3):
        raise DatasetError(
            f"the images have {shape[3]} channels", where=where, why=why, hint="grey has 1 or none, colour has 3"
        )
    if dtype != np.uint8:
        raise DatasetError(
            f"the images are {dtype}",
            where=where,
            why="MedMNIST's are uint8, 0 for black to 255 for white",
            hint="numbers from 0 to 1: (images * 255).round().astype('uint8'); DICOM's depth: a folder of files",
        )
    if shape[0] == 0:
        raise DatasetError("there are no images", where=where, hint="training, validation and test each need some")


def _read_exactly(stream: IO[bytes], count: int, where: str) -> bytes:
    try:
        content = stream.read(count)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
        raise DatasetError("the array is damaged", where=where, why=str(error), hint="fetch the file again") from error
    except Exception as error:  # zlib.error is no OSError
        raise DatasetError("the array is damaged", where=where, why=str(error), hint="fetch the file again") from error
    if len(content) != count:
        raise DatasetError("the array is cut off", where=where, hint="fetch the file again")
    return content


def _labels(archive: zipfile.ZipFile, name: str, path: Path, count: int) -> np.ndarray:
    where = f"{path}, {name}"
    stream, shape, dtype = _open(archive, name, path)
    with stream:
        if dtype.kind not in "iufb":
            raise DatasetError(f"the labels are {dtype}", where=where, hint="whole numbers from 0")
        values = np.frombuffer(_read_exactly(stream, int(np.prod(shape)) * dtype.itemsize, where), dtype)
    values = values.reshape(shape)
    if values.ndim not in (1, 2) or len(values) != count:
        raise DatasetError(f"there are {count:,} images but labels of shape {values.shape}", where=where)
    if not np.isfinite(values).all() or (values < 0).any() or not np.array_equal(values, np.floor(values)):
        raise DatasetError("the labels are no whole numbers from 0", where=where)
    if values.ndim == 2 and values.shape[1] > 1:
        if values.max(initial=0) > 1:
            raise DatasetError(
                "several labels an image must be zeros and ones", where=where, why=f"found {values.max()}"
            )
        return values.astype(np.float32)
    return values.reshape(-1).astype(np.int64)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
