"""A model's activations, taken over as the engine knows them: functions of Keras, and layers of their own."""

from __future__ import annotations

from typing import Any

import numpy as np


def with_known_activations(model: Any) -> Any:
    """The model with Keras' functions in the place of TensorFlow's, and with a layer of its own behind each layer whose
    `activation` is a layer (PReLU, say): the layer's name goes to it, the kernel's layer gets '_kernel' added.

    Args:
        model: A Keras model, which is not changed.

    Returns:
        A new model with the same weights; the given one where there is nothing to change, or where it has a class of
        its own.
    """
    from penjing.compression.structure.replacement import is_open, replace_layers, replaceable_layers
    from penjing.compression.tensorflow_names import is_of_tensorflow, known_names

    if not is_open(model):
        return model
    chains = {
        path: _chain(layer, uses[0][1])
        for path, layer, uses in replaceable_layers(model)
        if uses and _has_layer_inside(layer)
    }
    foreign = any(
        is_of_tensorflow(getattr(layer, "activation", None)) for layer in model._flatten_layers(include_self=False)
    )
    if not chains and not foreign:
        return model
    with known_names():
        return replace_layers(model, chains)


def _has_layer_inside(layer: Any) -> bool:
    import keras

    return hasattr(layer, "kernel") and isinstance(getattr(layer, "activation", None), keras.layers.Layer)


def _chain(layer: Any, outputs: tuple[Any, ...]) -> Any:
    from penjing.compression.structure.replacement import Chain

    inner = layer.activation
    if not inner.built:
        inner.build(outputs)
    its = {id(variable) for variable in inner.weights}
    alone = type(layer).from_config({**layer.get_config(), "activation": "linear", "name": f"{layer.name}_kernel"})
    behind = type(inner).from_config({**inner.get_config(), "name": layer.name})
    own = [np.asarray(variable) for variable in layer.weights if id(variable) not in its]
    return Chain(layers=(alone, behind), weights=(own, inner.get_weights()))
