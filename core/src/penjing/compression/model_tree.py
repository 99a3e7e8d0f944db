"""Layers and variables of a model under names that survive saving and loading."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from penjing.errors import ModelError


def walk_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Leaf layers with their paths, nested models opened: ("backbone/conv1", layer). Shared layers come once."""
    seen: set[int] = set()
    yield from _walk(model, prefix, seen)


def _walk(model: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, keras.layers.Layer]]:
    for layer in model.layers:
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        path = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model):
            yield from _walk(layer, f"{path}/", seen)
        elif isinstance(layer, keras.layers.Wrapper):
            yield f"{path}/{layer.layer.name}", layer.layer
        else:
            yield path, layer


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a layer's path, or its last part, fits one of the patterns ("head*", "backbone/*")."""
    name = path.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def check_patterns(model: keras.Model, patterns: Sequence[str], setting: str) -> None:
    """Refuse a pattern that fits no layer: it is a typing error more often than not.

    Raises:
        ModelError: The pattern fits no layer of the model.
    """
    paths = [path for path, _ in walk_layers(model)]
    for pattern in patterns:
        if not any(matches(path, [pattern]) for path in paths):
            raise ModelError(
                f"no layer fits '{pattern}'",
                where=f"setting '{setting}'",
                hint="layers are: " + ", ".join(paths),
            )


KERNEL_LAYERS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
"""Layers whose `kernel` is one weight tensor of the exported file, so that a promise about it can be checked there."""


def kernels(model: keras.Model) -> dict[str, Any]:
    """Kernel variables of `KERNEL_LAYERS` by layer path."""
    return {
        path: layer.kernel for path, layer in walk_layers(model) if isinstance(layer, KERNEL_LAYERS) and layer.built
    }


def keep_indices(values: np.ndarray, axes: Sequence[np.ndarray | None]) -> np.ndarray:
    """The part of an array whose indices are kept; None keeps an axis whole."""
    for axis, indices in enumerate(axes):
        if indices is not None:
            values = np.take(values, indices, axis)
    return values


def check_traceable(model: Any) -> None:
    """Refuse what the engine cannot look into.

    Raises:
        ModelError: It is no Keras model, or one without symbolic inputs (a subclassed model, one that is not built).
    """
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"this is no Keras model but a {type(model).__module__}.{type(model).__qualname__}",
            hint="give a keras.Model of Keras 3, or the path of a .keras or .h5 file",
        )
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise ModelError(
            f"the model '{model.name}' ({type(model).__name__}) has no symbolic inputs and outputs",
            why="layers inside a subclassed or unbuilt model cannot be seen, so they can be neither named nor changed",
            hint="wrap it: x = keras.Input(shape=...); model = keras.Model(x, model(x))",
        )


def check_finite(model: keras.Model) -> None:
    """Refuse a model with NaN or infinite weights before any work starts.

    Raises:
        ModelError: Names the first layer at fault and how many values of it are not finite.
    """
    for path, layer in walk_layers(model):
        for variable in layer.weights:
            values = np.asarray(variable)
            if not np.issubdtype(values.dtype, np.floating):
                continue
            bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
            if bad:
                raise ModelError(
                    f"{bad:,} of {values.size:,} weights are NaN or infinite",
                    where=f"layer '{path}', variable '{variable.name}'",
                    why="the model was damaged or its training diverged",
                    hint="train it again with a lower learning rate, or load an earlier checkpoint",
                )


def count_parameters(model: keras.Model) -> int:
    """Number of all weights, trainable or not, each once; states of random generators are no weights."""
    return sum(int(np.prod(variable.shape)) for variable in model.weights)
