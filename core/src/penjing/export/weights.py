"""Small weights, float activations: weights of 8, 4 or 16 bits in an otherwise float file.

- weight-only: the file holds small weights and a DEQUANTIZE for each; arithmetic is float32.
- dynamic: the operator itself takes int8 or int4 weights and quantizes its input as it runs.
- float16: as weight-only, with half floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.export.composition import operator_names
from penjing.export.file_layers import KERNEL_OPERATORS
from penjing.export.packing import add_buffer, constant, quantized_weights, store

Bits = Literal[32, 16, 8, 4]

CHANNEL_BYTES = 12
"""A channel's scale (float32) and zero point (int64)."""
OPERATOR_BYTES = 140
"""About what a DEQUANTIZE, its tensor and the quantization table take in a file."""


def write_small_weights(model: Any, graph: Any, bits: Sequence[Bits], *, dequantize: bool) -> None:
    """Replace the weights of a graph's operators, in place.

    Weights whose scales would take more bytes than the fewer bits save stay in float32.

    Args:
        model: A float file (object API).
        graph: One of its subgraphs.
        bits: Of the weights of each operator; 32 leaves it alone.
        dequantize: Write a DEQUANTIZE before the operator; otherwise the operator takes the integers itself, which
            16 bits cannot.
    """
    names = operator_names(model, graph)
    done: dict[tuple[int, int], int] = {}
    operators: list[Any] = []
    for operator, name, width in zip(list(graph.operators), names, bits, strict=True):
        if width != 32 and name in KERNEL_OPERATORS:
            index = int(operator.inputs[1])
            weights = graph.tensors[index]
            if _is_float_constant(model, weights) and _saves(constant(model, weights), width, KERNEL_OPERATORS[name]):
                explicit = dequantize or width == 16
                if (index, width) not in done:
                    number = _small(model, graph, weights, width, KERNEL_OPERATORS[name])
                    if explicit:
                        number = _dequantized(model, graph, number, weights, operators)
                    done[index, width] = number
                operator.inputs = np.asarray(operator.inputs, np.int32).copy()
                operator.inputs[1] = done[index, width]
                if not explicit and name == "FULLY_CONNECTED":
                    operator.builtinOptions.asymmetricQuantizeInputs = False
        operators.append(operator)
    graph.operators = operators


def _is_float_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return tensor.type == schema.TensorType.FLOAT32 and data is not None and len(data) > 0


def _saves(values: np.ndarray, bits: Bits, axis: int) -> bool:
    saved = values.size * (32 - bits) / 8
    return saved > OPERATOR_BYTES + (CHANNEL_BYTES * values.shape[axis] if bits < 16 else 0)


def _small(model: Any, graph: Any, weights: Any, bits: Bits, axis: int) -> int:
    values = constant(model, weights)
    if bits < 16:
        return store(model, graph, quantized_weights(values, bits, axis), weights)
    tensor = schema.TensorT()
    tensor.shape, tensor.name, tensor.hasRank = weights.shape, weights.name, weights.hasRank
    tensor.type = schema.TensorType.FLOAT16
    tensor.buffer = add_buffer(model, values.astype(np.float16).tobytes())
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _dequantized(model: Any, graph: Any, number: int, like: Any, operators: list[Any]) -> int:
    tensor = schema.TensorT()
    tensor.shape, tensor.name, tensor.hasRank = like.shape, like.name, like.hasRank
    tensor.type, tensor.buffer = schema.TensorType.FLOAT32, 0
    graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex = _dequantize_code(model)
    operator.inputs = np.array([number], np.int32)
    operator.outputs = np.array([len(graph.tensors) - 1], np.int32)
    operators.append(operator)
    return len(graph.tensors) - 1


def _dequantize_code(model: Any) -> int:
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == schema.BuiltinOperator.DEQUANTIZE:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 6
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
