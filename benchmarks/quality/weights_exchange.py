"""Weights that travel between libraries: an .npz file with the arrays of each layer, under 'layer|number'.

Keras 3 and tf_keras keep a layer's arrays in the same order and form: kernel, bias; gamma, beta, mean, variance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Layers = dict[str, list[np.ndarray]]


def save(path: Path, layers: Layers) -> None:
    """Write the arrays of each layer."""
    with path.open("wb") as file:
        np.savez(file, **{f"{name}|{i}": a for name, arrays in layers.items() for i, a in enumerate(arrays)})


def load(path: Path) -> Layers:
    """Read what `save` wrote."""
    layers: Layers = {}
    with np.load(path, allow_pickle=False) as archive:
        for key in sorted(archive.files, key=lambda key: (key.split("|")[0], int(key.split("|")[1]))):
            layers.setdefault(key.split("|")[0], []).append(archive[key])
    return layers


def of_model(model: Any) -> Layers:
    """The arrays of a Keras model, of either Keras."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def into_model(model: Any, layers: Layers) -> None:
    """Put arrays into a Keras model, of either Keras.

    Raises:
        ValueError: A layer has no arrays, or of another shape.
    """
    for layer in model.layers:
        if layer.weights:
            if layer.name not in layers:
                raise ValueError(f"there are no weights for the layer '{layer.name}'")
            layer.set_weights(layers[layer.name])


def widths(layers: Layers) -> dict[str, int]:
    """Filters of each convolution, for `architectures`: the last axis of its kernel."""
    return {
        name: arrays[0].shape[3]
        for name, arrays in layers.items()
        if arrays[0].ndim == 4 and not name.startswith("depthwise")
    }


def check_outputs(expected: np.ndarray, found: np.ndarray, library: str) -> None:
    """Hold a library's outputs with the common weights against Keras 3's.

    Raises:
        ValueError: They differ by more than rounding: the library would start from another network.
    """
    difference = float(np.abs(np.asarray(found) - expected).max())
    if not difference < 1e-4:
        raise ValueError(f"{library} computes other outputs from the same weights: difference {difference:.2e}")
