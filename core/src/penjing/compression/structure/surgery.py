"""Build a model with fewer channels: every layer again with its smaller size, and the weights that are left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import keep_indices, walk_layers, weight_matrices
from penjing.compression.structure.copying import layer_again
from penjing.compression.structure.graph import ChannelGraph, is_nested_model
from penjing.contract import KeptAxes
from penjing.errors import ModelError

layers = keras.layers


def remove_atoms(graph: ChannelGraph, removed: Iterable[int]) -> tuple[keras.Model, dict[str, list[np.ndarray | None]]]:
    """The graph's model without some of its atoms.

    What is left computes exactly what it computed before if no layer read the removed channels (`mask_atoms`).

    Args:
        graph: Of the model; the model itself is not changed.
        removed: Atoms, as the groups have them.

    Returns:
        The new model, with the names of the old, and what is left of every kernel (`contract.KeptAxes`): under the
        layer's path for a `kernel`, under path/name for other variables of two or more axes, and under the key of
        `weight_matrices`.

    Raises:
        ModelError: An atom is protected, or a layer would be left without channels.
    """
    gone = np.unique(np.fromiter(removed, np.int64))
    for atom in gone:
        why = graph.why_protected(atom)
        if why is not None:
            raise ModelError("a channel that must stay cannot be removed", why=why)
    kept = kept_indices(graph, gone)
    if not gone.size:
        return _copy(graph, {}), {}
    return _copy(graph, kept), _kernel_axes(graph, kept)


def kept_indices(graph: ChannelGraph, gone: np.ndarray) -> dict[int, dict[int, np.ndarray]]:
    """Kept indices by axis, of each variable (by its `id`) that loses something.

    Raises:
        ModelError: A layer would be left without channels.
    """
    kept: dict[int, dict[int, np.ndarray]] = {}
    for use in graph.uses:
        left = np.flatnonzero(~np.isin(graph.atom_of[use.units], gone))
        if len(left) == len(use.units):
            continue
        if not len(left):
            raise ModelError(
                "a layer would be left without channels",
                where=f"layer '{use.path}', {use.name}",
                why=f"all {len(use.units)} channels of its axis {use.axis} would go",
            )
        kept.setdefault(id(use.variable), {})[use.axis] = left
    return kept


def join_kept(first: KeptAxes, second: KeptAxes) -> dict[str, list[np.ndarray | None]]:
    """What two rounds left of the kernels, in indices before the first."""
    joined = {path: list(axes) for path, axes in first.items()}
    for path, axes in second.items():
        if path not in joined:
            joined[path] = list(axes)
            continue
        joined[path] = [
            later if earlier is None else earlier if later is None else earlier[later]
            for earlier, later in zip(joined[path], axes, strict=True)
        ]
    return joined


def mask_atoms(graph: ChannelGraph, removed: Iterable[int]) -> keras.Model:
    """A copy of the model in which nothing reads the atoms: their rows in every kernel that reads them are zero.

    This is what removing them means; `remove_atoms` gives the same outputs from a smaller model.
    """
    gone = np.fromiter(removed, np.int64)
    model = _copy(graph, {})
    copies = {id(old): new for old, new in zip(graph.model.weights, model.weights, strict=True)}
    for use in graph.uses:
        if use.role == "reads":
            values = np.array(copies[id(use.variable)])
            np.moveaxis(values, use.axis, 0)[np.isin(graph.atom_of[use.units], gone)] = 0.0
            copies[id(use.variable)].assign(values)
    return model


def _kernel_axes(graph: ChannelGraph, kept: dict[int, dict[int, np.ndarray]]) -> dict[str, list[np.ndarray | None]]:
    axes: dict[str, list[np.ndarray | None]] = {}
    # A layer may have several kernels of one name: the projections of an attention, two directions.
    keys = {id(variable): key for key, variable in weight_matrices(graph.model).items()}
    for use in graph.uses:
        rank = len(use.variable.shape)
        if rank < 2 or id(use.variable) not in kept:
            continue
        each = [kept[id(use.variable)].get(axis) for axis in range(rank)]
        axes[f"{use.path}/{use.name}"] = each
        if use.name == "kernel":
            axes[use.path] = each
        if id(use.variable) in keys:
            axes[keys[id(use.variable)]] = each
    return axes


def _copy(graph: ChannelGraph, kept: dict[int, dict[int, np.ndarray]]) -> keras.Model:
    """The model built anew with sizes that fit what is kept."""
    model = graph.model
    sizes = {
        id(variable): tuple(
            len(kept.get(id(variable), {}).get(axis, range(size))) for axis, size in enumerate(variable.shape)
        )
        for variable in model.weights
    }
    shapes = _reshape_targets(graph, kept)

    gone = _gone_units(graph, kept)
    clones: dict[int, Any] = {}

    def clone(layer: Any) -> Any:
        if id(layer) not in clones:
            if is_nested_model(layer):
                clones[id(layer)] = clone_model(layer)
            else:
                clones[id(layer)] = layer_again(layer, lambda config: smaller(layer, config))
        return clones[id(layer)]

    def smaller(layer: Any, config: dict[str, Any]) -> None:
        if isinstance(layer, keras.layers.Layer):
            _resize(layer, config, sizes, shapes)
            _forget_shapes(config)
        elif id(layer) in shapes:  # keras.ops.reshape
            config["newshape"] = (-1, *shapes[id(layer)])

    def clone_model(each: Any) -> Any:
        """A model whose inputs have the channels that are left: those of a nested one can be fewer."""
        inputs = []
        for tensor in each.inputs:
            shape, labels = list(tensor.shape), graph.labels(tensor)
            if labels is not None:
                shape[labels.axis + 1] = int((~gone[labels.units]).sum())
            inputs.append(keras.Input(batch_shape=shape, dtype=tensor.dtype, name=tensor.name))
        structure = inputs[0]
        if not isinstance(each, keras.Sequential):
            structure = keras.tree.pack_sequence_as(each._inputs_struct, inputs)
        return keras.models.clone_model(each, clone_function=clone, input_tensors=structure)

    # Names of layers are kept, and with them the paths that promises and recipes use.
    copy = clone_model(model)
    for (path, old), (_, new) in zip(walk_layers(model), walk_layers(copy), strict=True):
        new.trainable = old.trainable
        for before, after in zip(old.weights, new.weights, strict=True):
            axes = kept.get(id(before), {})
            values = keep_indices(np.asarray(before), [axes.get(axis) for axis in range(len(before.shape))])
            if values.shape != tuple(after.shape):
                raise ModelError(
                    f"the layer '{path}' cannot be built with fewer channels",
                    why=f"its {before.name} came out as {tuple(after.shape)} instead of {values.shape}",
                    hint=f"protect it: protect = ['{path}']",
                )
            after.assign(values)
    return copy


def _forget_shapes(config: Any) -> None:
    """Take out the input shapes with which layers inside a wrapper were built: they may get fewer channels now."""
    if isinstance(config, dict):
        config.pop("build_config", None)
    for inner in config.values() if isinstance(config, dict) else config if isinstance(config, (list, tuple)) else ():
        _forget_shapes(inner)


def _reshape_targets(graph: ChannelGraph, kept: dict[int, dict[int, np.ndarray]]) -> dict[int, tuple[int, ...]]:
    """New target shapes of Reshape layers and operations, by the layer's `id`."""
    gone = _gone_units(graph, kept)
    targets = {}
    for operation in _operations(graph.model):
        if not isinstance(operation, layers.Reshape) and type(operation).__name__ != "Reshape":
            continue
        for node in operation._inbound_nodes:
            output = node.outputs[0]
            labels = graph.labels(output)
            if labels is not None:
                target = list(output.shape[1:])
                target[labels.axis] = int((~gone[labels.units]).sum())
                targets[id(operation)] = tuple(target)
    return targets


