"""The promise: in each output channel of these kernels every weight is zero or of one magnitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from penjing.contract import KeptAxes, Violation

TOLERANCE = 1e-5
"""Of magnitudes within a channel, relative: they come of float32 arithmetic."""


class TernaryWeights:
    """Kernels with three values a channel.

    Args:
        signs: int8 arrays of the kernels' shapes, -1, 0 or 1, by the variable's path.
    """

    def __init__(self, signs: Mapping[str, np.ndarray]) -> None:
        self.signs = {path: np.asarray(sign, np.int8) for path, sign in signs.items()}

    @property
    def summary(self) -> str:
        return f"{sum(sign.size for sign in self.signs.values()):,} weights have one of three values a channel"

    def hold(self, model: Any) -> None:
        """Later training moves the magnitude of a channel and nothing else."""
        for variable, sign in self._variables(model):
            variable.constraint = _Ternary(sign, variable.constraint)

    def check(self, model: Any) -> Sequence[Violation]:
        """Kernels with a channel of more than one magnitude, or with a sign that has turned."""
        found = []
        for variable, sign in self._variables(model):
            kernel = variable.numpy()
            channels = kernel.reshape(-1, kernel.shape[-1])
            wrong = int(np.count_nonzero(~_are_ternary(channels, axis=0)))
            turned = int(np.count_nonzero(kernel * sign < 0))
            if wrong or turned:
                detail = f"{wrong:,} of {channels.shape[1]:,} channels have other values, {turned:,} signs have turned"
                found.append(Violation(layer=variable.path, detail=detail))
        return found

    def check_file(self, content: bytes) -> Sequence[Violation]:
        """Kernels for which the file has no tensor of their size with three values a channel. A file does not say which
        of its tensors was which kernel, and keeps output channels on the first axis, or on the last."""
        by_size: dict[int, list[bool]] = {}
        for weights in _constants(content):
            ternary = any(
                bool(_are_ternary(np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1), axis=1).all())
                for axis in {0, weights.ndim - 1}
            )
            by_size.setdefault(weights.size, []).append(ternary)
        found = []
        for path, sign in self.signs.items():
            candidates = by_size.get(sign.size, [])
            if True in candidates:
                candidates.remove(True)
            elif candidates:
                detail = f"none of {len(candidates)} tensors of {sign.size:,} weights has three values a channel"
                found.append(Violation(layer=path, detail=detail))
        return found

    def resized(self, kept: KeptAxes) -> TernaryWeights:
        """The promise about the channels that are left."""
        signs = dict(self.signs)
        for path, sign in self.signs.items():
            for axis, indices in enumerate(kept.get(path.rsplit("/", 1)[0], ())):
                if indices is not None:
                    sign = np.take(sign, np.asarray(indices, np.int64), axis)
            signs[path] = sign
        return TernaryWeights(signs)

    def to_state(self) -> Mapping[str, Any]:
        return dict(self.signs)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TernaryWeights:
        return cls(state)

    def _variables(self, model: Any) -> list[tuple[Any, np.ndarray]]:
        """Variables that are still there in their shape: the promise ends with a layer that is replaced."""
        return [
            (variable, self.signs[variable.path])
            for variable in model.variables
            if variable.path in self.signs and tuple(variable.shape) == self.signs[variable.path].shape
        ]


class _Ternary:
    """A constraint: the nearest kernel with these signs, after the constraint that was there before.

    For fixed signs T the nearest a T in the least squares sense has a = sum(W T) / sum(T T) in each channel.
    """

    def __init__(self, sign: np.ndarray, before: Any) -> None:
        self.sign = sign.astype(np.float32)
        self.axes = tuple(range(sign.ndim - 1))
        self.share = self.sign / np.maximum(1, np.abs(self.sign).sum(axis=self.axes))
        self.before = before

    def __call__(self, weights: Any) -> Any:
        from keras import ops

        weights = weights if self.before is None else self.before(weights)
        # A magnitude below zero would turn the signs.
        magnitude = ops.maximum(ops.sum(weights * self.share, axis=self.axes, keepdims=True), 0.0)
        return magnitude * self.sign

    def gradient(self, gradient: Any) -> Any:
        """The gradient along the magnitudes: weights that share one move together, also under Adam."""
        from keras import ops

        return ops.sum(gradient * self.share, axis=self.axes, keepdims=True) * self.sign


def _are_ternary(table: np.ndarray, *, axis: int) -> np.ndarray:
    """For each channel whether all weights along the axis are zero or of the largest magnitude."""
    size = np.abs(table.astype(np.float64))
    largest = size.max(axis=axis, keepdims=True)
    return np.all((size == 0) | (size >= largest * (1 - TOLERANCE)), axis=axis)


def _constants(content: bytes) -> list[np.ndarray]:
    """The weights of a .tflite file: tensors that have values before anything has run."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    found = []
    for details in interpreter.get_tensor_details():
        try:
            values = np.asarray(interpreter.get_tensor(details["index"]))
        except ValueError:
            continue  # an activation
        if values.dtype.kind in "if" and values.ndim >= 2:
            found.append(values)
    return found
