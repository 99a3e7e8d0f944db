"""Rebuild a model with some layers replaced by chains of layers; everything else keeps its name, place and weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What takes the place of a layer. The last layer of the chain keeps the replaced layer's name, so that whatever
    refers to its output (other layers, the model's outputs) finds it."""

    layers: tuple[keras.layers.Layer, ...]
    weights: tuple[Sequence[np.ndarray], ...]
    """Of each layer, in the order of `get_weights`."""


def is_open(model: Any) -> bool:
    """Whether a model's layers are all that it consists of, so that it can be rebuilt from them."""
    return isinstance(model, keras.Sequential) or type(model).__name__ == "Functional"


Uses = tuple[tuple[tuple[Any, ...], tuple[Any, ...]], ...]
"""(input shape, output shape) of each use of a layer in a run of the model; the batch is first, open sizes are None."""


def replaceable_layers(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer, Uses]]:
    """(path, layer, uses) of all layers that can be replaced, nested models opened. What a wrapper or a model of its
    own class holds is not among them. A layer that several models share comes with its first path."""
    if is_open(model):
        yield from _replaceable(model, "", 1, set())


def _replaceable(
    model: keras.Model, prefix: str, times: int, seen: set[int]
) -> Iterator[tuple[str, keras.layers.Layer, Uses]]:
    # A Sequential model calls its layers anew whenever one is added; only the nodes of its graph as it is now count.
    graph = model._functional if isinstance(model, keras.Sequential) else model
    nodes = [node for depth in graph._nodes_by_depth.values() for node in depth] if graph is not None else []
    for layer in model.layers:
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        path = f"{prefix}{layer.name}"
        calls = [node for node in nodes if node.operation is layer and node.input_tensors]
        if not isinstance(layer, keras.Model):
            uses = [(tuple(node.input_tensors[0].shape), tuple(node.output_tensors[0].shape)) for node in calls]
            yield path, layer, tuple(uses * times)
        elif is_open(layer):
            yield from _replaceable(layer, f"{path}/", times * len(calls), seen)


def replace_layers(model: keras.Model, chains: Mapping[str, Chain]) -> keras.Model:
    """A new model in which chains stand for some layers. A layer that is used several times is replaced everywhere.

    Args:
        model: A functional or Sequential model; it is not changed.
        chains: By path of the replaced layer, as `replaceable_layers` names it.

    Raises:
        ModelError: The model has a class of its own, or a path is not among `replaceable_layers`.
    """
    if not is_open(model):
        raise ModelError(
            f"the model '{model.name}' ({type(model).__name__}) cannot be rebuilt",
            why="a model with a class of its own may do more than its layers say",
            hint="make it a functional model: keras.Model(inputs, outputs)",
        )
    config = copy.deepcopy(model.get_config())
    left = dict(chains)
    _replace(config, "", left)
    if left:
        raise ModelError(f"there is no layer '{next(iter(left))}' that can be replaced")
    rebuilt = type(model).from_config(config)
    if not rebuilt.built:
        rebuilt.build(model.input_shape)
    _carry_over(model, rebuilt, chains, "")
    return rebuilt


def _replace(config: dict[str, Any], prefix: str, left: dict[str, Chain]) -> None:
    """Put chains into the config of a model and of the models in it."""
    layers = []
    for entry in config["layers"]:
        path = f"{prefix}{entry['config'].get('name', entry.get('name'))}"
        if path in left:
            layers += _chain_entries(entry, left.pop(path))
            continue
        if isinstance(entry["config"].get("layers"), list):
            _replace(entry["config"], f"{path}/", left)
        layers.append(entry)
    config["layers"] = layers


def _chain_entries(entry: Mapping[str, Any], chain: Chain) -> list[dict[str, Any]]:
    """Entries of a chain. In a functional model each use of the replaced layer becomes a use of every layer of the
    chain: the first takes the inputs, any other what its predecessor gave in that use."""
    entries = [dict(keras.saving.serialize_keras_object(layer)) for layer in chain.layers]
    if "inbound_nodes" not in entry:
        return entries
    uses = entry["inbound_nodes"]
    for number, made in enumerate(entries):
        made["name"] = made["config"]["name"]
        if number == 0:
            made["inbound_nodes"] = uses
            continue
        before = entries[number - 1]["name"]
        made["inbound_nodes"] = [{"args": [_reference(before, use)], "kwargs": {}} for use in range(len(uses))]
    return entries


def _reference(layer: str, use: int) -> dict[str, Any]:
    """A tensor as Keras writes it into configs; shape and dtype are notes, the history is what is read."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None], "dtype": "float32", "keras_history": [layer, use, 0]},
    }


def _carry_over(old: keras.Model, new: keras.Model, chains: Mapping[str, Chain], prefix: str) -> None:
    made = {layer.name: layer for layer in new.layers}
    for layer in old.layers:
        path = f"{prefix}{layer.name}"
        if path in chains:
            for link, weights in zip(chains[path].layers, chains[path].weights, strict=True):
                made[link.name].set_weights(list(weights))
        elif isinstance(layer, keras.Model) and is_open(layer):
            _carry_over(layer, made[layer.name], chains, f"{path}/")
        else:
            # Variables, not weights: the states of random generators go on as well.
            for ours, theirs in zip(layer.variables, made[layer.name].variables, strict=True):
                theirs.assign(ours)
