"""What comes into a model: the range that proofs are relative to, and inputs within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds.propagation import UNBOUNDED, Range
from penjing.compression.settings.dead_channels import RemoveDeadSettings
from penjing.errors import DataError, ModelError, did_you_mean


def input_names(model: keras.Model) -> list[str]:
    """Names of the inputs in the order of `model.inputs`: the keys of a model that was built with a dict, else the
    tensors' names."""
    structure = getattr(model, "_inputs_struct", None)
    if isinstance(structure, Mapping):
        return sorted(structure)  # the order in which Keras flattens it
    return [tensor.name for tensor in model.inputs]


def input_arrays(model: keras.Model, x: Any) -> list[np.ndarray]:
    """A split's inputs in the order of `model.inputs`."""
    if isinstance(x, Mapping):
        return [np.asarray(x[name]) for name in input_names(model)]
    return [np.asarray(array) for array in (x if isinstance(x, (list, tuple)) else [x])]


def structured(model: keras.Model, arrays: Sequence[Any]) -> Any:
    """Arrays in the order of `model.inputs` in the form in which the model takes them."""
    structure = getattr(model, "_inputs_struct", None)
    return arrays[0] if structure is None else keras.tree.pack_sequence_as(structure, list(arrays))


def declared_ranges(model: keras.Model, settings: RemoveDeadSettings) -> dict[str, Range]:
    """The user's ranges by input name; empty without an `input_range`.

    Raises:
        ModelError: The setting names no input of the model, or leaves one out.
    """
    names = input_names(model)
    if settings.input_range is None:
        return {}
    if not isinstance(settings.input_range, dict):
        return dict.fromkeys(names, settings.input_range)
    for name in settings.input_range:
        if name not in names:
            raise ModelError(
                f"the model has no input '{name}'", where="setting 'input_range'", hint=did_you_mean(name, names)
            )
    missing = [name for name in names if name not in settings.input_range]
    if missing:
        raise ModelError(
            f"no range is given for the input '{missing[0]}'",
            where="setting 'input_range'",
            hint="give one for every input of the model, or one [low, high] for all",
        )
    return dict(settings.input_range)


def ranges_of(model: keras.Model, settings: RemoveDeadSettings, splits: Sequence[Any]) -> dict[str, Range]:
    """The range of each input, by name: as declared, or as the data spans it and widened.

    Args:
        splits: Inputs of the parts of the data that may be looked at.

    Raises:
        DataError: The data leaves the declared range.
    """
    declared = declared_ranges(model, settings)
    spans = {}
    for index, name in enumerate(input_names(model)):
        arrays = [input_arrays(model, x)[index] for x in splits]
        if any(not np.issubdtype(array.dtype, np.number) for array in arrays):
            spans[name] = UNBOUNDED
            continue
        low = min(float(array.min()) for array in arrays if array.size)
        high = max(float(array.max()) for array in arrays if array.size)
        if name in declared:
            spans[name] = declared[name]
            if low < np.float32(declared[name][0]) or high > np.float32(declared[name][1]):
                raise DataError(
                    f"the data spans {low:g} to {high:g}, which is more than the declared {list(declared[name])}",
                    where=f"input '{name}', setting 'input_range'",
                    why="a proof for the declared range would say nothing about this data",
                    hint="declare a wider range, or leave it out: then it is taken from the data",
                )
        else:
            floating = "float" in str(model.inputs[index].dtype)
            margin = settings.widen * (high - low) if floating else 0.0
            spans[name] = (low - margin, high + margin)
    return spans


def random_inputs(model: keras.Model, ranges: Mapping[str, Range], count: int, seed: int) -> Any:
    """Inputs within the ranges: half of them uniform, half made of the two ends alone, where bounds are met.

    Returns:
        One array, or a dict by input name where the model has several inputs; None where a range is not finite.
    """
    generator = np.random.default_rng(seed)
    inputs = {}
    for name, tensor in zip(input_names(model), model.inputs, strict=True):
        low, high = ranges[name]
        if not np.isfinite([low, high]).all() or "string" in str(tensor.dtype):
            return None
        shape = (count, *(size or 16 for size in tensor.shape[1:]))
        if "float" in str(tensor.dtype):
            values = generator.uniform(low, high, shape)
            ends = np.where(generator.random(shape) < 0.5, low, high)
            values[1::2] = ends[1::2]
            inputs[name] = np.clip(values, low, high).astype("float32")
        else:
            inputs[name] = generator.integers(int(np.ceil(low)), int(np.floor(high)) + 1, shape)
    return inputs if len(inputs) > 1 else next(iter(inputs.values()))


def some_of(x: Any, count: int) -> Any:
    """At most so many examples of a split's inputs, evenly spaced."""
    if isinstance(x, Mapping):
        return {name: some_of(array, count) for name, array in x.items()}
    if len(x) <= count:
        return x
    return np.asarray(x)[np.linspace(0, len(x) - 1, count).astype(int)]
