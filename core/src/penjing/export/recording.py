"""What a model with simulated quantization tells the exporter: grids of tensors, integers of weights.

The converter writes such a model as a float32 file whose operators are separated by pairs of QUANTIZE and DEQUANTIZE.
The scale of each pair is a number that names an entry here, and weights are found again by their content, so nothing
depends on names, on the converter's rounding, or on its own choice of ranges. `integer_file` then writes the integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The values that an integer tensor can hold: (q - zero_point) * scale."""

    scale: float
    """One step in real units; a float32 value."""
    zero_point: int
    bits: int
    """8 or 16."""


@dataclass(frozen=True, kw_only=True)
class IntegerWeights:
    """A weight tensor as the file holds it."""

    layer: str
    values: np.ndarray
    """int8, in the file's order of axes: (out, height, width, in), (1, height, width, out) or (out, in)."""
    scales: np.ndarray
    """float32, one per output channel."""
    axis: int
    """The axis of the output channels."""
    bits: int
    """8 or 4."""

    @property
    def real(self) -> np.ndarray:
        """float32 of the same shape: what the float file holds in their place."""
        shape = [1] * self.values.ndim
        shape[self.axis] = -1
        return self.values.astype(np.float32) * self.scales.reshape(shape)


@dataclass
class Recording:
    """Grids by number (from 1) and weights by content."""

    grids: list[Grid] = field(default_factory=list)
    rows: set[int] = field(default_factory=set)
    """Numbers of the grids of tables whose rows are looked up."""
    weights: dict[tuple[tuple[int, ...], bytes], IntegerWeights] = field(default_factory=dict)

    def mark(self, tensor: Any, grid: Grid, *, rows: bool = False) -> Any:
        """The tensor, with the place marked where it becomes integers of a grid.

        Args:
            rows: It is rows of a table, which becomes integers itself.
        """
        import tensorflow as tf

        self.grids.append(grid)
        number = float(len(self.grids))
        if rows:
            self.rows.add(len(self.grids))
        return tf.quantization.fake_quant_with_min_max_vars(tensor, -128.0 * number, 127.0 * number)

    def add(self, weights: IntegerWeights) -> None:
        """Remember weights, so that the file's tensor with the same content becomes integers."""
        self.weights[key(weights.real)] = weights


def key(values: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    """What identifies a float32 weight tensor: shape and content, both zeros taken for one."""
    return tuple(values.shape), (values.astype(np.float32) + 0.0).tobytes()


_current: ContextVar[Recording | None] = ContextVar("recording", default=None)


def current() -> Recording | None:
    """The recording that is going on; None outside of an export."""
    return _current.get()


@contextmanager
def recording() -> Iterator[Recording]:
    """Layers that are called inside tell the recording what they are made of."""
    made = Recording()
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
