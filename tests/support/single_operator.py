"""A .tflite file of one operator, with any grids: what a kernel computes, for every integer that it can be given."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.export.flatbuffer import pack
from penjing.runtime import LiteRTModel

Grid = tuple[float, int]
"""Scale and zero point."""


def single_operator(
    name: str, shape: tuple[int, ...], dtype: str, grid: Grid, own: Grid, options: Any = None, version: int = 3
) -> bytes:
    """The file.

    Args:
        name: Of the operator in the schema, "LOGISTIC".
        shape: Of input and output.
        dtype: "int8" or "int16".
        grid: Of the input.
        own: Of the output.
        options: The operator's options in object form.
        version: Of the operator.
    """
    model, graph, operator, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    graph.tensors = [_tensor(shape, dtype, each) for each in (grid, own)]
    graph.inputs, graph.outputs, operator.inputs, operator.outputs = [0], [1], [0], [1]
    operator.opcodeIndex = 0
    if options is not None:
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    graph.operators, model.subgraphs, model.operatorCodes = [operator], [graph], [code]
    model.version, model.buffers = 3, [schema.BufferT()]
    return pack(model)


def answer(content: bytes, integers: np.ndarray, kernels: Any = "reference") -> np.ndarray:
    """The file's integers for one input of its shape, int64."""
    return LiteRTModel(content, kernels=kernels).predict_raw(integers[None])[0].astype(np.int64)


def _tensor(shape: tuple[int, ...], dtype: str, grid: Grid) -> Any:
    tensor = schema.TensorT()
    tensor.shape, tensor.buffer = [1, *shape], 0
    tensor.type = getattr(schema.TensorType, dtype.upper())
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [grid[0]], [grid[1]]
    return tensor
