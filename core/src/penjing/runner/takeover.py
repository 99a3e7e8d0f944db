"""A user's model as the engine knows models: everything in it is a layer with weights of its own, by one name."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.errors import ModelError


def taken_over(model: Any) -> Any:
    """The model, answering the same, with

    - Keras' functions in the place of TensorFlow's as activations;
    - a layer of its own behind each layer whose `activation` is a layer (PReLU, say): the layer's name goes to it, the
      kernel's layer gets '_kernel' added;
    - LoRA's adapters added to the kernels that they adapt;
    - plain pooling for adaptive pooling whose windows are all of one size;
    - inputs that are called as their layers where there are several, which Keras does only once a model has been
      saved.

    Args:
        model: A Keras model, which is not changed.

    Returns:
        A new model with the same weights; the given one where there is nothing to change, or where it has a class of
        its own.

    Raises:
        ModelError: A layer is quantized by Keras, is stateful, looks values up in a hash table, or has adapters where
            they cannot be taken out; names the layer.
    """
    from penjing.compression.structure.replacement import Chain, is_open, replace_layers, replaceable_layers
    from penjing.compression.tensorflow_names import is_of_tensorflow, known_names

    layers = model._flatten_layers(include_self=False)
    _check_not_quantized(layers)
    _check_stateless(layers)
    _check_no_tables(layers)
    adapted = {id(layer) for layer in layers if getattr(layer, "lora_enabled", False)}
    chains = {}
    for path, layer, uses in replaceable_layers(model):
        if id(layer) in adapted:
            adapted.remove(id(layer))
            chains[path] = _without_adapters(layer)
        elif uses and _has_layer_inside(layer):
            chains[path] = _activation_behind(layer, uses[0][1])
        elif (pooling := _plain_pooling(layer, uses)) is not None:
            chains[path] = Chain(layers=(pooling,), weights=((),))
    for layer in layers:
        if id(layer) in adapted:
            raise ModelError(
                "the layer has LoRA's adapters, which cannot be taken out here",
                where=f"layer '{layer.name}'",
                why="it stands inside another layer or a model with a class of its own",
                hint="build the model without them and give it their weights: layer.kernel holds the sum",
            )
    foreign = any(is_of_tensorflow(getattr(layer, "activation", None)) for layer in layers)
    if not is_open(model) or not (chains or foreign or _has_nameless_inputs(model)):
        return model
    with known_names():
        return replace_layers(model, chains)


def _has_nameless_inputs(model: Any) -> bool:
    several = len(model.inputs) > 1
    return several and any(tensor.name != tensor._keras_history.operation.name for tensor in model.inputs)


def _check_not_quantized(layers: Any) -> None:
    for layer in layers:
        mode = getattr(layer, "quantization_mode", None)
        if mode:
            raise ModelError(
                f"the layer is quantized already, by Keras ({mode})",
                where=f"layer '{layer.name}'",
                why="its kernel is integers with scales beside it, in a form that LiteRT has no operator for",
                hint="give the model as it was before model.quantize(): penjing's recipes quantize it",
            )


def _check_stateless(layers: Any) -> None:
    for layer in layers:
        if getattr(layer, "stateful", False):
            raise ModelError(
                "the layer is stateful: its answer depends on the examples before",
                where=f"layer '{layer.name}'",
                why="examples are shuffled for training, and each is answered by itself in measuring and in the file",
                hint="build the same model with stateful=False and without a fixed batch size, then "
                "new.set_weights(model.get_weights())",
            )


def _check_no_tables(layers: Any) -> None:
    import keras

    kinds = keras.layers
    for layer in layers:
        if isinstance(
            layer,
            (kinds.IntegerLookup, kinds.StringLookup, kinds.TextVectorization, kinds.Hashing, kinds.HashedCrossing),
        ):
            raise ModelError(
                f"{type(layer).__name__} has no operator in LiteRT: it looks values up in a hash table",
                where=f"layer '{layer.name}'",
                hint="apply it to the data beforehand, x = layer(x), and give a model of the layers behind it",
            )


def _without_adapters(layer: Any) -> Any:
    from penjing.compression.structure.replacement import Chain

    config = {key: value for key, value in layer.get_config().items() if key not in ("lora_rank", "lora_alpha")}
    # The first weight, as Keras shows it, is the sum of kernel and adapters.
    first = layer.embeddings if hasattr(layer, "embeddings") else layer.kernel
    bias = getattr(layer, "bias", None)
    weights = [np.asarray(first), *([] if bias is None else [np.asarray(bias)])]
    return Chain(layers=(type(layer).from_config(config),), weights=(weights,))


def _has_layer_inside(layer: Any) -> bool:
    import keras

    return hasattr(layer, "kernel") and isinstance(getattr(layer, "activation", None), keras.layers.Layer)


def _activation_behind(layer: Any, outputs: tuple[Any, ...]) -> Any:
    from penjing.compression.structure.replacement import Chain

    inner = layer.activation
    if not inner.built:
        inner.build(outputs)
    its = {id(variable) for variable in inner.weights}
    alone = type(layer).from_config({**layer.get_config(), "activation": "linear", "name": f"{layer.name}_kernel"})
    behind = type(inner).from_config({**inner.get_config(), "name": layer.name})
    own = [np.asarray(variable) for variable in layer.weights if id(variable) not in its]
    return Chain(layers=(alone, behind), weights=(own, inner.get_weights()))


def _plain_pooling(layer: Any, uses: Any) -> Any:
    """The layer of windows of one size that does what an adaptive one does; None where there is no such layer."""
    import keras

    from penjing.compression.structure.shape_rules import ADAPTIVE_POOLING

    if type(layer) not in ADAPTIVE_POOLING:
        return None
    first = layer.data_format == "channels_first"
    sizes = {shape[2:] if first else shape[1:-1] for shape, _ in uses}
    if len(sizes) != 1:
        return None
    (before,) = sizes
    after = layer.output_size
    if None in before or any(size % left for size, left in zip(before, after, strict=True)):
        return None
    window = tuple(size // left for size, left in zip(before, after, strict=True))
    made = getattr(keras.layers, type(layer).__name__.removeprefix("Adaptive"))
    return made(window, data_format=layer.data_format, name=layer.name, trainable=layer.trainable)
