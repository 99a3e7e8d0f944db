"""Image files in folders and archives: a part is a folder, or an archive of one, that has a folder a class."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from penjing.errors import DataError

from penjing_image_classification.collection import PARTS, Collection
from penjing_image_classification.images import ENDINGS, decode

Files = list[tuple[str, str, bytes]]
"""(class, where it stands, content) of each image, in the order of their names."""


def read_image_files(path: Path, size: int, channels: int) -> Collection:
    """Images of a folder or of an archive, scaled to `size` pixels.

    Args:
        path: A folder or an archive (.tar, .tar.gz, .tgz) with `train` and `test`, each a folder a class; or a folder
            with an archive of each part, whose name holds that word.
        size: Width and height, pixels.
        channels: 3 for colour, 1 for grey.

    Raises:
        DataError: A part is missing or empty, there are no two classes, or a file cannot be read; says which and why.
    """
    found = {part: _part(path, part) for part in PARTS}
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


def _part(path: Path, part: str) -> Files:
    if path.is_file():
        files = list(_of_archive(path, part))
        place = f"{path}, {part}"
        hint = "an archive holds train/CLASS and test/CLASS; or give the folder in which an archive of each part lies"
    else:
        place, files = _of_folder(path, part)
        hint = f"put them into {part}/CLASS, a folder a class"
    if not files:
        raise DataError(
            f"there are no images in part '{part}'",
            where=place,
            why=f"no file in the folder of a class ends with {', '.join(ENDINGS)}",
            hint=hint,
        )
    return files


def _of_folder(path: Path, part: str) -> tuple[str, Files]:
    """Where the part is, and its files."""
    if (path / part).is_dir():
        place = path / part
        files = [file for file in sorted(place.glob("*/*")) if file.suffix.lower() in ENDINGS]
        return str(place), [(file.parent.name, str(file), file.read_bytes()) for file in files]
    archives = [file for file in sorted(path.glob("*.t*")) if part in file.name and tarfile.is_tarfile(file)]
    if len(archives) != 1:
        raise DataError(
            f"there is no part '{part}'",
            where=str(path),
            why=f"no folder '{part}', and {len(archives)} archives with that word in their name",
        )
    return str(archives[0]), list(_of_archive(archives[0]))


def _of_archive(path: Path, part: str | None = None) -> Iterator[tuple[str, str, bytes]]:
    """Images of an archive; of those in PART/CLASS only, where a part is named."""
    try:
        with tarfile.open(path) as archive:
            members = {PurePosixPath(member.name): member for member in archive if member.isfile()}
            for name in sorted(members):
                content = archive.extractfile(members[name])
                if name.suffix.lower() in ENDINGS and content is not None and part in (None, name.parent.parent.name):
                    yield name.parent.name, f"{path}, {name}", content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError("the archive cannot be read", where=str(path), why=str(error)) from error
