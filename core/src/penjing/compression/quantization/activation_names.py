"""Which of Keras' activations a layer or an operation of a graph computes: its name and its arguments."""

from __future__ import annotations

import inspect
import re
from typing import Any

import keras

from penjing.compression import tensorflow_names
from penjing.compression.tensorflow_names import is_of_tensorflow

layers = keras.layers
Activation = tuple[str, dict[str, Any]]
"""A name in `keras.activations`, and keyword arguments."""

_NAMES = frozenset(
    name
    for name, value in vars(keras.activations).items()
    # glu has half as many outputs as inputs, threshold has no defaults.
    if inspect.isfunction(value) and name not in ("get", "serialize", "deserialize", "glu", "threshold")
)
_LAYERS = (layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax)
"""Layers that are one of these functions."""


def own_activation(layer: Any) -> Activation | None:
    """What a layer's `activation` computes; ("linear", {}) where it has none.

    Returns:
        None where it is a function of the user's own, or a layer that is more than a function, as PReLU.
    """
    function = getattr(layer, "activation", None)
    if function is None:
        return "linear", {}
    if isinstance(function, keras.layers.Layer):
        return activation_of(function) if isinstance(function, _LAYERS) else None
    name = getattr(function, "__name__", "")
    if is_of_tensorflow(function):  # its functions compute what those of Keras do, with the same defaults
        name = tensorflow_names.NAMES.get(name, name)
        function = getattr(keras.activations, name, function)
    if name not in _NAMES or not str(function.__module__).startswith("keras."):
        return None
    return _named(name, _defaults(function))


def activation_of(operation: Any) -> Activation | None:
    """What a layer that is an activation, or an operation of `keras.ops` in a graph, computes.

    Returns:
        None where it is no activation, or has arguments that no integer form knows.
    """
    if isinstance(operation, layers.Activation):
        return own_activation(operation)
    kind = type(operation).__name__
    if kind == "ReLU":  # the layer, or what keras.activations.relu becomes in a graph
        slope = float(operation.negative_slope or 0)
        if operation.threshold or operation.max_value not in (None, 6) or (slope and operation.max_value):
            return None
        if slope:
            return "leaky_relu", {"negative_slope": slope}
        return ("relu6" if operation.max_value == 6 else "relu"), {}
    if isinstance(operation, layers.LeakyReLU):
        return "leaky_relu", {"negative_slope": float(operation.negative_slope)}
    if isinstance(operation, layers.ELU):
        return "elu", {"alpha": float(operation.alpha)}
    if isinstance(operation, layers.Softmax):
        return "softmax", {"axis": operation.axis}
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    if isinstance(operation, keras.layers.Layer) or name not in _NAMES:
        return None
    options = _defaults(getattr(keras.activations, name))
    return _named(name, {option: getattr(operation, option, default) for option, default in options.items()})


def _named(name: str, options: dict[str, Any]) -> Activation:
    own = getattr(keras.activations, name).__name__  # swish is silu
    return own, {} if own == "relu" else options


def _defaults(function: Any) -> dict[str, Any]:
    """A function's arguments beyond its input."""
    _, *others = inspect.signature(function).parameters.items()
    return {name: parameter.default for name, parameter in others}
