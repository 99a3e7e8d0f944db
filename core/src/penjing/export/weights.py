"""Small weights, float activations: weights of 8, 4 or 16 bits in an otherwise float file.

- weight-only: the file holds small weights and a DEQUANTIZE for each; arithmetic is float32.
- dynamic: the operator itself takes int8 or int4 weights and quantizes its input as it runs.
- float16: as weight-only, with half floats.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.export.composition import operator_names
from penjing.export.file_layers import KERNEL_OPERATORS
from penjing.export.packing import add_buffer, constant, quantized_weights, store
from penjing.export.row_tables import (
    RowTable,
    add_row_table,
    has_row_scales,
    is_bare_product,
    is_plain_gather,
    look_up,
    scaled_product,
)

Bits = Literal[32, 16, 8, 4]

CHANNEL_BYTES = 12
"""A channel's scale (float32) and zero point (int64)."""
TENSOR_BYTES = {"dynamic": 60, "weight-only": 140}
"""About what a quantization table takes in a file, and a DEQUANTIZE with its tensor."""


def pays_off(weights: int, channels: int, bits: int, *, dequantize: bool) -> bool:
    """Whether fewer bits save more bytes of a weight tensor than its scales and what belongs to them take."""
    around = TENSOR_BYTES["weight-only" if dequantize or bits == 16 else "dynamic"]
    return weights * (32 - bits) / 8 > around + (CHANNEL_BYTES * channels if bits < 16 else 0)


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
    tables = _row_tables(model, graph, names, bits)
    operators: list[Any] = []
    for operator, name, width in zip(list(graph.operators), names, bits, strict=True):
        position = 0 if name == "GATHER" else 1
        weights = graph.tensors[operator.inputs[position]] if len(operator.inputs) > position else None
        if width == 32 or weights is None or not _is_float_constant(model, weights):
            operators.append(operator)
        elif (key := (int(operator.inputs[position]), width)) in tables and name == "GATHER":
            operators += look_up(model, graph, operator, tables[key])
        elif key in tables and name == "FULLY_CONNECTED" and is_bare_product(operator):
            if dequantize and key not in done:
                done[key] = _dequantized(model, graph, tables[key].integers, weights, operators)
            integers = done[key] if dequantize else tables[key].integers
            operators += scaled_product(model, graph, operator, integers, tables[key])
        elif name == "GATHER" and width < 16:
            _gather(model, graph, operator, weights, operators)
        else:
            if name in KERNEL_OPERATORS or name == "GATHER":
                axis = KERNEL_OPERATORS.get(name, 0)
                explicit = dequantize or width == 16
                size = int(np.prod(weights.shape))
                if key not in done and pays_off(size, int(weights.shape[axis]), width, dequantize=explicit):
                    done[key] = _small(model, graph, weights, width, axis)
                    if explicit:
                        done[key] = _dequantized(model, graph, done[key], weights, operators)
                operator.inputs = np.array(operator.inputs, np.int32)
                operator.inputs[position] = done.get(key, key[0])
            operators.append(operator)
    graph.operators = operators


def _row_tables(model: Any, graph: Any, names: Sequence[str], bits: Sequence[Bits]) -> dict[tuple[int, int], RowTable]:
    """The tables whose rows get scales of their own, by tensor and bits; written where it pays."""
    tables: dict[tuple[int, int], RowTable] = {}
    for operator, name, width in zip(graph.operators, names, bits, strict=True):
        if name != "GATHER" or width > 8 or not is_plain_gather(graph, operator):
            continue
        number = int(operator.inputs[0])
        table = graph.tensors[number]
        if (number, width) in tables or not _is_float_constant(model, table) or not has_row_scales(table):
            continue
        if pays_off(int(np.prod(table.shape)), int(table.shape[0]), width, dequantize=True):
            tables[number, width] = add_row_table(model, graph, table, width)
    return tables


def _gather(model: Any, graph: Any, operator: Any, table: Any, operators: list[Any]) -> None:
    """Rows of a table of int8, with one scale for all; only what was looked up becomes float32 again."""
    values = constant(model, table)
    if not pays_off(values.size, 1, 8, dequantize=True):
        operators.append(operator)
        return
    quantized = quantized_weights(values.reshape(1, -1), 8, 0)
    operator.inputs = np.array(operator.inputs, np.int32)
    operator.inputs[0] = store(model, graph, quantized, table)
    rows = copy.copy(graph.tensors[operator.outputs[0]])
    rows.type, rows.quantization = schema.TensorType.INT8, graph.tensors[operator.inputs[0]].quantization
    graph.tensors.append(rows)
    back = _dequantize(model, len(graph.tensors) - 1, int(operator.outputs[0]))
    operator.outputs = np.array([len(graph.tensors) - 1], np.int32)
    operators += [operator, back]


def _is_float_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return tensor.type == schema.TensorType.FLOAT32 and data is not None and len(data) > 0


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
    operators.append(_dequantize(model, number, len(graph.tensors) - 1))
    return len(graph.tensors) - 1


def _dequantize(model: Any, source: int, target: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = _dequantize_code(model)
    operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
    return operator


def _dequantize_code(model: Any) -> int:
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == schema.BuiltinOperator.DEQUANTIZE:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 6
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
