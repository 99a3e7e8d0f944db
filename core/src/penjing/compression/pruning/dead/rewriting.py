"""Layers that change nothing, and models without them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds.calls import Call
from penjing.compression.bounds.intervals import Interval
from penjing.compression.bounds.propagation import ModelBounds
from penjing.compression.model_tree import walk_layers
from penjing.compression.structure.copying import layer_again
from penjing.compression.structure.graph import is_nested_model

layers = keras.layers


def find_idle(bounds: ModelBounds, *, merges: bool = True) -> dict[str, tuple[int, str]]:
    """Layers whose result is one of their inputs, in every one of their calls.

    Those that make an output of the model, or of a nested model (its name is theirs), are left alone, and so are those
    that several models share.

    Args:
        merges: Also find additions of zero and multiplications by one, whose other branch then falls away.

    Returns:
        By path the number of that input, and why.
    """
    found: dict[str, tuple[int, str]] = {}
    busy: set[str] = set()
    paths: dict[int, str] = {}
    for call in bounds.graph.calls:
        idle = None
        own = paths.setdefault(id(call.operation), call.path) == call.path
        if own and not makes_output(call, bounds) and not call.training:
            idle = _idle(call, bounds, merges)
        if idle is None or found.setdefault(call.path, idle)[0] != idle[0]:
            busy |= {call.path, paths[id(call.operation)]}
    return {path: idle for path, idle in found.items() if path not in busy}


def makes_output(call: Call, bounds: ModelBounds) -> bool:
    """Whether a call makes an output of the model or of a nested one."""
    return any(value in bounds.graph.outputs or id(value.tensor) in bounds.graph.emitted for value in call.outputs)


def _idle(call: Call, bounds: ModelBounds, merges: bool) -> tuple[int, str] | None:
    if not isinstance(call.operation, layers.Layer) or len(call.outputs) != 1:
        return None
    if len(call.inputs) == 1:
        same_type = call.inputs[0].tensor.dtype == call.outputs[0].tensor.dtype
        why = _identity(call.operation, bounds[call.inputs[0]]) if same_type else None
        if why is None and type(call.operation) in (layers.Reshape, layers.Permute, layers.Flatten) and same_type:
            why = _same_form(call)
        return (0, why) if why else None
    return _neutral_merge(call, bounds) if merges else None


def _identity(layer: Any, x: Interval) -> str | None:
    """Why a layer's output is its input; None where it may differ."""
    kind = type(layer)
    if kind is layers.Identity or (kind is layers.Activation and layer.activation is keras.activations.linear):
        return "identity"
    if kind in (layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D) or kind in (
        layers.AveragePooling1D,
        layers.AveragePooling2D,
        layers.AveragePooling3D,
    ):
        return "window of 1" if _all(layer.pool_size, 1) and _all(layer.strides, 1) else None
    if kind in (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D):
        return "pads nothing" if _all(layer.padding, 0) else None
    if kind in (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D):
        return "crops nothing" if _all(layer.cropping, 0) else None
    if kind in (layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D):
        return "scales by 1" if _all(layer.size, 1) else None
    if kind is layers.Rescaling:
        return "scales by 1" if _all(layer.scale, 1) and _all(layer.offset, 0) else None
    if kind is layers.ReLU or (kind is layers.Activation and layer.activation is keras.activations.relu):
        threshold, limit = getattr(layer, "threshold", 0), getattr(layer, "max_value", None)
        below_limit = limit is None or (x.high <= limit).all()
        return "input never negative" if threshold == 0 and below_limit and (x.low >= 0).all() else None
    if kind is layers.Activation and layer.activation is keras.activations.relu6:
        return "input always within 0 and 6" if (x.low >= 0).all() and (x.high <= 6).all() else None
    return None


def _all(values: Any, number: float) -> bool:
    return bool(np.all(np.asarray(values) == number))


def _same_form(call: Call) -> str | None:
    shape = call.inputs[0].shape[1:]
    if None in shape or shape != call.outputs[0].shape[1:]:
        return None
    dims = getattr(call.operation, "dims", None)
    return "form unchanged" if dims is None or tuple(dims) == tuple(range(1, len(shape) + 1)) else None


def _neutral_merge(call: Call, bounds: ModelBounds) -> tuple[int, str] | None:
    """Added zeros, factors of one: all inputs but one are neutral, and that one has the result's shape."""
    kind = type(call.operation)
    if kind not in (layers.Add, layers.Subtract, layers.Multiply):
        return None
    number = 1.0 if kind is layers.Multiply else 0.0
    busy = [index for index, value in enumerate(call.inputs) if not (bounds[value].value == number).all()]
    if len(busy) > 1 or (kind is layers.Subtract and busy == [1]):
        return None
    kept = busy[0] if busy else 0
    if call.inputs[kept].shape != call.outputs[0].shape:
        return None
    return kept, "multiplied by one only" if kind is layers.Multiply else "the other branch is zero"


def rebuilt(model: keras.Model, dropped: Mapping[str, int], with_bias: Collection[int] = ()) -> keras.Model:
    """A copy of a model in which some layers hand on one of their inputs, and some have a bias of zeros.

    What nothing reads any more is left out. Names stay.

    Args:
        dropped: By path the number of the input.
        with_bias: `id`s of layers that get a bias.
    """
    clones: dict[int, Any] = {}
    paths: dict[int, str] = {}

    def copied(original: Any, prefix: str) -> Any:
        def clone(layer: Any) -> Any:
            if id(layer) not in clones:
                path = f"{prefix}{layer.name}"
                if is_nested_model(layer):
                    clones[id(layer)] = copied(layer, f"{path}/")
                else:
                    clones[id(layer)] = layer_again(layer, lambda config: add_bias(layer, config))
                paths[id(clones[id(layer)])] = path
            return clones[id(layer)]

        if not isinstance(original, keras.Sequential):
            return keras.models.clone_model(original, clone_function=clone, call_function=call)
        remaining = [clone(layer) for layer in original.layers if f"{prefix}{layer.name}" not in dropped]
        tensor = original.inputs[0]
        entrance = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
        return keras.Sequential([entrance, *remaining], name=original.name)

    def add_bias(layer: Any, config: dict[str, Any]) -> None:
        if id(layer) in with_bias:
            config["use_bias"] = True
        inner = getattr(layer, "layer", None)
        if inner is not None and id(inner) in with_bias:
            config["layer"]["config"]["use_bias"] = True

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        kept = dropped.get(paths[id(layer)])
        return layer(*args, **kwargs) if kept is None else keras.tree.flatten((args, kwargs))[kept]

    copy = copied(model, "")
    old = dict(walk_layers(model))
    for path, layer in walk_layers(copy):
        if isinstance(layer, layers.InputLayer):
            continue
        layer.trainable = old[path].trainable
        sources = list(old[path].weights)
        if len(sources) == len(layer.weights):
            # In order, not by name: what a layer adds without a name has another name in every copy.
            for variable, source in zip(layer.weights, sources, strict=True):
                variable.assign(source)
            continue
        for variable in layer.weights:
            if sources and variable.name == sources[0].name and variable.shape == sources[0].shape:
                variable.assign(sources.pop(0))
            else:
                variable.assign(np.zeros(variable.shape))  # the new bias; an LSTM's would start at one
    return copy
