"""Models in half or double precision, taken over in float32: the exporter and the techniques know no other."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from penjing.errors import ModelError

_OTHERS = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16", "float64")


def in_float32(model: Any) -> tuple[Any, tuple[str, ...]]:
    """A model with the same weights that computes in float32, and the layers that did not; the model itself where all
    did. It answers what the given one would but for rounding: without that of half, with that of single precision.

    Raises:
        ModelError: It does not, and has a class of its own, so that it cannot be built anew.
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if _is_other(layer.dtype_policy.name)]
    if not layers:
        return model, ()
    names = tuple(layer.name for layer in layers)
    from penjing.compression.structure.replacement import is_open

    closed = [each.name for each in _models(model) if not is_open(each)]
    if closed:
        raise ModelError(
            f"a layer computes in {layers[0].dtype_policy.name}",
            where=f"layer '{names[0]}'",
            why=f"LiteRT computes in float32 or in integers, and '{closed[0]}' has a class of its own, so penjing "
            "cannot build it anew in float32",
            hint="build the model under keras.config.set_dtype_policy('float32') and load the weights into it",
        )
    made = type(model).from_config(_replaced(copy.deepcopy(model.get_config())))
    if not made.built:
        made.build(model.input_shape)
    made.set_weights([np.asarray(value, np.float32) if _is_float(value) else value for value in model.get_weights()])
    return made, names


def _models(model: Any) -> list[Any]:
    import keras

    inner = [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, keras.Model)]
    return [model, *inner]


def _is_other(name: Any) -> bool:
    return name in _OTHERS


def _is_float(value: Any) -> bool:
    return "float" in str(value.dtype)


def _replaced(node: Any) -> Any:
    """A configuration with float32 where it names another precision, in dtypes and in policies."""
    if isinstance(node, dict):
        is_policy = node.get("class_name") in ("DTypePolicy", "FloatDTypePolicy")
        return {
            key: "float32"
            if key == "dtype" and _is_other_text(value)
            else {**value, "name": "float32"}
            if key == "config" and is_policy and _is_other(value.get("name"))
            else _replaced(value)
            for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return type(node)(_replaced(item) for item in node)
    return node


def _is_other_text(value: Any) -> bool:
    return isinstance(value, str) and _is_other(value)
