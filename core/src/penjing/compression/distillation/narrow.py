"""A narrower copy of a model: as deep, with fewer filters and units, and new weights (the width multiplier of Howard et
al. 2017, "MobileNets").

The model is rebuilt layer by layer from the layers' configurations. Layers that decide a width (convolutions, Dense,
recurrent layers, embeddings) get a share of it; layers that take the width of their inputs (normalization, depthwise
convolution, pooling, merges) follow; the head, whose width is the outputs', stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from penjing.compression.model_tree import check_traceable, walk_layers
from penjing.compression.structure.copying import layer_again
from penjing.contract import LayerChange
from penjing.errors import ModelError

_LAYERS = keras.layers
_WIDTHS: dict[type, str] = {
    **dict.fromkeys(
        (
            _LAYERS.Conv1D,
            _LAYERS.Conv2D,
            _LAYERS.Conv3D,
            _LAYERS.Conv1DTranspose,
            _LAYERS.Conv2DTranspose,
            _LAYERS.Conv3DTranspose,
            _LAYERS.SeparableConv1D,
            _LAYERS.SeparableConv2D,
            _LAYERS.ConvLSTM1D,
            _LAYERS.ConvLSTM2D,
        ),
        "filters",
    ),
    **dict.fromkeys(
        (
            _LAYERS.Dense,
            _LAYERS.LSTM,
            _LAYERS.GRU,
            _LAYERS.SimpleRNN,
            _LAYERS.LSTMCell,
            _LAYERS.GRUCell,
            _LAYERS.SimpleRNNCell,
        ),
        "units",
    ),
    _LAYERS.Embedding: "output_dim",
}
"""The setting that is a layer's width. Exact types: a subclass may do anything with it."""
_FOLLOWERS = (
    _LAYERS.BatchNormalization,
    _LAYERS.LayerNormalization,
    _LAYERS.GroupNormalization,
    _LAYERS.DepthwiseConv1D,
    _LAYERS.DepthwiseConv2D,
    _LAYERS.PReLU,
)
"""Layers with weights whose width is that of their inputs."""
_ELEMENTWISE = frozenset(("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Average", "Maximum", "Minimum"))
"""Layers and operations, by class name, that would silently spread a width of 1 over another."""


def narrowed(model: keras.Model, multiplier: float) -> keras.Model:
    """A copy with `multiplier` times the filters and units, at least 1 of each, and new weights. Layers that are not
    trainable, and fitted Normalization layers, keep width and weights.

    Args:
        model: Functional or Sequential; nested models are opened. It is not changed.
        multiplier: Above 0 and below 1.

    Raises:
        ModelError: Names the layer that cannot be scaled, and why.
    """
    check_traceable(model)
    rebuild = _Rebuild(model, multiplier)
    copy = rebuild.model(model)
    ours, theirs = [tuple(t.shape) for t in copy.outputs], [tuple(t.shape) for t in model.outputs]
    if ours != theirs:
        raise ModelError(
            "a narrower copy would have outputs of another shape",
            where=f"model '{model.name}'",
            why=f"{theirs} became {ours}: what makes the outputs is no single layer",
            hint='use student = "model"',
        )
    if not rebuild.scaled:
        raise ModelError(
            f"the model '{model.name}' has no width to scale",
            why="filters and units of the head are those of the outputs, and no other layer has any",
            hint='use student = "model"',
        )
    return copy


def width_changes(model: keras.Model, copy: keras.Model) -> Iterator[LayerChange]:
    """What became of each layer with weights."""
    layers = dict(walk_layers(copy))
    for path, layer in walk_layers(model):
        if not layer.weights or path not in layers:
            continue
        setting = _WIDTHS.get(type(layer))
        if setting is None:
            yield LayerChange(layer=path, change="follows the width of its inputs; new weights")
            continue
        before, after = getattr(layer, setting), getattr(layers[path], setting)
        if before == after:
            yield LayerChange(layer=path, change=f"{before:,} {setting} kept: the head, or not trainable")
        else:
            yield LayerChange(layer=path, change=f"{before:,} -> {after:,} {setting}; new weights")


