"""What the converter's quantizer must be told before it writes int16 activations, and what is wrong after."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.export.composition import operator_names
from penjing.export.file_layers import KERNEL_OPERATORS
from penjing.export.packing import constant

UNIT_RANGE = 65_535 / 65_536
"""Largest value of a range whose step is exactly 1 / 32768, which the kernels of these operators demand."""
_UNIT_OPERATORS = ("TANH", "SOFTMAX")


def prepare_int16(model: Any) -> None:
    """Change a float file with ranges (object API), in place.

    The quantizer writes constants as int8, also where a kernel wants both operands of one type (1 - x in a GRU). Such
    constants become inputs with a range, so that they are given an int16 form; their values are put back later.
    """
    graph = model.subgraphs[0]
    copies: dict[int, int] = {}
    for operator, name in zip(graph.operators, operator_names(model, graph), strict=True):
        if name in _UNIT_OPERATORS:
            _set_range(graph.tensors[operator.outputs[0]], UNIT_RANGE)
        if name in KERNEL_OPERATORS:
            continue
        for position, index in enumerate(operator.inputs):
            tensor = graph.tensors[index] if index >= 0 else None
            data = None if tensor is None else model.buffers[tensor.buffer].data
            if tensor is None or tensor.type != schema.TensorType.FLOAT32 or data is None or len(data) == 0:
                continue
            if int(index) not in copies:
                copies[int(index)] = _as_input(model, graph, tensor)
            operator.inputs = np.asarray(operator.inputs, np.int32).copy()
            operator.inputs[position] = copies[int(index)]
    graph.inputs = np.concatenate([graph.inputs, np.array(list(copies.values()), np.int32)])


def mend_int16(model: Any) -> None:
    """Change what the quantizer wrote (object API), in place: kernels of int16 know no zero point.

    A symmetric range can come out with a zero point of -1, by rounding; and the outputs of LOGISTIC are given 65,536
    steps from 0 to 1, of which a kernel without zero point has the upper half.
    """
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT16 and tensor.quantization is not None:
            if int(tensor.quantization.zeroPoint[0]) == -32_768:
                tensor.quantization.scale = np.asarray(tensor.quantization.scale, np.float32) * np.float32(2)
            tensor.quantization.zeroPoint = np.zeros(1, np.int64)


def _as_input(model: Any, graph: Any, tensor: Any) -> int:
    made = schema.TensorT()
    made.shape, made.hasRank, made.type, made.buffer = tensor.shape, tensor.hasRank, tensor.type, 0
    made.name = b"constant_%d" % len(graph.tensors)
    _set_range(made, float(np.abs(constant(model, tensor)).max()) or 1.0)
    graph.tensors.append(made)
    return len(graph.tensors) - 1


def _set_range(tensor: Any, largest: float) -> None:
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.min, tensor.quantization.max = [-largest], [largest]
