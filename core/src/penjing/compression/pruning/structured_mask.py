"""The promise of `prune-weights` with N:M groups or blocks: zeros, and zeros in that pattern."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from penjing.compression.matrix_layout import InputAxes
from penjing.compression.model_tree import weight_matrices
from penjing.compression.pruning.patterns import block_numbers, most_in_a_group
from penjing.compression.pruning.sparsity_mask import SparsityMask
from penjing.compression.weights_in_file import MatrixPart, unfound
from penjing.contract import KeptAxes, Violation


@dataclass(frozen=True, kw_only=True)
class StructuredMask(SparsityMask):
    """Masks whose zeros come in N:M groups along the inputs, or in blocks of (inputs, outputs)."""

    axes: Mapping[str, InputAxes]
    """Input axes of the matrices that have the pattern, by key."""
    n_m: tuple[int, int] | None = None
    block: tuple[int, int] | None = None
    given_up: tuple[str, ...] = ()
    """Matrices that lost the pattern when a later step removed channels; their zeros are still promised."""

    @property
    def pattern(self) -> str:
        """ "2:4" or "4x1 blocks"."""
        return f"{self.n_m[0]}:{self.n_m[1]}" if self.n_m else "{}x{} blocks".format(*self.block or (1, 1))

    @property
    def summary(self) -> str:
        zeros = super().summary
        if not self.given_up:
            return f"{zeros}, in {self.pattern} along the inputs" if self.n_m else f"{zeros}, in {self.pattern}"
        return (
            f"{zeros}; {self.pattern} in {len(self.axes)} of {len(self.axes) + len(self.given_up)} matrices: "
            f"given up where channels were removed ({', '.join(self.given_up)})"
        )

    def check(self, model: keras.Model) -> list[Violation]:
        """Broken zeros, and matrices whose values have not the pattern."""
        violations = super().check(model)
        variables = weight_matrices(model)
        for key in self.axes:
            if key in variables and tuple(variables[key].shape) == self.masks[key].shape:
                fault = self._fault(key, np.asarray(variables[key]))
                if fault:
                    violations.append(Violation(layer=key, detail=fault))
        return violations

    def check_file(self, content: bytes) -> list[Violation]:
        """Matrices for which no weight tensor of the file has both the zeros and the pattern."""
        violations = super().check_file(content)
        broken = {violation.layer for violation in violations}
        shapes = {key: self.masks[key].shape for key in self.axes if key not in broken}

        def obeys(part: MatrixPart, values: np.ndarray) -> bool:
            mask = self.masks[part.key][..., part.columns]
            whole = np.zeros(self.masks[part.key].shape, bool)
            whole[..., part.columns] = values != 0
            return not np.any(values[~mask]) and self._fault(part.key, whole) is None

        return violations + [
            Violation(layer=key, detail=f"no weight tensor of the file has its zeros in {self.pattern}")
            for key in unfound(content, shapes, obeys)
        ]

    def _fault(self, key: str, values: np.ndarray) -> str | None:
        if self.n_m is not None:
            kept, group = self.n_m
            most = most_in_a_group(values, self.axes[key], group)
            fault = f"{most} of {group} neighbours along its inputs are not zero, promised {kept}"
            return fault if most > kept else None
        assert self.block is not None
        mask = self.masks[key]
        numbers = block_numbers(mask.shape, self.axes[key], self.block).ravel()
        begun = np.bincount(numbers, ~mask.ravel()) > 0
        torn = begun & (np.bincount(numbers, values.ravel() != 0) > 0)
        return f"{int(torn.sum()):,} blocks with promised zeros are not zero as a whole" if torn.any() else None

    def resized(self, kept: KeptAxes) -> StructuredMask:
        """The masks that are left. A pattern along an axis that lost channels holds no more, unless the channels that
        went leave whole groups or blocks behind: then it is given up, and the summary names the matrices."""
        smaller = replace(self, masks=super().resized(kept).masks)
        lost = tuple(
            key
            for key in self.axes
            if smaller.masks[key].shape != self.masks[key].shape and smaller._fault(key, smaller.masks[key]) is not None
        )
        left = {key: axes for key, axes in self.axes.items() if key not in lost}
        return replace(smaller, axes=left, given_up=(*self.given_up, *lost))

    def to_state(self) -> dict[str, Any]:
        notes = {
            "axes": {key: list(axes) for key, axes in self.axes.items()},
            "n_m": self.n_m,
            "block": self.block,
            "given_up": self.given_up,
        }
        return {"notes": json.dumps(notes), **{f"mask|{key}": mask for key, mask in self.masks.items()}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> StructuredMask:
        notes = json.loads(str(state["notes"]))
        return cls(
            masks={
                name.removeprefix("mask|"): np.asarray(mask, bool)
                for name, mask in state.items()
                if name.startswith("mask|")
            },
            axes={key: tuple(axes) for key, axes in notes["axes"].items()},
            n_m=tuple(notes["n_m"]) if notes["n_m"] else None,
            block=tuple(notes["block"]) if notes["block"] else None,
            given_up=tuple(notes["given_up"]),
        )
