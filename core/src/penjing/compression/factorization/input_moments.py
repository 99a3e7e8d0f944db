"""What layers read, as far as a factorization cares: how large channels are, and how they go together.

A kernel K applied to channels x gives outputs of squared size E|x K|^2 = tr(K^T C K) with C = E[x x^T]. With C = L L^T
that is the squared size of L^T K. So taking L^T K apart in place of K loses the least of the outputs, not of the
weights; the first factor then gets the inverse of L^T. For windows larger than one this takes neighbouring positions
for uncorrelated.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from penjing.compression.bounds.calls import CallGraph
from penjing.compression.pruning.dead.ranges import input_arrays

_RIDGE = 1e-4
"""Share of the mean variance that is added to every channel, so that silent ones can be divided by."""


def input_moments(model: keras.Model, x: Any, examples: int, batch: int = 64) -> dict[str, np.ndarray]:
    """E[x x^T] over positions and examples of the channels that each Dense and convolution layer reads, float64 of
    shape (channels, channels), by layer path.

    Args:
        x: Inputs as in `Split.x`; the first `examples` of them are run.
    """
    graph = CallGraph.from_model(model)
    kinds = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D)
    readers = {
        value: [call.path for call in calls if isinstance(call.operation, kinds)]
        for value, calls in graph.readers().items()
    }
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    arrays = [array[:examples] for array in input_arrays(model, x)]
    for start in range(0, len(arrays[0]), batch):
        rows = [array[start : start + batch] for array in arrays]
        for value, tensor in [*zip(graph.inputs, rows, strict=True), *graph.run(rows)]:
            for path in readers.get(value, ()):
                seen = np.asarray(tensor, np.float64)
                seen = seen.reshape(-1, seen.shape[-1])
                sums[path] = sums.get(path, 0.0) + seen.T @ seen
                counts[path] = counts.get(path, 0) + len(seen)
    return {path: total / counts[path] for path, total in sums.items()}


def roots(moments: np.ndarray, groups: int) -> np.ndarray:
    """Lower triangular L with L L^T = C for the channels of each group, shape (groups, channels, channels)."""
    size = len(moments) // groups
    found = []
    for group in range(groups):
        part = moments[group * size : (group + 1) * size, group * size : (group + 1) * size]
        ridge = _RIDGE * np.trace(part) / size or 1.0
        found.append(np.linalg.cholesky(part + ridge * np.eye(size)))
    return np.stack(found)


def weigh(parts: np.ndarray, root: np.ndarray) -> np.ndarray:
    """L^T K for kernels of shape (groups, *window, inputs, outputs)."""
    return np.einsum("gia,g...io->g...ao", root, parts)


def unweigh(parts: np.ndarray, root: np.ndarray) -> np.ndarray:
    """The inverse of `weigh`."""
    return np.einsum("gai,g...ao->g...io", np.linalg.inv(root), parts)