class _Rebuild:
    """Rebuilds one model. Each layer is made when it is called, since its inputs decide whether that works."""

    def __init__(self, model: keras.Model, multiplier: float) -> None:
        self.multiplier = multiplier
        self.made: dict[int, Any] = {}
        self.heads: set[int] = set()
        self.scaled = 0
        _reaches_inputs(model, self.heads)

    def model(self, original: keras.Model, inputs: Any = None) -> keras.Model:
        """The copy of a model, on new inputs where it is a nested one."""
        functional = original
        if isinstance(original, keras.Sequential):
            functional = keras.Model(original.inputs[0], original.outputs[0], name=original.name)
        return keras.models.clone_model(
            functional, input_tensors=inputs, clone_function=lambda layer: layer, call_function=self._call
        )

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the copy of a layer and call it on the copies of its inputs."""
        try:
            if id(layer) not in self.made:
                self.made[id(layer)] = self._copy(layer, args)
            copy = self.made[id(layer)]
            _check_widths(layer, args, kwargs)
            outputs = copy(*args, **kwargs)
        except ModelError:
            raise
        except Exception as error:
            raise _cannot(layer, str(error).splitlines()[0]) from error
        _keep_weights(layer, copy)
        return outputs

    def _copy(self, layer: Any, args: tuple[Any, ...]) -> Any:
        if isinstance(layer, keras.Model):
            if not layer.inputs:
                raise _cannot(layer, "it is a subclassed model, whose layers cannot be seen")
            fresh = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in keras.tree.flatten(args)]
            structure = layer.inputs[0] if isinstance(layer, keras.Sequential) else layer.input
            return self.model(layer, keras.tree.pack_sequence_as(structure, fresh))
        return layer_again(layer, lambda config: self._narrow(layer, config, args))

    def _narrow(self, layer: Any, config: dict[str, Any], args: tuple[Any, ...]) -> None:
        if isinstance(layer, keras.layers.Reshape):
            config["target_shape"] = _reshaped(layer, args)
        elif isinstance(layer, keras.layers.Layer) and layer.weights and not _is_fixed(layer):
            config.update(self._scaled(type(layer), config, layer, id(layer) in self.heads))

    def _scaled(self, kind: type, config: Mapping[str, Any], layer: Any, is_head: bool) -> dict[str, Any]:
        """The configuration with its width scaled; wrappers and recurrent cells are opened."""
        config = dict(config)
        if kind in _WIDTHS:
            if not is_head:
                groups = int(config.get("groups") or 1)
                width = int(config[_WIDTHS[kind]])
                share = max(1, round(self.multiplier * width / groups)) * groups
                self.scaled += share < width
                config[_WIDTHS[kind]] = share
            return config
        if kind in _FOLLOWERS:
            return config
        inner = [name for name in ("layer", "backward_layer", "cell") if isinstance(config.get(name), Mapping)]
        if inner and kind in (_LAYERS.Bidirectional, _LAYERS.TimeDistributed, _LAYERS.RNN):
            for name in inner:
                config[name] = self._scaled_entry(config[name], layer, is_head)
            return config
        if kind is _LAYERS.StackedRNNCells:
            last = len(config["cells"]) - 1  # its units are the layer's
            config["cells"] = [
                self._scaled_entry(entry, layer, is_head and number == last)
                for number, entry in enumerate(config["cells"])
            ]
            return config
        raise _cannot(layer, f"nothing is known about the width of a {kind.__name__}")

    def _scaled_entry(self, entry: Mapping[str, Any], layer: Any, is_head: bool) -> dict[str, Any]:
        """The same for a layer as it stands in another's configuration."""
        kind = type(keras.saving.deserialize_keras_object({**entry, "build_config": None}))
        config = self._scaled(kind, entry["config"], layer, is_head)
        # Without the shapes that it was built for.
        return {**{name: value for name, value in entry.items() if name != "build_config"}, "config": config}


def _reaches_inputs(model: keras.Model, heads: set[int]) -> bool:
    """Collect the layers that decide the width of the outputs; whether some output does without any."""
    reached = False
    seen: set[int] = set()
    waiting = list(model.outputs)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        operation, node_index, _ = tensor._keras_history
        if isinstance(operation, keras.layers.InputLayer):
            reached = True
            continue
        passes = True
        if isinstance(operation, keras.Model):
            passes = _reaches_inputs(operation, heads)
        elif type(operation) in _WIDTHS or isinstance(operation, (_LAYERS.Wrapper, _LAYERS.RNN)):
            heads.add(id(operation))
            passes = False
        if passes:
            waiting += operation._inbound_nodes[node_index].input_tensors
    return reached


def _is_fixed(layer: Any) -> bool:
    """Whether a layer's weights do not come from training: statistics of the data, a filter bank."""
    return isinstance(layer, keras.layers.Normalization) or not layer.trainable


def _keep_weights(layer: Any, copy: Any) -> None:
    if not isinstance(layer, keras.layers.Layer) or isinstance(layer, keras.Model):
        return
    if not layer.weights or not _is_fixed(layer):
        return
    if [tuple(w.shape) for w in layer.weights] != [tuple(w.shape) for w in copy.weights]:
        raise _cannot(layer, "its weights are fixed, and its inputs would become narrower")
    copy.set_weights(layer.get_weights())


def _reshaped(layer: Any, args: tuple[Any, ...]) -> Sequence[int]:
    """The shape that a Reshape has after scaling: a last axis that was the width is the width again."""
    target = list(layer.target_shape)
    before, after = layer.input.shape, args[0].shape
    if target and -1 not in target and before[-1] != after[-1] and target[-1] == before[-1]:
        target[-1] = after[-1]
    return tuple(target)


def _check_widths(layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Inputs that had equal widths must have them again, or one would be spread over the other unseen."""
    if type(layer).__name__ not in _ELEMENTWISE:
        return
    before = [t.shape[-1] for t in layer._inbound_nodes[0].input_tensors if len(t.shape) > 1]
    after = [t.shape[-1] for t in keras.tree.flatten((args, dict(kwargs))) if len(getattr(t, "shape", ())) > 1]
    if len(set(before)) == 1 and len(set(after)) > 1:
        raise _cannot(layer, f"its inputs, all {before[0]} wide, would become {' and '.join(map(str, after))} wide")


def _cannot(layer: Any, why: str) -> ModelError:
    return ModelError(
        "the model cannot be made narrower",
        where=f"layer '{layer.name}' ({type(layer).__name__})",
        why=why,
        hint='use student = "model": let the domain build a smaller one, or prune channels',
    )
