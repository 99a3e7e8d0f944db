"""What the rules of all kinds of layers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds.calls import Call
from penjing.compression.bounds.intervals import Interval, joined, unit_roundoff

Rule = Callable[[Call, Sequence[Interval]], Interval]
"""Bounds of a call's first output from those of its inputs."""


def dtype_of(call: Call) -> str:
    """The dtype that a call computes in."""
    if isinstance(call.operation, keras.layers.Layer):
        return str(call.operation.compute_dtype)
    return str(call.outputs[0].tensor.dtype)


def unit_of(call: Call) -> float:
    """The unit roundoff of a call's arithmetic."""
    return unit_roundoff(dtype_of(call))


def any_channel(x: Interval) -> Interval:
    """One entry for all channels."""
    return joined([x.take(np.asarray([index])) for index in range(x.channels)])


def kinds(stem: str, dimensions: Sequence[int] = (1, 2, 3)) -> list[Any]:
    """The layers of a kind in one, two and three dimensions."""
    names = [f"{stem}{dimension}D" for dimension in dimensions]
    return [getattr(keras.layers, name) for name in names if hasattr(keras.layers, name)]
