"""Take out of a .tflite file what no runtime needs: names, descriptions and the converter's notes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.errors import ModelError
from penjing.export.flatbuffer import pack


def strip_names(content: bytes, input_names: Sequence[str] = ()) -> bytes:
    """The same network without tensor names, subgraph names, description, metadata and unused buffers.

    Kernels find tensors by number. Signatures go as well: a file with one subgraph is run by its inputs and outputs.

    Args:
        content: A .tflite file.
        input_names: Names to give to the inputs, in the order of the signature's numbers; none for a single input,
            which cannot be mistaken for another.
    """
    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    numbers = [input_number(model.subgraphs[0].tensors[index].name) for index in model.subgraphs[0].inputs]
    for subgraph in model.subgraphs:
        subgraph.name = None
        for tensor in subgraph.tensors:
            tensor.name = None
            if tensor.quantization is not None:
                # Observed ranges are notes of the calibration; scale and zero point are what kernels read.
                tensor.quantization.min = None
                tensor.quantization.max = None
                if tensor.quantization.scale is None or len(tensor.quantization.scale) == 0:
                    tensor.quantization = None
    _name_inputs(model.subgraphs[0], numbers, input_names)
    model.description = None
    model.signatureDefs = None
    model.metadata = None
    model.metadataBuffer = None
    for subgraph in model.subgraphs:
        _drop_unused_tensors(subgraph)
    _drop_unused_buffers(model)
    return pack(model)


def input_number(name: bytes | str | None) -> int | None:
    """The number in the name that `to_litert` gave to an input: 'input_002:0' is 2."""
    found = re.search(r"input_(\d{3})", (name.decode() if isinstance(name, bytes) else name) or "")
    return int(found[1]) if found else None


def _name_inputs(subgraph: Any, numbers: Sequence[int | None], names: Sequence[str]) -> None:
    if not names:
        return
    if sorted(number for number in numbers if number is not None) != list(range(len(names))):
        raise ModelError(
            "the converter lost track of the model's inputs",
            why=f"the model has {len(names)}, the file numbers them {list(numbers)}",
            hint="an input that the outputs do not depend on can be left out of the model",
        )
    for index, number in zip(subgraph.inputs, numbers, strict=True):
        assert number is not None
        subgraph.tensors[index].name = names[number]


def _drop_unused_tensors(subgraph: Any) -> None:
    """Number the tensors anew, without those that no operator reads or writes (weights that others took the place
    of)."""
    lists = [(subgraph, "inputs"), (subgraph, "outputs")]
    for operator in subgraph.operators or ():
        lists += [(operator, "inputs"), (operator, "outputs"), (operator, "intermediates")]
    lists = [(holder, name) for holder, name in lists if getattr(holder, name) is not None]
    used = sorted({int(index) for holder, name in lists for index in getattr(holder, name) if index >= 0})
    numbers = {-1: -1, **{index: number for number, index in enumerate(used)}}
    for holder, name in lists:
        setattr(holder, name, np.array([numbers[int(index)] for index in getattr(holder, name)], np.int32))
    subgraph.tensors = [subgraph.tensors[index] for index in used]


def _drop_unused_buffers(model: Any) -> None:
    """Number the buffers anew, equal ones once; buffer 0 stays the empty one, by the format's rule."""
    numbers: dict[bytes, int] = {b"": 0}
    kept = [model.buffers[0]]
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            data = model.buffers[tensor.buffer].data
            content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
            if content not in numbers:
                numbers[content] = len(kept)
                kept.append(model.buffers[tensor.buffer])
            tensor.buffer = numbers[content]
    model.buffers = kept
