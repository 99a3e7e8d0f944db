"""Look at the data before any work starts: shapes, numbers, labels, overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from penjing.contract import PARTS, Split, Splits, Task
from penjing.errors import DataError

_CLASS_TASKS = ("classification", "ordinal")


def check_splits(splits: Splits, task: Task) -> None:
    """Refuse data that would give a wrong result or a late failure.

    Raises:
        DataError: An empty part, arrays of different lengths, NaN or infinite values, a label out of range, only one
            class in training, an example or a group in two parts.
    """
    for name in PARTS:
        _check_part(name, getattr(splits, name), splits, task)
    _check_overlap(splits, "ids", "example")
    if all(getattr(splits, name).groups is not None for name in PARTS):
        _check_overlap(splits, "groups", "group")


def _check_part(name: str, part: Split, splits: Splits, task: Task) -> None:
    if len(part) == 0:
        raise DataError(
            f"the {name} part is empty",
            where=splits.source,
            hint="give more data; training, validation and test each need examples",
        )
    arrays = {**_inputs(part.x), "targets": np.asarray(part.y)}
    for label, array in arrays.items():
        if len(array) != len(part):
            raise DataError(
                f"the {name} part has {len(part):,} examples but {len(array):,} {label}",
                where=splits.source,
            )
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            rows = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
            raise DataError(
                f"{label} of the {name} part hold NaN or infinite values in {len(rows):,} examples",
                where=f"{splits.source}, first at '{part.ids[int(rows[0])]}'",
                hint="repair or drop these examples",
            )
        if array.dtype == object:
            raise DataError(
                f"{label} of the {name} part are Python objects instead of numbers",
                where=splits.source,
            )
    if task in _CLASS_TASKS and (arrays["targets"].ndim == 1 or arrays["targets"].dtype == np.int64):
        _check_classes(name, arrays["targets"], splits)


def _check_classes(name: str, targets: np.ndarray, splits: Splits) -> None:
    numbers = targets.astype(np.int64)
    if not np.array_equal(numbers, targets):
        raise DataError(f"class numbers of the {name} part are no whole numbers", where=splits.source)
    limit = len(splits.labels) or int(np.max(splits.train.y)) + 1
    wrong = np.argwhere((numbers < 0) | (numbers >= limit))
    if len(wrong):
        raise DataError(
            f"{len(wrong):,} labels of the {name} part are out of range",
            where=f"{splits.source}, first at index {', '.join(map(str, wrong[0]))}",
            why=f"class {numbers[tuple(wrong[0])]} where 0 to {limit - 1} are known",
        )
    if name == "train" and len(np.unique(numbers)) < 2:
        raise DataError(
            "the training part has one class only",
            where=splits.source,
            why="there is nothing to tell apart",
        )


def _check_overlap(splits: Splits, attribute: str, word: str) -> None:
    members: dict[str, set[str]] = {name: set(map(str, getattr(getattr(splits, name), attribute))) for name in PARTS}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared: Sequence[str] = sorted(members[first] & members[second])
        if shared:
            raise DataError(
                f"{len(shared):,} {word}s stand in {first} and in {second}",
                where=f"{splits.source}, for example '{shared[0]}'",
                why="a result on examples that training has seen says nothing",
                hint="split by the group, so that each stands in one part only",
            )


def _inputs(x: Any) -> dict[str, np.ndarray]:
    if isinstance(x, dict):
        return {f"inputs '{name}'": np.asarray(values) for name, values in x.items()}
    return {"inputs": np.asarray(x)}