def _operations(model: Any) -> Iterator[Any]:
    """Layers and operations of a graph, nested models opened."""
    for operation in (model._functional if isinstance(model, keras.Sequential) else model).operations:
        if is_nested_model(operation):
            yield from _operations(operation)
        else:
            yield operation


def _gone_units(graph: ChannelGraph, kept: dict[int, dict[int, np.ndarray]]) -> np.ndarray:
    gone_atoms = np.zeros(len(graph.atom_of), bool)
    for use in graph.uses:
        left = kept.get(id(use.variable), {}).get(use.axis)
        if left is not None:
            lost = np.ones(len(use.units), bool)
            lost[left] = False
            gone_atoms[graph.atom_of[use.units[lost]]] = True
    return gone_atoms[graph.atom_of]


def _resize(
    layer: Any, config: dict[str, Any], sizes: dict[int, tuple[int, ...]], shapes: dict[int, tuple[int, ...]]
) -> None:
    """Write a layer's new sizes into its configuration."""

    def size(variable: Any, axis: int) -> int:
        return sizes[id(variable)][axis]

    if isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.Conv3D)):
        config["filters"] = size(layer.kernel, -1)
        if layer.groups > 1 and layer.kernel.shape[-2] == 1:  # depthwise, written as a grouped convolution
            config["groups"] = config["filters"] // (layer.filters // layer.groups)
    elif isinstance(layer, (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)):
        config["filters"] = size(layer.kernel, -2)
    elif isinstance(layer, (layers.SeparableConv1D, layers.SeparableConv2D)):
        config["filters"] = size(layer.pointwise_kernel, -1)
    elif isinstance(layer, layers.Dense):
        config["units"] = size(layer.kernel, 1)
    elif isinstance(layer, layers.Embedding):
        config["output_dim"] = size(layer.embeddings, 1)
    elif isinstance(layer, (layers.LSTM, layers.GRU, layers.SimpleRNN)):
        config["units"] = size(layer.cell.recurrent_kernel, 0)
    elif isinstance(layer, layers.Bidirectional):
        for direction in ("forward_layer", "backward_layer"):
            inner = getattr(layer, direction)
            key = "layer" if direction == "forward_layer" else direction
            if key in config:
                _resize(inner, config[key]["config"], sizes, shapes)
    elif isinstance(layer, layers.TimeDistributed):
        _resize(layer.layer, config["layer"]["config"], sizes, shapes)
    elif isinstance(layer, layers.MultiHeadAttention):
        config["num_heads"] = size(layer._query_dense.kernel, 1)
        if len(layer._output_dense.kernel.shape) == 3:
            config["output_shape"] = (size(layer._output_dense.kernel, 2),)
    elif isinstance(layer, layers.GroupNormalization):
        variable = layer.gamma if layer.gamma is not None else layer.beta
        if variable is not None and layer.groups != -1:
            config["groups"] = layer.groups * size(variable, 0) // variable.shape[0]
    elif isinstance(layer, layers.Reshape):
        config["target_shape"] = shapes.get(id(layer), config["target_shape"])
    elif type(layer).__name__ == "LayerScale":
        config["projection_dim"] = size(layer.gamma, 0)
