"""Operators without integer kernels, written as others that have them and give the same float32 numbers.

- NEG is MUL by -1. Keras writes one into every LayerNormalization and GroupNormalization, -mean * inverse.
- SQUARE is MUL of a value with itself.
- SQUARED_DIFFERENCE, the converter's variance, has no kernel for 16 bits: SUB, and MUL of the difference with itself.
- HARD_SWISH has none for 16 bits either: x * relu6(x + 3) / 6, the same but for the last bits; where they are asked
  for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.export.composition import operator_names
from penjing.export.flatbuffer import pack
from penjing.export.packing import add_buffer, operator_code

_REWRITTEN = ("NEG", "SQUARE", "SQUARED_DIFFERENCE")
_REWRITTEN_16 = (*_REWRITTEN, "HARD_SWISH")


def with_plain_operators(content: bytes, *, for_16_bits: bool = False) -> bytes:
    """A float file with these operators rewritten; the file itself where it has none."""
    rewritten = _REWRITTEN_16 if for_16_bits else _REWRITTEN
    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    changed = False
    for graph in model.subgraphs:
        operators = []
        for operator, name in zip(graph.operators, operator_names(model, graph), strict=True):
            if name in rewritten and graph.tensors[operator.inputs[0]].type == schema.TensorType.FLOAT32:
                operators += _rewritten(model, graph, operator, name)
                changed = True
            else:
                operators.append(operator)
        graph.operators = _fused(model, graph, operators) if changed else operators
    return pack(model) if changed else content


def _rewritten(model: Any, graph: Any, operator: Any, name: str) -> list[Any]:
    (result,) = operator.outputs
    if name == "NEG":
        return [_operator(model, "MUL", [operator.inputs[0], _number(model, graph, -1.0)], result)]
    if name == "SQUARE":
        return [_operator(model, "MUL", [operator.inputs[0]] * 2, result)]
    if name == "HARD_SWISH":
        source, raised, share = operator.inputs[0], _value_like(graph, result), _value_like(graph, result)
        gate = _operator(model, "ADD", [source, _number(model, graph, 3.0)], raised)
        gate.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU6
        return [
            gate,
            _operator(model, "MUL", [raised, _number(model, graph, 1 / 6)], share),
            _operator(model, "MUL", [source, share], result),
        ]
    difference = _value_like(graph, result)
    return [
        _operator(model, "SUB", list(operator.inputs), difference),
        _operator(model, "MUL", [difference, difference], result),
    ]


def _value_like(graph: Any, index: int) -> int:
    """A new tensor of an operator's shape, type and layer."""
    made, like = schema.TensorT(), graph.tensors[index]
    made.shape, made.shapeSignature, made.hasRank = like.shape, like.shapeSignature, like.hasRank
    made.type, made.name = like.type, like.name
    graph.tensors.append(made)
    return len(graph.tensors) - 1


_FUSED = {
    "RELU": schema.ActivationFunctionType.RELU,
    "RELU6": schema.ActivationFunctionType.RELU6,
}


def _fused(model: Any, graph: Any, operators: list[Any]) -> list[Any]:
    """Activations as a part of the products that they follow: the quantizer would make them so, and its files must have
    the operators of the float file."""
    graph.operators = operators
    names = operator_names(model, graph)
    readers: dict[int, list[int]] = {}
    for number, operator in enumerate(operators):
        for index in operator.inputs:
            readers.setdefault(int(index), []).append(number)
    left = set(range(len(operators)))
    for operator, name in zip(operators, names, strict=True):
        result = int(operator.outputs[0])
        reader = readers.get(result, [])
        options = operator.builtinOptions
        if name != "MUL" or len(reader) != 1 or names[reader[0]] not in _FUSED or options.fusedActivationFunction:
            continue
        if result not in graph.outputs:
            options.fusedActivationFunction = _FUSED[names[reader[0]]]
            operator.outputs = operators[reader[0]].outputs
            left.discard(reader[0])
    return [operator for number, operator in enumerate(operators) if number in left]


def _operator(model: Any, name: str, inputs: list[int], result: int) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = operator_code(model, getattr(schema.BuiltinOperator, name), version=1)
    made.inputs, made.outputs = np.array(inputs, np.int32), np.array([result], np.int32)
    kind = {"MUL": "MulOptions", "SUB": "SubOptions", "ADD": "AddOptions"}[name]
    made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    made.builtinOptions = getattr(schema, f"{kind}T")()
    return made


def _number(model: Any, graph: Any, value: float) -> int:
    tensor = schema.TensorT()
    tensor.shape, tensor.hasRank, tensor.type = np.zeros(0, np.int32), True, schema.TensorType.FLOAT32
    tensor.name = b"constant"
    tensor.buffer = add_buffer(model, np.array([value], "<f4").tobytes())
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
