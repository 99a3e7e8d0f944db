"""What rules build a channel graph with: units, the variables' axes that carry them, and the cost of each kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np

from penjing.compression.structure.units import Labels, Units

Role = Literal["makes", "reads", "carries"]
"""What an axis of a variable does with its units: makes them (a kernel's filters, with their biases), reads them
(a kernel's inputs), or carries a value for each (a scale of BatchNormalization, a depthwise kernel)."""


@dataclass(frozen=True, kw_only=True)
class AxisUse:
    """One axis of one variable, index by index the unit that it belongs to."""

    path: str
    """The layer."""
    variable: Any
    name: str
    """The variable's name within the layer: 'kernel'."""
    axis: int
    units: np.ndarray
    """int64 of the size of the axis."""
    role: Role


@dataclass(frozen=True, kw_only=True)
class CostTerm:
    """MACs of a layer: `coefficient` times the number of units left in each of `factors`."""

    path: str
    coefficient: int
    factors: tuple[np.ndarray, ...]


@dataclass(frozen=True, kw_only=True)
class LayerCall:
    """One call of a layer in the graph. Shapes are without the batch dimension; None where a size is open."""

    layer: Any
    path: str
    labels: tuple[Labels | None, ...]
    """Of each input tensor."""
    shapes: tuple[tuple[int | None, ...], ...]
    output_shapes: tuple[tuple[int | None, ...], ...]
    arguments: tuple[Any, ...] = ()
    """Numbers among the arguments of the call."""
    given: tuple[Any, ...] = ()
    """Its positional arguments behind the tensor."""


@dataclass
class GraphBuilder:
    """Collects what the rules find out."""

    renormalize: bool = False
    """Let LayerNormalization lose channels, though its statistics then change."""
    units: Units = field(default_factory=Units)
    uses: dict[tuple[int, int], AxisUse] = field(default_factory=dict)
    terms: list[CostTerm] = field(default_factory=list)
    _made: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)

    def make(self, layer: Any, name: str, count: int) -> np.ndarray:
        """The units that a layer makes: new ones at its first call, the same at every other (shared layers)."""
        key = (id(layer), name)
        if key not in self._made:
            self._made[key] = self.units.fresh(count)
        return self._made[key]

    def use(self, call: LayerCall, variable: Any, axis: int, units: np.ndarray, role: Role) -> np.ndarray:
        """Note that an axis of a variable carries these units. At a shared layer's later calls they are tied to those
        of the first. Returns the units that stand for the axis."""
        if variable is None:
            return units
        axis %= len(variable.shape)
        key = (id(variable), axis)
        known = self.uses.get(key)
        if known is None:
            self.uses[key] = AxisUse(
                path=call.path, variable=variable, name=variable.name, axis=axis, units=units, role=role
            )
            return units
        self.units.tie(known.units, units, f"'{call.path}' is called more than once")
        return known.units

    def count(self, call: LayerCall, variable: Any, positions: int) -> None:
        """Note the MACs of a kernel that is applied at this many positions."""
        factors = []
        rest = positions
        for axis, size in enumerate(variable.shape):
            use = self.uses.get((id(variable), axis))
            if use is None:
                rest *= size
            else:
                factors.append(use.units)
        self.terms.append(CostTerm(path=call.path, coefficient=rest, factors=tuple(factors)))

    def input_units(self, call: LayerCall, axis: int, *, index: int = 0) -> np.ndarray:
        """Units along an axis of an input. Where the tensor has none there, new protected ones; where its channels
        are on another axis as well, those are protected."""
        labels = call.labels[index]
        shape = call.shapes[index]
        axis %= len(shape)
        size = shape[axis]
        if labels is not None and labels.axis == axis:
            return labels.units
        if labels is not None:
            self.units.protect(labels.units, f"'{call.path}' works along another axis than the channels'")
        units = self.units.fresh(size or 0)
        self.units.protect(units, f"'{call.path}' reads an axis that no layer makes")
        return units

    def protect_inputs(self, call: LayerCall, why: str) -> None:
        """Keep all channels of a call's inputs."""
        for labels in call.labels:
            if labels is not None:
                self.units.protect(labels.units, why)

    def tie_elementwise(self, call: LayerCall, why: str, indices: Sequence[int] | None = None) -> Labels | None:
        """Tie inputs that meet element by element, with broadcasting; returns the result's labels."""
        chosen = range(len(call.labels)) if indices is None else indices
        rank = max(len(call.shapes[index]) for index in chosen)
        result: Labels | None = None
        for index in chosen:
            labels, shape = call.labels[index], call.shapes[index]
            if labels is None:
                continue
            moved = labels.moved(labels.axis + rank - len(shape))
            sizes = [call.shapes[other][moved.axis - rank :][:1] for other in chosen]
            largest = max((size[0] or 0 for size in sizes if size), default=0)
            if len(labels.units) == 1 and largest > 1:
                # One value for all channels of the others: it is no channel of theirs, and cannot go.
                self.units.protect(labels.units, f"'{call.path}' spreads it over all channels")
                continue
            if result is None:
                result = moved
            elif result.axis == moved.axis:
                self.units.tie(result.units, moved.units, why)
            else:
                self.units.protect(moved.units, f"'{call.path}' joins tensors with channels on different axes")
                self.units.protect(result.units, f"'{call.path}' joins tensors with channels on different axes")
        if result is not None:
            for index in chosen:
                shape = call.shapes[index]
                place = result.axis - rank + len(shape)
                unlabelled = call.labels[index] is None and place >= 0 and (shape[place] or 0) > 1
                if unlabelled:
                    self.units.protect(result.units, f"'{call.path}' joins it with a tensor that no layer makes")
        return result

    def reshape(
        self, labels: Labels | None, before: Sequence[int | None], after: Sequence[int | None], path: str
    ) -> Labels | None:
        """Labels after a reshape in row-major order."""
        if labels is None:
            return None
        if any(size is None for size in (*before, *after)):
            self.units.protect(labels.units, f"'{path}' reshapes an open size")
            return None
        full = labels.full([size or 0 for size in before]).reshape([size or 0 for size in after])
        return self.one_axis(full, f"reshaped in '{path}'")

    def one_axis(self, full: np.ndarray, why: str) -> Labels:
        """Labels of a tensor given the unit of every element, tying what differs along more than one axis."""
        varying = [axis for axis in range(full.ndim) if (full != np.take(full, [0], axis)).any()]
        if not varying:
            # One channel, or one value everywhere: the channels are last, by Keras' convention.
            return Labels(axis=full.ndim - 1, units=full.reshape(-1, full.shape[-1])[0].copy())
        axis = varying[-1]
        lines = np.moveaxis(full, axis, -1).reshape(-1, full.shape[axis])
        for line in np.unique(lines, axis=0) if len(varying) > 1 else ():
            self.units.tie(lines[0], line, why)
        return Labels(axis=axis, units=lines[0].copy())


def positions(shape: Sequence[int | None], without: int | None = None) -> int:
    """Number of elements of a shape, one axis left out; open sizes count once."""
    axes = (
        range(len(shape)) if without is None else [axis for axis in range(len(shape)) if axis != without % len(shape)]
    )
    return prod(shape[axis] or 1 for axis in axes)
