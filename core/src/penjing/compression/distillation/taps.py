"""Outputs of inner layers, also of layers inside nested models, in one forward pass.

A nested model's layers are not part of the outer model's graph, so no second `keras.Model` can end at one of them. A
tap therefore listens to the layer while the model runs; in a compiled training step that happens once, when the step is
traced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.errors import ModelError

NOISE_LAYERS = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.AlphaDropout,
)
_NORMALIZATION = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)
_OPEN_SIZE = 16
"""Stands for a size that the model leaves open (None) when shapes are looked up."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What a layer gives."""

    path: str
    shape: tuple[int, ...]
    """Without the batch; the last axis is the width."""
    calls: int
    """How often the layer runs in a forward pass."""
    before_head: bool
    """Whether it runs before the layer that makes the outputs."""
    is_noise: bool
    """Dropout and its kin: as a feature, the layer before is meant."""

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.shape[:-1]

    @property
    def is_map(self) -> bool:
        """Whether there are several positions."""
        return int(np.prod(self.spatial)) > 1


def feature_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Layers by path, nested models opened; a wrapper (Bidirectional, TimeDistributed) counts as one layer."""
    for layer in model.layers:
        path = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model):
            yield from feature_layers(layer, f"{path}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield path, layer


class Taps:
    """Runs a model and gives the outputs of some of its layers with the model's own."""

    def __init__(self, model: keras.Model, paths: Sequence[str] = ()) -> None:
        self._model = model
        layers = dict(feature_layers(model))
        self._layers = {path: layers[path] for path in paths}

    def __call__(self, inputs: Any, training: bool = False) -> tuple[Any, dict[str, Any]]:
        """(outputs of the model, outputs of the layers by path)."""
        with listening(self._layers) as heard:
            outputs = self._model(inputs, training=training)
        silent = [path for path in self._layers if path not in heard]
        if silent:
            raise ModelError(
                f"the layer '{silent[0]}' cannot be listened to",
                why="the model does not run it, or runs it by another method than `call`",
                hint="name another layer",
            )
        return outputs, {path: calls[0] for path, calls in heard.items()}


@contextlib.contextmanager
def listening(layers: dict[str, keras.layers.Layer]) -> Iterator[dict[str, list[Any]]]:
    """While it lasts, every output of these layers is noted under the layer's path, in the order of the calls."""
    heard: dict[str, list[Any]] = {}
    tapped: list[keras.layers.Layer] = []

    def tap(path: str, layer: keras.layers.Layer) -> None:
        call = layer.call

        def noting(*args: Any, **kwargs: Any) -> Any:
            outputs = call(*args, **kwargs)
            heard.setdefault(path, []).append(outputs)
            return outputs

        # Past Keras's own __setattr__, which would track what is no part of the model.
        object.__setattr__(layer, "call", noting)
        tapped.append(layer)

    try:
        for path, layer in layers.items():
            tap(path, layer)
        yield heard
    finally:
        for layer in tapped:
            del layer.__dict__["call"]


def probe(model: keras.Model) -> dict[str, Feature]:
    """All layers that give one tensor of a batch, in the order in which they run."""
    layers: dict[str, keras.layers.Layer] = {}
    for path, layer in feature_layers(model):
        if not any(layer is other for other in layers.values()):
            layers[path] = layer
    with listening(layers) as heard:
        model(_zeros(model), training=False)
    head = _head(list(heard), layers)
    features = {}
    before = True
    for path, calls in heard.items():
        before = before and path != head
        shape = getattr(calls[0], "shape", None)
        if shape is None or len(shape) < 2:
            continue  # several outputs (states of a recurrent layer), or no example axis
        features[path] = Feature(
            path=path,
            shape=tuple(int(size) for size in shape[1:]),
            calls=len(calls),
            before_head=before,
            is_noise=isinstance(layers[path], NOISE_LAYERS),
        )
    return features


def _head(order: Sequence[str], layers: dict[str, keras.layers.Layer]) -> str | None:
    """The last layer that has weights and is no normalization."""
    for path in reversed(order):
        if layers[path].trainable_variables and not isinstance(layers[path], _NORMALIZATION):
            return path
    return None


def _zeros(model: keras.Model) -> Any:
    arrays = [
        np.zeros((2, *(_OPEN_SIZE if size is None else size for size in tensor.shape[1:])), tensor.dtype)
        for tensor in model.inputs
    ]
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.pack_sequence_as(structure, arrays)
