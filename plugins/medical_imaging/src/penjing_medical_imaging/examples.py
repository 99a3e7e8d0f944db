"""Labelled images before they are split and normalised, whatever file they came from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from penjing.errors import DataError, RecipeError
from penjing_datasets.splits import PARTS

TASKS = ("binary", "classification", "multilabel", "ordinal")
NEGATIVE = ("normal", "negative", "healthy", "control", "benign", "no finding", "none", "no", "0", "no lesion")
"""Words for the class that is no finding; it becomes class 0 of two."""
NOTHING = ("no finding", "none", "normal", "")
"""Words that say, where an image may have several labels, that it has none."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """All images of a set."""

    images: np.ndarray
    """uint8 from 0 to 255, or float32 from 0 to 1; shape (n, size, size, channels)."""
    y: np.ndarray
    """int64 of shape (n,), or float32 of shape (n, labels) of zeros and ones."""
    labels: tuple[str, ...]
    task: str
    parts: np.ndarray | None
    """Given part of each image, or None."""
    groups: np.ndarray | None
    """Patient of each image without anything that names one, or None."""
    ids: list[str]
    hashes: list[str]
    slices: dict[str, np.ndarray]
    source: str
    sha256: str
    synthetic: bool = False
    any_orientation: bool = False
    official: bool = False
    """Whether the parts are those of a publication, which are kept as they are."""
    notes: list[str] = field(default_factory=list)


def numbered(names: np.ndarray, task: str, positive: str, where: str) -> tuple[np.ndarray, tuple[str, ...], str]:
    """Class names as numbers.

    Args:
        names: str of shape (n,); labels of one image joined by '|'.
        task: One of `TASKS`, or "auto": several where any image has several, else binary or classification.
        positive: The class that is the finding, for two classes; "" goes by `NEGATIVE`, else by the alphabet.

    Returns:
        (y, labels, task).

    Raises:
        DataError: There is one class only, or the task does not fit the classes.
        RecipeError: `positive` is none of the classes.
    """
    sets = [[part.strip() for part in name.split("|")] for name in names]
    if task == "auto" and any(len(entry) > 1 for entry in sets):
        task = "multilabel"
    if task == "multilabel":
        labels = tuple(sorted({part for entry in sets for part in entry if part.lower() not in NOTHING}))
        if len(labels) < 2:
            raise DataError("there are fewer than two labels", where=where, hint="task = 'binary' fits one finding")
        y = np.array([[label in entry for label in labels] for entry in sets], np.float32)
        return y, labels, task
    found = sorted(set(map(str, names)), key=_natural)
    if len(found) < 2:
        raise DataError(
            f"there is one class only, '{found[0]}'",
            where=where,
            why="there is nothing to tell apart",
            hint="a folder a class, or a column label in labels.csv",
        )
    if task == "auto":
        task = "binary" if len(found) == 2 else "classification"
    if task == "binary":
        if len(found) != 2:
            raise DataError(f"task = 'binary' needs two classes, there are {len(found)}", where=where)
        found = _two(found, positive)
    elif positive:
        raise RecipeError(f"positive = '{positive}' is for two classes, there are {len(found)}", where="[data]")
    y = np.array([found.index(str(name)) for name in names], np.int64)
    return y, tuple(found), task


def _two(found: list[str], positive: str) -> list[str]:
    if positive:
        if positive not in found:
            raise RecipeError(f"positive = '{positive}' is no class", where="[data]", hint="one of " + ", ".join(found))
        return sorted(found, key=lambda name: name == positive)
    negative = [name for name in found if name.lower().replace("_", " ") in NEGATIVE]
    return sorted(found, key=lambda name: name not in negative) if len(negative) == 1 else found


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers in their order, before words."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def check_parts(examples: Examples, parts: np.ndarray) -> list[str]:
    """What is wrong with the classes of the parts, as notes.

    Raises:
        DataError: Training or test cannot be used.
    """
    notes = []
    for part in PARTS:
        rows = parts == part
        if not rows.any():
            different = len(set(examples.hashes))
            raise DataError(
                f"the {part} part is empty",
                where=examples.source,
                why=f"there are {different:,} different images, and copies stand in one part"
                if examples.parts is None
                else "the given split has none",
                hint="give more images, or other shares" if examples.parts is None else "complete the column split",
            )
        y = examples.y[rows]
        if examples.task == "multilabel":
            missing = [label for label, count in zip(examples.labels, y.sum(axis=0), strict=True) if count == 0]
            whole = len(missing) == len(examples.labels)
        else:
            counts = np.bincount(y.astype(int), minlength=len(examples.labels))
            missing = [label for label, count in zip(examples.labels, counts, strict=True) if count == 0]
            whole = len(examples.labels) - len(missing) < 2
        if whole:
            raise DataError(
                f"the {part} part has fewer than two classes",
                where=examples.source,
                why="no " + ", no ".join(missing),
                hint="more patients of each class, or another --seed"
                if examples.parts is None
                else "each part of a given split needs images of two classes at least",
            )
        if missing and part == "train" and examples.task != "multilabel":
            raise DataError(
                f"the training part has no {', no '.join(missing)}",
                where=examples.source,
                why=f"classes are counted from 0 to {len(examples.labels) - 1}, each must have been seen",
                hint="number the classes without gaps, or move images of it into training",
            )
        if missing:
            notes.append(f"the {part} part has no {', no '.join(missing)}: their AUC is not defined there")
    return notes
