"""Data for a model without a domain: an .npz file, or arrays by the same names."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import PARTS, Split, Splits
from penjing.errors import DataError, did_you_mean
from penjing.runner.fit_data import named
from penjing.runner.task_guess import are_class_numbers

INPUTS = ("x", *(f"x_{part}" for part in PARTS))
KEYS = (*(f"{axis}_{part}" for part in PARTS for axis in "xy"), "x", "y", "labels")
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


def load_arrays(data: Any, *, seed: int) -> Splits:
    """Data with the keys x_train, y_train, x_validation, y_validation, x_test, y_test; or x and y, which are split
    70/15/15 by the seed, each class alike; and perhaps labels.

    Args:
        data: An .npz file, or arrays by these names. For a model of several inputs each has a key of its own, by its
            name: "x_train.image", "x_train.age"; without a file a dict under "x_train" does as well, or a list in the
            order of the model's inputs. Also what `keras.Model.fit` takes, see `fit_data`.

    Raises:
        DataError: A key is missing or unknown, the file is damaged or holds pickled objects, inputs are no numbers, or
            lengths differ.
    """
    if isinstance(data, (str, Path)):
        arrays, source = _read(Path(data)), Path(data).name
    else:
        arrays, source = _flattened(named(data)), "arrays"
    for name in arrays:
        key, _, of_input = name.partition(".")
        if key not in KEYS or (of_input and key not in INPUTS) or name.endswith("."):
            raise DataError(
                f"unknown key '{name}'",
                where=source,
                why="keys are x_train, y_train, x_validation, y_validation, x_test, y_test; or x, y; and labels; of a "
                "model with several inputs x_train.NAME and so on",
                hint=did_you_mean(name, KEYS),
            )
    digest = _sha256(arrays)
    labels = tuple(str(label) for label in arrays.pop("labels", ()))
    arrays = {
        name: _numbers(name, values, source) if name.partition(".")[0] in INPUTS else values
        for name, values in arrays.items()
    }
    notes: tuple[str, ...] = ()
    if any(name.partition(".")[0] in ("x", "y") for name in arrays):
        arrays, notes = _split(arrays, source, seed), (f"split 70/15/15 by seed {seed}",)
    missing = [f"{axis}_{part}" for part in PARTS for axis in "xy" if not _of(arrays, f"{axis}_{part}")]
    if missing:
        raise DataError(
            f"the data lacks {', '.join(missing)}",
            where=source,
            hint="give all six, or x and y alone: they are split 70/15/15",
        )
    parts = {}
    for part in PARTS:
        y = arrays[f"y_{part}"]
        inputs = _of(arrays, f"x_{part}")
        for values in inputs.values():
            if len(values) != len(y):
                raise DataError(f"x_{part} has {len(values):,} rows, y_{part} {len(y):,}", where=source)
        positions = arrays.get(f"rows_{part}", np.arange(len(y)))
        prefix = "row" if f"rows_{part}" in arrays else part
        parts[part] = Split(
            x=inputs[""] if list(inputs) == [""] else inputs,
            y=y.astype(np.int64) if y.dtype == bool else y,
            ids=[f"{prefix}-{position}" for position in positions],
        )
    if not labels and are_class_numbers(parts["train"].y):
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


def _flattened(data: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays by key, the inputs of a dict by "key.name"."""
    arrays: dict[str, np.ndarray] = {}
    for name, value in data.items():
        if isinstance(value, Mapping) and name in INPUTS:
            arrays |= {f"{name}.{of_input}": np.asarray(array) for of_input, array in value.items()}
        elif name in INPUTS and _is_list_of_inputs(value, data.get(f"y{name[1:]}")):
            arrays |= {f"{name}.{position}": np.asarray(array) for position, array in enumerate(value)}
        else:
            arrays[name] = np.asarray(value)
    return arrays


def _is_list_of_inputs(value: Any, targets: Any) -> bool:
    """Whether a list holds an array for each input, as `keras.Model.fit` takes them, rather than one for each row."""
    if not isinstance(value, (list, tuple)) or targets is None or len(value) < 2 or len(value) == len(targets):
        return False
    return all(hasattr(each, "shape") and len(each) == len(targets) for each in value)


def with_input_names(splits: Splits, names: Sequence[str]) -> Splits:
    """The splits, inputs that came in a list by the model's names.

    Args:
        names: Of the model's inputs, in its order.
    """
    x = splits.train.x
    if not isinstance(x, dict) or list(x) != [str(position) for position in range(len(names))]:
        return splits
    return replace(
        splits,
        **{
            part: replace(split, x=dict(zip(names, split.x.values(), strict=True)))
            for part, split in ((part, getattr(splits, part)) for part in PARTS)
        },
    )


def _of(arrays: Mapping[str, np.ndarray], key: str) -> dict[str, np.ndarray]:
    """The arrays of a key, by input name: "" where it has one array."""
    return {name[len(key) + 1 :]: array for name, array in arrays.items() if name.partition(".")[0] == key}


def _numbers(name: str, values: np.ndarray, source: str) -> np.ndarray:
    """Inputs as a model takes them.

    Raises:
        DataError: They are no numbers.
    """
    if values.dtype.kind in "iub" and np.abs(values.astype(np.float64)).max(initial=0) > 2**24:
        return values.astype(np.int32)  # float32 would take neighbouring numbers of words or items for one
    if values.dtype.kind in "fiub":
        return values.astype(np.float32)
    kind = "text" if values.dtype.kind in "US" else "records" if values.dtype.kind == "V" else str(values.dtype)
    raise DataError(
        f"'{name}' holds {kind} instead of numbers",
        where=source,
        why="a file for a device takes numbers alone",
        hint={
            "text": "turn text into numbers before the model: apply its TextVectorization or StringLookup to the data, "
            "and give the model from there on",
            "records": f"give each input an array of its own, '{name}.NAME'",
        }.get(kind, "save it as float32 or int32"),
    )


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
    inputs = _of(arrays, "x")
    if not inputs or "y" not in arrays:
        raise DataError("x and y come together", where=source)
    y = arrays["y"]
    for values in inputs.values():
        if len(values) != len(y):
            raise DataError(f"x has {len(values):,} rows, y {len(y):,}", where=source)
    generator = np.random.default_rng(seed)
    strata = y.reshape(len(y), -1)[:, 0] if are_class_numbers(y) else np.zeros(len(y), int)
    chosen: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for value in np.unique(strata):
        rows = generator.permutation(np.flatnonzero(strata == value))
        first = round(SHARES["train"] * len(rows))
        second = first + round(SHARES["validation"] * len(rows))
        for part, members in zip(PARTS, np.split(rows, [first, second]), strict=True):
            chosen[part].append(members)
    result = {name: value for name, value in arrays.items() if name.partition(".")[0] not in ("x", "y")}
    for part in PARTS:
        rows = np.sort(np.concatenate(chosen[part]))
        result |= {f"x_{part}{'.' * bool(name)}{name}": values[rows] for name, values in inputs.items()}
        result |= {f"y_{part}": y[rows], f"rows_{part}": rows}
    return result


def _sha256(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype}:{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
