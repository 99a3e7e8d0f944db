"""Images and labels from where they lie: a MedMNIST file, a folder, or the synthetic sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import DataRequest
from penjing.errors import DataError, RecipeError
from penjing_datasets.duplicates import content_hashes
from penjing_datasets.errors import DatasetError
from penjing_datasets.image_collections import read_images
from penjing_datasets.lesion_images import LABELS, generate_lesions
from penjing_datasets.medmnist import MedMnist, read_medmnist
from penjing_datasets.splits import PARTS
from penjing_medical_imaging.examples import Examples, numbered

KEPT_SIZE, LARGE_SIZE = 48, 64


def read_examples(request: DataRequest, options: Mapping[str, Any]) -> Examples:
    """Images of the given path, or the synthetic sample.

    Raises:
        DatasetError: The data cannot be read.
        DataError: The task does not fit the labels.
        RecipeError: `positive` is none of the classes.
    """
    path = request.path
    if path is None:
        return _sample(request.seed, options)
    if not path.exists():
        raise DatasetError("there is no such file or folder", where=str(path))
    if path.is_dir():
        inside = sorted(path.glob("*.npz"))
        if len(inside) == 1 and not any(entry.is_dir() for entry in path.iterdir()):
            return _medmnist(inside[0], options, request)
        if len(inside) > 1:
            raise DatasetError(
                f"there are {len(inside)} .npz files", where=str(path), hint="name one: --data " + str(inside[0])
            )
        return _collection(path, options, request)
    if path.suffix.lower() == ".npz":
        return _medmnist(path, options, request)
    raise DatasetError(
        "this is neither a folder nor a .npz file",
        where=str(path),
        hint="a MedMNIST .npz file, or a folder of images; pickles (.npy, .pkl) are not opened",
    )


def _target_size(options: Mapping[str, Any], own: int) -> int:
    return options["size"] or (own if own <= KEPT_SIZE else min(own, LARGE_SIZE))


def _sample(seed: int, options: Mapping[str, Any]) -> Examples:
    made = generate_lesions(patients=options["patients"], seed=seed, size=options["size"] or 28)
    return Examples(
        images=made.images[..., None],
        y=made.labels,
        labels=LABELS,
        task="binary",
        parts=None,
        groups=made.patients,
        ids=[f"synthetic image {number}" for number in range(1, len(made.images) + 1)],
        hashes=content_hashes(made.images),
        slices={"artefact": made.artefacts},
        source=f"built-in sample, {options['patients']:,} synthetic patients",
        sha256=made.sha256,
        synthetic=True,
        notes=["Synthetic images, drawn by a program; they show no organ of any person."],
    )


def _medmnist(path: Path, options: Mapping[str, Any], request: DataRequest) -> Examples:
    read = read_medmnist(path, size=lambda own: _target_size(options, own), progress=request.progress)
    y, labels, task, notes = _medmnist_labels(read, options)
    own = read.original_size
    size = read.images["train"].shape[1]
    if size != own:
        notes.append(f"images of {own} x {own} pixels were brought to {size} x {size}")
    images = np.concatenate([read.images[part] for part in PARTS])
    if options["channels"] and options["channels"] != images.shape[3]:
        images = _rechannelled(images, options["channels"])
    notes.append(
        "the set names no patients: it cannot be known whether images of one patient stand in several parts, in which "
        "case the figures would be too good for new patients"
    )
    return Examples(
        images=images,
        y=y,
        labels=labels,
        task=task,
        parts=np.concatenate([np.full(len(read.images[part]), part) for part in PARTS]),
        groups=None,
        ids=[f"{part} {number}" for part in PARTS for number in range(len(read.images[part]))],
        hashes=content_hashes(images),
        slices={},
        source=read.name,
        sha256=read.sha256,
        any_orientation=bool(read.known and read.known.any_orientation),
        official=True,
        notes=notes,
    )


def _rechannelled(images: np.ndarray, channels: int) -> np.ndarray:
    from penjing_datasets.images import with_channels

    return np.stack([np.rint(with_channels(image.astype(np.float32), channels)).astype(np.uint8) for image in images])


def _medmnist_labels(read: MedMnist, options: Mapping[str, Any]) -> tuple[np.ndarray, tuple[str, ...], str, list[str]]:
    """(y, labels, task, notes) of a file."""
    y = np.concatenate([read.labels[part] for part in PARTS])
    known, task, notes = read.known, options["task"], []
    if y.ndim == 2 and known is None and task != "multilabel" and (y.sum(axis=1) == 1).all():
        notes.append("every image has one label of several: they are taken as classes (task = 'multilabel' as labels)")
        y = y.argmax(axis=1)
    if y.ndim == 2:
        if task not in ("auto", "multilabel"):
            raise DataError(f"task = '{task}' does not fit several labels an image", where=read.name)
        labels = known.labels if known else tuple(f"label {number}" for number in range(y.shape[1]))
        return y, labels, "multilabel", notes
    count = int(y.max()) + 1
    if len(np.unique(y)) < 2:
        raise DataError(f"there is one class only, {y[0]}", where=read.name, why="there is nothing to tell apart")
    if y.min() > 0:
        raise DataError(
            f"the smallest class number is {y.min()}",
            where=read.name,
            why="classes are counted from 0",
            hint=f"labels - {y.min()}",
        )
    if task == "multilabel":
        raise DataError("task = 'multilabel' needs several labels an image", where=read.name)
    if task == "auto":
        task = known.task if known else ("binary" if count == 2 else "classification")
        if known is None and count > 2:
            notes.append(
                "the file's name is of no published set: its classes are taken as unordered "
                "(task = 'ordinal' orders them)"
            )
    if task == "binary" and count != 2:
        raise DataError(f"task = 'binary' needs two classes, there are {count}", where=read.name)
    labels = known.labels if known else tuple(f"class {number}" for number in range(count))
    if options["positive"]:
        if task != "binary" or options["positive"] not in labels:
            raise RecipeError(
                f"positive = '{options['positive']}' is no class of two", where="[data]", hint=", ".join(labels)
            )
        if options["positive"] == labels[0]:
            y, labels = 1 - y, labels[::-1]
    return y, labels, task, notes


def _collection(path: Path, options: Mapping[str, Any], request: DataRequest) -> Examples:
    read = read_images(
        path,
        size=lambda own: _target_size(options, own),
        fit=options["fit"],
        channels=options["channels"],
        max_broken_share=options["max_broken_share"],
        progress=request.progress,
    )
    y, labels, task = numbered(read.labels, options["task"], options["positive"], path.resolve().name)
    notes = list(read.notes)
    if read.patients is None:
        notes.append(
            "no patient is known (a column patient in labels.csv would tell): it cannot be known whether images of one "
            "patient stand in several parts, in which case the figures would be too good for new patients"
        )
    elif read.unknown_patients:
        notes.append(f"{read.unknown_patients:,} images name no patient and were taken as patients of their own")
    return Examples(
        images=read.images,
        y=y,
        labels=labels,
        task=task,
        parts=read.parts,
        groups=read.patients,
        ids=read.ids,
        hashes=read.hashes,
        slices=dict(read.slices),
        source=path.resolve().name,
        sha256=read.sha256,
        notes=notes,
    )
