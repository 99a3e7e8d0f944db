"""Feature maps of different spatial sizes, brought to the smaller one by averaging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from penjing.errors import ModelError


def to_common_size(first: Any, second: Any, axes: int) -> tuple[Any, Any]:
    """Both tensors with the smaller of the two sizes along each axis of space.

    Args:
        first: Shape (batch, *space, ...).
        second: The same, with other sizes.
        axes: How many axes of space there are, the ones after the batch.

    Raises:
        ModelError: The sizes differ, and one of them is known at run time only.
    """
    sizes = list(zip(first.shape[1 : axes + 1], second.shape[1 : axes + 1], strict=True))
    if all(ours == theirs for ours, theirs in sizes):
        return first, second
    if any(size is None for pair in sizes for size in pair):
        raise ModelError(
            f"feature maps of sizes {first.shape[1 : axes + 1]} and {second.shape[1 : axes + 1]} cannot be compared",
            where="setting 'losses'",
            why="the model leaves the size of its input open, so how to average is not known",
            hint="build the models with keras.Input(shape=...) whose sizes are given, or pair layers of equal size",
        )
    common = [min(pair) for pair in sizes]
    return averaged(first, common), averaged(second, common)


def averaged(features: Any, sizes: Sequence[int]) -> Any:
    """A map of smaller size. Each new position is the mean of the stretch of old ones that it covers, those at its ends
    by the part that it covers of them; where the sizes are whole multiples that is average pooling.

    Args:
        features: Shape (batch, *space, ...).
        sizes: One size for each axis of space, none above what the map has.
    """
    for axis, size in enumerate(sizes, start=1):
        if features.shape[axis] != size:
            means = ops.convert_to_tensor(_means(int(features.shape[axis]), size))
            features = ops.moveaxis(ops.tensordot(means, ops.moveaxis(features, axis, 0), axes=1), 0, axis)
    return features


def _means(old: int, new: int) -> np.ndarray:
    """float32 of shape (new, old): how much of each new position is of each old one; rows sum to 1."""
    borders = np.arange(new + 1) * (old / new)
    starts, ends = borders[:-1, None], borders[1:, None]
    position = np.arange(old)[None]
    covered = np.clip(np.minimum(ends, position + 1) - np.maximum(starts, position), 0.0, 1.0)
    return (covered * (new / old)).astype(np.float32)
