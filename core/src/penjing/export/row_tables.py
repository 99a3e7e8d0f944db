"""Tables that are looked up by row, in integers: each row has a scale of its own.

A table's integers stand once in the file, the scales of its rows beside them, 4 bytes a row. What was looked up is
multiplied by its rows' scales. A product with the whole table (the output of a model whose input table is its output
table) takes the same integers, and is multiplied by the scales of all rows.

The quantization parameters of the format would do for LiteRT alone, at 12 bytes a row: TFLM's lookup reads the first
row's scale for all.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.export.packing import Quantized, add_buffer, constant, operator_code, quantized_weights, store

FEWEST_COLUMNS = 5
"""With fewer columns a scale takes as much as the row."""


def has_row_scales(table: Any) -> bool:
    """Whether a constant is a table whose rows get scales of their own."""
    return len(table.shape) == 2 and int(table.shape[1]) >= FEWEST_COLUMNS


@dataclass(frozen=True, kw_only=True)
class RowTable:
    """A table in integers, in a file."""

    integers: int
    """Its tensor: int8 or int4, of shape (rows, columns)."""
    by_row: int
    """The scales as a tensor of shape (rows, 1)."""
    flat: int
    """The same scales of shape (rows,)."""
    bits: int


def add_row_table(model: Any, graph: Any, table: Any, bits: int) -> RowTable:
    """Add a table's integers and scales to a file.

    Args:
        table: A float32 constant of shape (rows, columns).
        bits: 8 or 4.
    """
    made = quantized_weights(constant(model, table), bits, 0)
    one = Quantized(values=made.values, scales=np.ones(1, np.float32), axis=0, bits=bits)
    integers = store(model, graph, one, table)
    buffer = add_buffer(model, made.scales.astype(np.float32).tobytes())
    rows = len(made.scales)
    by_row = _tensor(graph, (rows, 1), schema.TensorType.FLOAT32, buffer)
    flat = _tensor(graph, (rows,), schema.TensorType.FLOAT32, buffer)
    return RowTable(integers=integers, by_row=by_row, flat=flat, bits=bits)


def look_up(model: Any, graph: Any, operator: Any, table: RowTable) -> list[Any]:
    """The operators that stand for a GATHER of a table's rows."""
    index, output = int(operator.inputs[1]), int(operator.outputs[0])
    shape = [int(size) for size in graph.tensors[output].shape]
    float32 = schema.TensorType.FLOAT32
    made = []
    found = _tensor(graph, shape, float32)
    if table.bits == 8:
        rows = copy.copy(graph.tensors[output])
        rows.type, rows.quantization = schema.TensorType.INT8, graph.tensors[table.integers].quantization
        graph.tensors.append(rows)
        gather = copy.copy(operator)
        gather.inputs, gather.outputs = _numbers(table.integers, index), _numbers(len(graph.tensors) - 1)
        made += [gather, _operator(model, "DEQUANTIZE", [len(graph.tensors) - 1], [found], version=6)]
    else:
        # GATHER has no 4 bits, EMBEDDING_LOOKUP does; it takes a row of indices.
        count = int(np.prod(shape[:-1], dtype=np.int64))
        line = _tensor(graph, (count,), graph.tensors[index].type)
        found_rows = _tensor(graph, (count, shape[-1]), float32)
        made += [
            _reshape(model, graph, index, line),
            _operator(model, "EMBEDDING_LOOKUP", [line, table.integers], [found_rows], version=4),
            _reshape(model, graph, found_rows, found),
        ]
    scales = _tensor(graph, (*shape[:-1], 1), float32)
    of_scales = copy.copy(operator)
    of_scales.inputs, of_scales.outputs = _numbers(table.by_row, index), _numbers(scales)
    return [*made, of_scales, _multiply(model, found, scales, output)]


def scaled_product(model: Any, graph: Any, operator: Any, weights: int, table: RowTable) -> list[Any]:
    """The operators that stand for a FULLY_CONNECTED with a table as its weights, without a bias.

    Args:
        weights: The tensor to multiply with: the table's integers, or what they were dequantized to.
    """
    output = int(operator.outputs[0])
    sums = _tensor(graph, [int(size) for size in graph.tensors[output].shape], schema.TensorType.FLOAT32)
    product = copy.copy(operator)
    product.inputs = np.array(operator.inputs, np.int32)
    product.inputs[1] = weights
    product.outputs = _numbers(sums)
    return [product, _multiply(model, sums, table.flat, output)]


def is_bare_product(operator: Any) -> bool:
    """Whether a FULLY_CONNECTED has neither bias nor activation, so that its output can be scaled behind it."""
    bias = len(operator.inputs) > 2 and int(operator.inputs[2]) >= 0
    options = operator.builtinOptions
    none = schema.ActivationFunctionType.NONE
    return not bias and (options is None or options.fusedActivationFunction == none)


def is_plain_gather(graph: Any, operator: Any) -> bool:
    """Whether a GATHER takes whole rows by int32 numbers."""
    options = operator.builtinOptions
    rows = options is None or (options.axis == 0 and not options.batchDims)
    return bool(rows and graph.tensors[int(operator.inputs[1])].type == schema.TensorType.INT32)


def _reshape(model: Any, graph: Any, source: int, target: int) -> Any:
    shape = np.array(graph.tensors[target].shape, np.int32)
    wanted = _tensor(graph, (len(shape),), schema.TensorType.INT32, add_buffer(model, shape.tobytes()))
    return _operator(model, "RESHAPE", [source, wanted], [target])


def _multiply(model: Any, first: int, second: int, target: int) -> Any:
    operator = _operator(model, "MUL", [first, second], [target])
    operator.builtinOptionsType = schema.BuiltinOptions.MulOptions
    operator.builtinOptions = schema.MulOptionsT()
    return operator


def _operator(model: Any, name: str, inputs: Sequence[int], outputs: Sequence[int], version: int = 1) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(model, getattr(schema.BuiltinOperator, name), version)
    operator.inputs, operator.outputs = _numbers(*inputs), _numbers(*outputs)
    return operator


def _tensor(graph: Any, shape: Sequence[int], kind: int, buffer: int = 0) -> int:
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.buffer, tensor.hasRank = np.array(shape, np.int32), kind, buffer, True
    tensor.name = b""
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _numbers(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)
