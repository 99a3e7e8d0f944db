"""Calibration data: one example at a time, and stand-ins where only the size of a file is of interest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def one_at_a_time(arrays: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Examples with batch 1 of several inputs, as the converter's calibration takes them."""
    for index in range(len(arrays[0])):
        yield [array[index : index + 1] for array in arrays]


def placeholder_calibration(model: Any, examples: int = 4) -> list[np.ndarray]:
    """Seeded normal values for float inputs, zeros for all others, in the order of the model's inputs."""
    generator = np.random.default_rng(0)
    made = []
    for tensor in model.inputs:
        shape = (examples, *(size or 1 for size in tensor.shape[1:]))
        is_float = "float" in str(tensor.dtype)
        made.append(generator.normal(size=shape).astype(tensor.dtype) if is_float else np.zeros(shape, tensor.dtype))
    return made
