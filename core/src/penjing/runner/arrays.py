"""Data for a model without a domain: an .npz file, or arrays by the same names."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import Split, Splits, Task
from penjing.errors import DataError, did_you_mean

PARTS = ("train", "validation", "test")
KEYS = (*(f"{axis}_{part}" for part in PARTS for axis in "xy"), "x", "y", "labels")
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


def load_arrays(data: str | Path | Mapping[str, Any], *, seed: int) -> Splits:
    """Data with the keys x_train, y_train, x_validation, y_validation, x_test, y_test; or x and y, which are split
    70/15/15 by the seed, each class alike; and perhaps labels.

    Args:
        data: An .npz file, or arrays by these names.

    Raises:
        DataError: A key is missing or unknown, the file is damaged or holds pickled objects, or lengths differ.
    """
    if isinstance(data, (str, Path)):
        arrays, source = _read(Path(data)), Path(data).name
    else:
        arrays, source = {name: np.asarray(value) for name, value in data.items()}, "arrays"
    for name in arrays:
        if name not in KEYS:
            raise DataError(
                f"unknown key '{name}'",
                where=source,
                why="keys are x_train, y_train, x_validation, y_validation, x_test, y_test; or x, y; and labels",
                hint=did_you_mean(name, KEYS),
            )
    digest = _sha256(arrays)
    notes: tuple[str, ...] = ()
    if "x" in arrays or "y" in arrays:
        arrays, notes = _split(arrays, source, seed), (f"split 70/15/15 by seed {seed}",)
    missing = [f"{axis}_{part}" for part in PARTS for axis in "xy" if f"{axis}_{part}" not in arrays]
    if missing:
        raise DataError(
            f"the data lacks {', '.join(missing)}",
            where=source,
            hint="give all six, or x and y alone: they are split 70/15/15",
        )
    labels = tuple(str(label) for label in arrays["labels"]) if "labels" in arrays else ()
    parts = {}
    for part in PARTS:
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(x) != len(y):
            raise DataError(f"x_{part} has {len(x):,} rows, y_{part} {len(y):,}", where=source)
        positions = arrays.get(f"rows_{part}", np.arange(len(x)))
        prefix = "row" if f"rows_{part}" in arrays else part
        parts[part] = Split(
            x=x.astype(np.float32),
            y=y,
            ids=[f"{prefix}-{position}" for position in positions],
        )
    if not labels and _are_classes(parts["train"].y):
        count = int(max(np.max(split.y, initial=0) for split in parts.values())) + 1
        labels = tuple(str(number) for number in range(count))
    return Splits(
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        source=source,
        sha256=digest,
        labels=labels,
        notes=notes,
    )


def guess_task(splits: Splits, outputs: int) -> Task:
    """The task that targets and outputs speak of: class numbers are a classification (or binary with one output),
    one-hot rows too; everything else is a regression."""
    y = np.asarray(splits.train.y)
    if _are_classes(y):
        return (
            "binary"
            if outputs == 1 and int(y.max(initial=0)) <= 1
            else ("classification" if outputs > 1 else "regression")
        )
    if y.ndim == 2 and y.shape[1] == outputs > 1 and set(np.unique(y)) <= {0, 1}:
        return "classification" if (y.sum(axis=1) == 1).all() else "multilabel"
    return "regression"


def _are_classes(y: Any) -> bool:
    y = np.asarray(y)
    return (y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)) and np.issubdtype(y.dtype, np.integer)


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.is_file() and not zipfile.is_zipfile(path):
        # numpy takes anything else for a pickle.
        raise DataError("the file is no .npz archive", where=str(path), hint="save it with np.savez")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=str(path)) from error
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise DataError(
                "the file holds pickled Python objects, which are never opened",
                where=str(path),
                why="unpickling runs code that the file brings",
                hint="save plain arrays: np.savez(path, x_train=..., y_train=...)",
            ) from error
        raise DataError("the file is no .npz archive", where=str(path), why=str(error)) from error
    except (OSError, zipfile.BadZipFile, EOFError, AttributeError, TypeError) as error:
        raise DataError("the file is no .npz archive", where=str(path), why=str(error)) from error


def _split(arrays: Mapping[str, np.ndarray], source: str, seed: int) -> dict[str, np.ndarray]:
    if "x" not in arrays or "y" not in arrays:
        raise DataError("x and y come together", where=source)
    x, y = arrays["x"], arrays["y"]
    if len(x) != len(y):
        raise DataError(f"x has {len(x):,} rows, y {len(y):,}", where=source)
    generator = np.random.default_rng(seed)
    strata = y.reshape(len(y), -1)[:, 0] if _are_classes(y) else np.zeros(len(y), int)
    chosen: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for value in np.unique(strata):
        rows = generator.permutation(np.flatnonzero(strata == value))
        first = round(SHARES["train"] * len(rows))
        second = first + round(SHARES["validation"] * len(rows))
        for part, members in zip(PARTS, np.split(rows, [first, second]), strict=True):
            chosen[part].append(members)
    result = {name: value for name, value in arrays.items() if name not in ("x", "y")}
    for part in PARTS:
        rows = np.sort(np.concatenate(chosen[part]))
        result |= {f"x_{part}": x[rows], f"y_{part}": y[rows], f"rows_{part}": rows}
    return result


def _sha256(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype}:{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
