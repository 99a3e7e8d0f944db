"""Channels that are constant on all of the data: evidence, no proof."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from penjing.compression.bounds.calls import CallGraph, Value
from penjing.compression.bounds.intervals import Interval

OBSERVED = "constant on all data (not proven)"


def observed_constants(
    graph: CallGraph, parts: Sequence[Sequence[np.ndarray]], batch: int = 64
) -> dict[Value, Interval]:
    """Channels that had one value at every position of every example.

    Args:
        parts: For each part of the data its inputs in the order of the graph's inputs.
        batch: Examples that are run at a time.
    """
    lowest: dict[Value, np.ndarray] = {}
    highest: dict[Value, np.ndarray] = {}
    for arrays in parts:
        for start in range(0, len(arrays[0]), batch):
            for value, tensor in graph.run([array[start : start + batch] for array in arrays]):
                if "float" not in str(value.tensor.dtype) or len(value.shape) < 2 or value.shape[-1] is None:
                    continue
                seen = np.asarray(tensor, np.float64)
                seen = seen.reshape(-1, seen.shape[-1])
                low, high = seen.min(axis=0), seen.max(axis=0)
                lowest[value] = np.minimum(lowest[value], low) if value in lowest else low
                highest[value] = np.maximum(highest[value], high) if value in highest else high
    constants = {}
    for value, low in lowest.items():
        same = low == highest[value]
        if same.any():
            constants[value] = Interval(
                low=low,
                high=highest[value],
                value=np.where(same, low, np.nan),
                rule=np.where(same, OBSERVED, "").astype(object),
            )
    return constants
