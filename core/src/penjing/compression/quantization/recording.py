"""What goes into the layers of a model, recorded as it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def layer_input(model: keras.Model, layer: Any, x: Any, batch_size: int = 64) -> np.ndarray:
    """All that enters a layer, in nested models too; a layer that is used twice gives the inputs of both uses.

    Args:
        x: One array of shape (n, ...), or a dict of arrays by input name.

    Returns:
        float32 of shape (n * uses, *shape).
    """
    seen: list[np.ndarray] = []
    _run(model, {"": layer}, x, batch_size, lambda _, values: seen.append(np.asarray(values, np.float32)))
    return np.concatenate(seen)


def product_input(model: keras.Model, layer: Any, x: Any, batch_size: int = 64) -> np.ndarray | None:
    """The vectors that a table of embeddings is multiplied with, where a model has it as its output, too.

    Args:
        layer: An Embedding. Rows of its width in floating point are factors; whole numbers are looked up.

    Returns:
        float32 of shape (n, columns); None where it is only looked up.
    """
    seen: list[np.ndarray] = []

    def note(_: str, values: Any) -> None:
        is_factor = keras.backend.is_float_dtype(keras.backend.standardize_dtype(values.dtype))
        if is_factor and values.shape[-1] == layer.output_dim:
            seen.append(np.asarray(values, np.float32).reshape(-1, layer.output_dim))

    _run(model, {"": layer}, x, batch_size, note)
    return np.concatenate(seen) if seen else None


def in_order_of_use(model: keras.Model, layers: Mapping[str, Any], x: Any) -> list[str]:
    """The layers' paths in the order in which the model first uses them; without those it does not use."""
    order: list[str] = []
    first = {name: values[:1] for name, values in x.items()} if isinstance(x, dict) else x[:1]
    _run(model, layers, first, 1, lambda path, _: order.append(path) if path not in order else None)
    return order


def _run(model: keras.Model, layers: Mapping[str, Any], x: Any, batch_size: int, on_input: Any) -> None:
    def listening(path: str, call: Any) -> Any:
        def listen(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            on_input(path, inputs)
            return call(inputs, *args, **kwargs)

        return listen

    try:
        for path, layer in layers.items():
            layer.call = listening(path, layer.call)
        count = len(next(iter(x.values()))) if isinstance(x, dict) else len(x)
        for start in range(0, count, batch_size):
            part = slice(start, start + batch_size)
            batch = {name: values[part] for name, values in x.items()} if isinstance(x, dict) else x[part]
            model(batch, training=False)
    finally:
        for layer in layers.values():
            if "call" in vars(layer):
                del layer.call


def linear_output(layer: Any, inputs: np.ndarray, kernel: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """A layer's output before its activation, with another kernel."""
    activation, before = layer.activation, np.array(layer.kernel)
    try:
        layer.activation = keras.activations.linear
        layer.kernel.assign(kernel)
        parts = [np.asarray(layer(inputs[start : start + batch_size])) for start in range(0, len(inputs), batch_size)]
    finally:
        layer.activation = activation
        layer.kernel.assign(before)
    return np.concatenate(parts)
