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


def data_and_bias(name: str) -> tuple[int, int]:
    """Positions of the data and of the bias among the inputs of one of `KERNEL_OPERATORS`; TRANSPOSE_CONV is told its
    output's shape first."""
    return (2, 3) if name == "TRANSPOSE_CONV" else (0, 2)


MOVING_OPERATORS = {
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "UNPACK", "SLICE", "STRIDED_SLICE"), 0),
    **dict.fromkeys(("GATHER", "TILE", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPLIT_V", "REVERSE_V2"), 0),
    "SPLIT": 1,
}
"""Operators whose outputs are values of one input, with that input's position."""


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
    """Give the layers numbered names for as long as the block runs. A wrapper bears the number of its layer, which it
    may call without opening a name scope."""
    numbers: dict[int, tuple[Any, int]] = {}
    for number, path in enumerate(paths):
        parts = path.split("/")
        above = [layer_at(model, "/".join(parts[:end])) for end in range(1, len(parts))]
        wrappers = [layer for layer in above if isinstance(layer, _wrapper_class())]
        for layer in (layer_at(model, path), *wrappers):
            numbers[id(layer)] = (layer, number)
    names = {key: layer.name for key, (layer, _) in numbers.items()}
    try:
        for layer, number in numbers.values():
            layer.name = f"penjing_{number:05d}_layer"
        yield
    finally:
        for key, (layer, _) in numbers.items():
            layer.name = names[key]


def _wrapper_class() -> Any:
    import keras

    return keras.layers.Wrapper


def numbers_in(name: bytes | str | None) -> list[int]:
    """The numbers of layers in a tensor's name; several where operators were fused."""
    text = (name.decode() if isinstance(name, bytes) else name) or ""
    return [int(number) for number in re.findall(r"penjing_(\d{5})_layer", text)]


def operator_precisions(
    graph: Any, names: Sequence[str], model: Any, precisions: Mapping[str, str], otherwise: str
) -> list[str]:
    """What each operator of a float file is to be written as.

    An operator that several layers were fused into follows those with a kernel, and of these the most precise. One
    whose tensors name no layer (the last of a model) shares the weights of another operator, a table that was looked up
    before, or belongs to what made its input.

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
    weights_of: dict[int, str] = {}
    decided = []
    for operator, name in zip(graph.operators, names, strict=True):
        numbers = [number for index in operator.outputs for number in numbers_in(graph.tensors[index].name)]
        if name in KERNEL_OPERATORS:
            numbers += numbers_in(graph.tensors[operator.inputs[1]].name)
        numbers = [number for number in numbers if carries[number]] or numbers
        chosen = [values[number] for number in numbers]
        weights = {"GATHER": 0}.get(name, 1 if name in KERNEL_OPERATORS else None)
        constant = None if weights is None else int(operator.inputs[weights])
        if not chosen and constant in weights_of:
            chosen = [weights_of[constant]]
        if not chosen:
            chosen = [made_by[index] for index in operator.inputs if index in made_by][:1]
        precision = min(chosen, key=PRECISIONS.index) if chosen else otherwise
        decided.append(precision)
        if constant is not None and constant not in made_by:
            weights_of.setdefault(constant, precision)
        made_by.update(dict.fromkeys(operator.outputs, precision))
    return decided
