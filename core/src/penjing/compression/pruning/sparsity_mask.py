"""The promise of `prune-weights`: these weights are zero, in the model and in the exported file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import keep_indices, kernels
from penjing.contract import KeptAxes, Violation
from penjing.measure.file_graph import FileGraph


class _MaskConstraint:
    """Multiplies a variable by a mask after each update, after any constraint that was there before."""

    def __init__(self, mask: Any, inner: Any = None) -> None:
        self.mask = mask
        self.inner = inner

    def __call__(self, variable: Any) -> Any:
        if self.inner is not None:
            variable = self.inner(variable)
        return keras.ops.multiply(variable, self.mask)


def hold_mask(variable: Any, mask: Any) -> None:
    """Make every later update of a variable pass a mask (float32, 1 = kept). The layer itself does not change."""
    variable.constraint = _MaskConstraint(mask, variable.constraint)


@dataclass(frozen=True, kw_only=True)
class SparsityMask:
    """Masks by layer path; True where a weight may differ from zero."""

    masks: Mapping[str, np.ndarray]

    @property
    def summary(self) -> str:
        zeros = sum(int(mask.size - mask.sum()) for mask in self.masks.values())
        return f"{zeros:,} weights in {len(self.masks)} layers stay zero"

    def hold(self, model: keras.Model) -> None:
        """Constrain the kernels, and put back to zero what has left it."""
        variables = kernels(model)
        for index, (path, mask) in enumerate(self.masks.items()):
            if path in variables and tuple(variables[path].shape) == mask.shape:
                constant = keras.Variable(mask.astype("float32"), trainable=False, name=f"held_mask_{index}")
                hold_mask(variables[path], constant)

    def check(self, model: keras.Model) -> list[Violation]:
        """Kernels that are missing, have another shape, or hold a value where zero was promised."""
        violations = []
        variables = kernels(model)
        for path, mask in self.masks.items():
            if path not in variables:
                violations.append(Violation(layer=path, detail="the layer is gone"))
                continue
            values = np.asarray(variables[path])
            if values.shape != mask.shape:
                detail = f"its kernel has shape {values.shape}, the mask {mask.shape}"
                violations.append(Violation(layer=path, detail=detail))
                continue
            broken = int(np.count_nonzero(values[~mask]))
            if broken:
                detail = f"{broken:,} of {int((~mask).sum()):,} weights promised to be zero are not"
                violations.append(Violation(layer=path, detail=detail))
        return violations

    def check_file(self, content: bytes) -> list[Violation]:
        """Masks that no weight tensor of the file obeys. The file has no layer names, so each mask must find a
        tensor of its own that has its shape (in some order of axes) and zeros wherever it says so."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching

        promised = {path: mask for path, mask in self.masks.items() if not mask.all()}
        constants = [tensor for tensor in FileGraph.from_bytes(content).constants() if tensor.values.ndim >= 1]
        fits = np.zeros((len(promised), max(1, len(constants))), bool)
        for row, mask in enumerate(promised.values()):
            for column, tensor in enumerate(constants):
                fits[row, column] = _obeys(tensor.values, tensor.zero_point, mask)
        matched = maximum_bipartite_matching(csr_array(fits.astype(np.int8)), perm_type="column")
        return [
            Violation(
                layer=path,
                detail=f"no weight tensor of the file has its {int((~mask).sum()):,} promised zeros",
            )
            for (path, mask), column in zip(promised.items(), matched, strict=True)
            if column < 0
        ]

    def resized(self, kept: KeptAxes) -> SparsityMask:
        """The masks of the kernels that are left."""
        return SparsityMask(
            masks={path: keep_indices(mask, kept[path]) if path in kept else mask for path, mask in self.masks.items()}
        )

    def to_state(self) -> dict[str, Any]:
        return dict(self.masks)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SparsityMask:
        return cls(masks={path: np.asarray(mask, bool) for path, mask in state.items()})


def _obeys(values: np.ndarray, zero_point: int, mask: np.ndarray) -> bool:
    zero = np.squeeze(values == zero_point)
    promised = np.squeeze(~mask)
    return any(bool(zero[np.transpose(promised, axes)].all()) for axes in _axis_orders(promised.shape, zero.shape))


def _axis_orders(shape: Sequence[int], target: Sequence[int]) -> list[tuple[int, ...]]:
    """Orders of axes that turn one shape into the other."""
    if sorted(shape) != sorted(target):
        return []
    return [
        axes
        for axes in itertools.permutations(range(len(shape)))
        if tuple(shape[axis] for axis in axes) == tuple(target)
    ]
