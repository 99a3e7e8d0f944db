"""What a model without a domain is for, read off its outputs and the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from penjing.contract import Split, Splits, Task
from penjing.errors import DataError


def guess_task(targets: Any, output_shape: Sequence[int | None], kind: str = "linear") -> Task:
    """The task that targets and outputs speak of.

    - classification: class numbers where the model has a score for each class, or one-hot rows. Class numbers may be
      floats where the scores are softmax probabilities. Outputs that are maps (pixels, time steps) take a class number
      for each place.
    - binary: 0 and 1 for a model with one output.
    - multilabel: 0 and 1 for each of several outputs, or for each place of a map.
    - regression: everything else; targets have the shape of the outputs.

    Args:
        targets: Of the training part, shape (n, ...).
        output_shape: Of the model's output, without the examples; None where a size is open.
        kind: What the outputs are: "softmax", "sigmoid" or "linear".

    Raises:
        DataError: The targets have a shape that fits no task of these outputs.
    """
    y = np.asarray(targets)
    shape, classes = tuple(output_shape), int(output_shape[-1] or 1)
    if y.dtype.kind not in "fiub":
        raise DataError(f"the targets are of type {y.dtype}", hint="give class numbers, one-hot rows or float32 values")
    whole = y.dtype.kind in "iub"
    flags = (whole or kind != "linear") and bool(np.isin(y, (0, 1)).all())
    if are_class_numbers(y) or (kind != "linear" and is_a_column(y) and bool((y == np.round(y)).all())):
        if classes > 1 and (whole or kind == "softmax") and len(shape) == 1:
            return "classification"
        if shape == (1,) and flags:
            return "binary"
    places, per_place = y.shape[1:], len(shape) > 1
    if per_place and places in (shape[:-1], (*shape[:-1], 1)) and (whole or kind == "softmax") and classes > 1:
        return "classification"
    if per_place and classes == 1 and flags and places in (shape[:-1], shape):
        return "multilabel"
    if _fits(places, shape) and classes > 1 and set(np.unique(y)) <= {0, 1}:
        if (y.sum(axis=-1) == 1).all():
            return "classification"
        if not per_place or flags:
            return "multilabel"
    if not _fits(places, shape) and not _fits((*places, 1), shape):
        raise DataError(
            f"targets of shape (n, {', '.join(map(str, places))})".replace(", )", ",)")
            + f" do not fit outputs of shape (n, {', '.join(str(size or '?') for size in shape)})",
            hint="give whole numbers as class numbers, or a value for each output",
        )
    return "regression"


def fitting_targets(splits: Splits, task: Task, output_shape: Sequence[int | None]) -> Splits:
    """The same data with targets as the engine takes them: class numbers int64, of shape (n,) or of the output's
    places; one-hot rows float32; flags of a map in its shape. Classes without names are called by their numbers."""
    shape = tuple(output_shape)

    def fitted(part: Split) -> Split:
        y = np.asarray(part.y)
        scores = task == "classification" and _fits(y.shape[1:], shape)
        if are_class_numbers(y) or (task in ("classification", "binary") and not scores):
            places = y.shape[1:-1] if y.ndim > 1 and y.shape[-1] == 1 else y.shape[1:]
            return replace(part, y=y.reshape(len(y), *places).astype(np.int64))
        if task == "multilabel" and y.shape[1:] == shape[:-1]:
            y = y[..., None]
        return replace(part, y=y if are_class_numbers(y) else y.astype(np.float32))

    labels = splits.labels
    if not labels and task == "classification":
        labels = tuple(str(number) for number in range(int(shape[-1] or 1)))
    if not labels and task == "binary":
        labels = ("0", "1")
    return replace(
        splits,
        train=fitted(splits.train),
        validation=fitted(splits.validation),
        test=fitted(splits.test),
        labels=labels,
    )


def are_class_numbers(y: Any) -> bool:
    """Whether targets are whole numbers, one for each example."""
    y = np.asarray(y)
    return is_a_column(y) and (np.issubdtype(y.dtype, np.integer) or y.dtype == bool)


def is_a_column(y: np.ndarray) -> bool:
    """Whether there is one target for each example."""
    return y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)


def _fits(places: Sequence[int], shape: Sequence[int | None]) -> bool:
    return len(places) == len(shape) and all(
        size is None or size == given for given, size in zip(places, shape, strict=True)
    )
