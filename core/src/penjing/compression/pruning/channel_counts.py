"""The promise of `prune-channels`: these kernels have these sizes, in the model and in the exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import kernels
from penjing.compression.weights_in_file import unfound
from penjing.contract import KeptAxes, Violation


@dataclass(frozen=True, kw_only=True)
class ChannelCounts:
    """Shapes of kernels by layer path."""

    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, model: keras.Model, paths: Any) -> ChannelCounts:
        """The shapes that some layers' kernels have now."""
        variables = kernels(model)
        return cls(shapes={path: tuple(variables[path].shape) for path in paths if path in variables})

    @property
    def summary(self) -> str:
        return f"the kernels of {len(self.shapes)} layers keep their smaller sizes"

    def hold(self, model: keras.Model) -> None:
        """Training cannot change a shape."""

    def check(self, model: keras.Model) -> list[Violation]:
        """Kernels that are gone or have another shape."""
        variables = kernels(model)
        violations = []
        for path, shape in self.shapes.items():
            found = tuple(variables[path].shape) if path in variables else None
            if found != shape:
                violations.append(Violation(layer=path, detail=f"its kernel was {shape} and is {found or 'gone'}"))
        return violations

    def check_file(self, content: bytes) -> list[Violation]:
        """Kernels for which the file has no weight tensor of their shape, whatever its values."""
        return [
            Violation(
                layer=path, detail=f"no weight tensor of the file has the sizes of its kernel {self.shapes[path]}"
            )
            for path in unfound(content, self.shapes, lambda part, values: True)
        ]

    def resized(self, kept: KeptAxes) -> ChannelCounts:
        """The sizes after more channels have gone."""
        shapes = dict(self.shapes)
        for path in shapes.keys() & kept.keys():
            shapes[path] = tuple(
                size if axis is None else len(axis) for size, axis in zip(shapes[path], kept[path], strict=True)
            )
        return ChannelCounts(shapes=shapes)

    def to_state(self) -> dict[str, Any]:
        return {path: np.array(shape, np.int64) for path, shape in self.shapes.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ChannelCounts:
        return cls(shapes={path: tuple(int(size) for size in shape) for path, shape in state.items()})
