"""What a model costs as a function of the units that are left, without building it."""

from __future__ import annotations

from math import prod

import numpy as np

from penjing.compression.structure.graph import ChannelGraph


class CostModel:
    """MACs and parameters of a model with some atoms removed."""

    def __init__(self, graph: ChannelGraph) -> None:
        self._atom_of = graph.atom_of
        self._terms = graph.terms
        axes: dict[int, dict[int, np.ndarray]] = {}
        for use in graph.uses:
            axes.setdefault(id(use.variable), {})[use.axis] = use.units
        self._parameters: list[tuple[int, tuple[np.ndarray, ...]]] = []
        for variable in {id(weight): weight for weight in graph.model.weights}.values():
            labelled = axes.get(id(variable), {})
            rest = prod(size for axis, size in enumerate(variable.shape) if axis not in labelled)
            self._parameters.append((rest, tuple(labelled.values())))

    def macs(self, removed: np.ndarray) -> int:
        """Multiply-accumulates of one inference.

        Args:
            removed: Atoms that go, int64.
        """
        left = self._left(removed)
        return sum(term.coefficient * prod(int(left[units].sum()) for units in term.factors) for term in self._terms)

    def parameters(self, removed: np.ndarray) -> int:
        """Number of weights, trainable or not."""
        left = self._left(removed)
        return sum(rest * prod(int(left[units].sum()) for units in factors) for rest, factors in self._parameters)

    def _left(self, removed: np.ndarray) -> np.ndarray:
        gone = np.zeros(len(self._atom_of), bool)
        gone[removed] = True
        return ~gone[self._atom_of]
