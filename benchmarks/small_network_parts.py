"""What the small networks are made of, and data that each can learn something from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

CLASSES = 4
EXAMPLES = 480
Arrays = dict[str, Any]
NETWORKS: dict[str, Callable[[], keras.Model]] = {}
"""By name. The part of a name before its first underscore or digit says what kind it is."""


def network(build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    NETWORKS[build.__name__] = build
    return build


def data_for(model: keras.Model, seed: int = 0) -> Arrays:
    """Inputs of the model's shapes and targets that a random, fixed function of them gives.

    Returns:
        x and y, as `penjing.compress` takes them; classes 0 to `CLASSES` - 1, or 0 and 1, or real numbers, by the
        model's output.
    """
    random = np.random.default_rng(seed)
    inputs = {tensor.name: _examples(tensor, random) for tensor in model.inputs}
    signal = sum(_signal(values) for values in inputs.values())
    x: Any = {f"x.{name}": values for name, values in inputs.items()}
    if len(inputs) == 1:
        x = {"x": next(iter(inputs.values()))}
    return {**x, "y": _targets(model, signal, random)}


def _examples(tensor: Any, random: np.random.Generator) -> np.ndarray:
    shape = (EXAMPLES, *(24 if size is None else size for size in tensor.shape[1:]))
    if tensor.dtype.startswith("int"):
        return random.integers(1, 30, shape).astype(tensor.dtype)
    values = random.normal(size=shape)
    # A slow part that differs from example to example: something to be learned.
    values += random.normal(size=(EXAMPLES, *(1,) * (len(shape) - 2), shape[-1]))
    return values.astype("float32")


def _signal(values: np.ndarray) -> np.ndarray:
    """Of shape (examples,): what the targets depend on."""
    return np.asarray(values.reshape(len(values), -1, values.shape[-1]).mean(axis=1)[:, 0], "float64")


def _targets(model: keras.Model, signal: np.ndarray, random: np.random.Generator) -> np.ndarray:
    shape = model.outputs[0].shape[1:]
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", "linear")
    ranks = signal.argsort().argsort() / len(signal)
    if activation == "softmax":
        classes = (ranks * CLASSES).astype("int64")
        return np.broadcast_to(classes.reshape(-1, *(1,) * (len(shape) - 1)), (EXAMPLES, *shape[:-1])).copy()
    if activation == "sigmoid":
        classes = (ranks > 0.5).astype("int64").reshape(-1, *(1,) * (len(shape) - 1))
        return np.broadcast_to(classes, (EXAMPLES, *shape[:-1])).copy() if len(shape) > 1 else classes.reshape(-1)
    noise = random.normal(size=(EXAMPLES, *shape)) * 0.05
    return (signal.reshape(-1, *(1,) * len(shape)) + noise).astype("float32")


def classes(tensor: Any, **options: Any) -> Any:
    return layers.Dense(CLASSES, activation="softmax", **options)(tensor)


def image() -> Any:
    return keras.Input((16, 16, 3))


def signal() -> Any:
    return keras.Input((32, 6))


def closed(inputs: Any, tensor: Any) -> keras.Model:
    """Pool, classify, close."""
    pooled = {4: layers.GlobalAveragePooling2D, 3: layers.GlobalAveragePooling1D, 5: layers.GlobalAveragePooling3D}
    rank = len(tensor.shape)
    return keras.Model(inputs, classes(pooled[rank]()(tensor) if rank in pooled else tensor))


def convolution(tensor: Any, channels: int, size: int = 3, **options: Any) -> Any:
    tensor = layers.Conv2D(channels, size, padding="same", use_bias=False, **options)(tensor)
    return layers.BatchNormalization()(tensor)
