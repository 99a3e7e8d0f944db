"""The promise of `prune-weights`: these weights are zero, in the model and in the exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import GONE, keep_indices, weight_matrices
from penjing.compression.weights_in_file import MatrixPart, unfound
from penjing.contract import KeptAxes, Violation


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
    """Masks by the key of the weight matrix (`weight_matrices`); True where a weight may differ from zero."""

    masks: Mapping[str, np.ndarray]

    @property
    def summary(self) -> str:
        zeros = sum(int(mask.size - mask.sum()) for mask in self.masks.values())
        return f"{zeros:,} weights in {len(self.masks)} matrices stay zero"

    def hold(self, model: keras.Model) -> None:
        """Constrain the weights, and put back to zero what has left it."""
        variables = weight_matrices(model)
        for index, (path, mask) in enumerate(self.masks.items()):
            if path in variables and tuple(variables[path].shape) == mask.shape:
                constant = keras.Variable(mask.astype("float32"), trainable=False, name=f"held_mask_{index}")
                hold_mask(variables[path], constant)

    def check(self, model: keras.Model) -> list[Violation]:
        """Weight matrices that are missing, have another shape, or hold a value where zero was promised."""
        violations = []
        variables = weight_matrices(model)
        for path, mask in self.masks.items():
            if path not in variables:
                violations.append(Violation(layer=path, detail=GONE))
                continue
            values = np.asarray(variables[path])
            if values.shape != mask.shape:
                detail = f"it has shape {values.shape}, the mask {mask.shape}"
                violations.append(Violation(layer=path, detail=detail))
                continue
            broken = int(np.count_nonzero(values[~mask]))
            if broken:
                detail = f"{broken:,} of {int((~mask).sum()):,} weights promised to be zero are not"
                violations.append(Violation(layer=path, detail=detail))
        return violations

    def check_file(self, content: bytes) -> list[Violation]:
        """Masks that no weight tensor of the file obeys. The file has no layer names, so each mask must find a tensor
        of its own that has zeros wherever it says so; tensors of its gates where the converter split the matrix."""
        promised = {key: mask for key, mask in self.masks.items() if not mask.all()}

        def obeys(part: MatrixPart, values: np.ndarray) -> bool:
            return not np.any(values[~promised[part.key][..., part.columns]])

        return [
            Violation(
                layer=key,
                detail=f"no weight tensor of the file has its {int((~promised[key]).sum()):,} promised zeros",
            )
            for key in unfound(content, {key: mask.shape for key, mask in promised.items()}, obeys)
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
