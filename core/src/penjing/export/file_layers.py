"""Which layer an operator of a file came from.

Files have no layer names, and the converter's tensor names are made unique, fused and cut. So while a model is traced
its layers carry numbered names, which are found again in the names of tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from penjing.errors import ModelError

PRECISIONS = ("float", "float16", "int16x8", "int8", "int4")
"""What a layer can be written as, the most precise first. int4 is of the weights alone."""

KERNEL_OPERATORS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}
"""Operators whose second input is a weight tensor, with the axis of its channels (of output)."""


def layer_at(model: Any, path: str) -> Any:
    """The layer of a path: "backbone/conv1"; a wrapper's layer stands behind the wrapper's name.

    Raises:
        ModelError: There is none.
    """
    import keras

    node = model
    for part in path.split("/"):
        try:
            node = node.layer if isinstance(node, keras.layers.Wrapper) else node.get_layer(part)
        except ValueError as error:
            raise ModelError(
                f"the model has no layer '{path}'",
                hint="layers are: " + ", ".join(layer.name for layer in model.layers),
            ) from error
    return node


@contextmanager
def numbered(model: Any, paths: Sequence[str]) -> Iterator[None]:
    """Give the layers numbered names for as long as the block runs."""
    layers = [layer_at(model, path) for path in paths]
    names = [layer.name for layer in layers]
    try:
        for number, layer in enumerate(layers):
            layer.name = f"penjing_{number:05d}_layer"
        yield
    finally:
        for layer, name in zip(layers, names, strict=True):
            layer.name = name


def numbers_in(name: bytes | str | None) -> list[int]:
    """The numbers of layers in a tensor's name; several where operators were fused."""
    text = (name.decode() if isinstance(name, bytes) else name) or ""
    return [int(number) for number in re.findall(r"penjing_(\d{5})_layer", text)]


def operator_precisions(
    graph: Any, names: Sequence[str], model: Any, precisions: Mapping[str, str], otherwise: str
) -> list[str]:
    """What each operator of a float file is to be written as.

    An operator that several layers were fused into follows those with a kernel, and of these the most precise. One
    whose tensors name no layer (the last of a model) belongs to what made its input.

    Args:
        graph: A subgraph (object API) of a file that was converted within `numbered`.
        names: Its operators' names.
        model: The Keras model.
        precisions: Precision by layer path, in the order of `numbered`.
        otherwise: The precision where nothing is known.
    """
    values = list(precisions.values())
    carries = [hasattr(layer_at(model, path), "kernel") for path in precisions]
    made_by: dict[int, str] = {}
    decided = []
    for operator, name in zip(graph.operators, names, strict=True):
        numbers = [number for index in operator.outputs for number in numbers_in(graph.tensors[index].name)]
        if name in KERNEL_OPERATORS:
            numbers += numbers_in(graph.tensors[operator.inputs[1]].name)
        numbers = [number for number in numbers if carries[number]] or numbers
        chosen = [values[number] for number in numbers]
        if not chosen:
            chosen = [made_by[index] for index in operator.inputs if index in made_by][:1]
        precision = min(chosen, key=PRECISIONS.index) if chosen else otherwise
        decided.append(precision)
        made_by.update(dict.fromkeys(operator.outputs, precision))
    return decided
