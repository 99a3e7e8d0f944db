"""Take out of a .tflite file what no runtime needs: names, descriptions and the converter's notes."""

from __future__ import annotations

from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema


def strip_names(content: bytes) -> bytes:
    """The same network without tensor names, subgraph names, description, metadata and unused buffers.

    Kernels find tensors by number; names of inputs and outputs are given again by the bundle's manifest. Signatures
    go as well: a file with one subgraph is run by its inputs and outputs.
    """
    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
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
    model.description = None
    model.signatureDefs = None
    model.metadata = None
    model.metadataBuffer = None
    _drop_unused_buffers(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _drop_unused_buffers(model: Any) -> None:
    """Number the buffers anew; buffer 0 stays the empty one, by the format's rule."""
    numbers: dict[int, int] = {0: 0}
    kept = [model.buffers[0]]
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is None or len(data) == 0:
                tensor.buffer = 0
                continue
            if tensor.buffer not in numbers:
                numbers[tensor.buffer] = len(kept)
                kept.append(model.buffers[tensor.buffer])
            tensor.buffer = numbers[tensor.buffer]
    model.buffers = kept
