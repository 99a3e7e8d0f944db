"""Turn a float32 file with marked tensors into one that computes with integers.

An operator computes with integers where all its inputs are integers, its kernel exists for them, and its output is
marked with a grid; operators that only move or choose values keep the grid of their input. All others stay float32,
with DEQUANTIZE and QUANTIZE at the border. Biases are int32 (int64 for 16-bit activations) at the product of the
scales of input and weights. Weights of 4 bits are packed two to a byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.errors import ModelError
from penjing.export.flatbuffer import pack
from penjing.export.integer_graph import IntegerGraph, constant_grid, integer_type
from penjing.export.recording import Grid, Recording

_TYPE = schema.TensorType

KEEP_THE_GRID = frozenset(
    {
        *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "PAD", "MIRROR_PAD", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER"),
        *(
            "SPLIT",
            "SPLIT_V",
            "PACK",
            "UNPACK",
            "TILE",
            "BROADCAST_TO",
            "MAX_POOL_2D",
            "REDUCE_MAX",
            "RESIZE_NEAREST_NEIGHBOR",
            "RESIZE_BILINEAR",
        ),
        *("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"),
        *("CONCATENATION", "MAXIMUM", "MINIMUM"),
    }
)
"""Operators whose outputs are values of their inputs, so that the grid stays."""

WITH_WEIGHTS = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Positions of input, weights and bias among an operator's inputs."""

_ROUND_16 = frozenset(
    {
        *("ADD", "SUB", "MUL", "MEAN", "AVERAGE_POOL_2D", "LOGISTIC", "TANH", "SOFTMAX"),
        *("LEAKY_RELU", "RELU", "RELU6", "BATCH_MATMUL"),
    }
)
ROUND = _ROUND_16 | {"HARD_SWISH", "ELU", "GELU"}
"""Operators without weights that round: they compute with integers where their output is marked."""

_PACKED = {8: ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), 16: ("CONV_2D", "FULLY_CONNECTED")}
"""Operators whose kernels read weights of 4 bits, by bits of the activations; the others get a byte for each weight.
DEPTHWISE_CONV_2D with 16-bit activations takes them for bytes, without an error."""


def to_integers(content: bytes, recording: Recording) -> bytes:
    """The file with integers in place of marked tensors and recorded weights.

    Args:
        content: A float32 file of one graph, made from a model that was traced under `recording`.

    Raises:
        ModelError: The graph holds a loop, or the converter changed weights of a layer, which then is named.
    """
    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    if len(model.subgraphs) != 1:
        raise ModelError(
            "a model with a loop cannot be written with simulated quantization",
            hint="write the loop out (unroll=True) or put the layer under 'exclude'",
        )
    rewriter = _Rewriter(model, recording)
    rewriter.run()
    return pack(model)


class _Rewriter(IntegerGraph):
    def run(self) -> None:
        for tensor in self.graph.inputs:
            mark = self.sole_mark(tensor)
            if mark is not None:
                self.make_integer(tensor, self.grid_of(mark))
                self.integer[int(tensor)] = int(tensor)
            else:
                self.real[int(tensor)] = int(tensor)
        for operator in self.graph.operators:
            name = self.names[operator.opcodeIndex]
            if self.is_mark(operator):
                self._mark(operator)
            elif not (name == "DEQUANTIZE" and self.tensors[operator.inputs[0]].type == _TYPE.UINT8):
                self._operator(name, operator)
        missing = {weights.layer for weights in self.recording.weights.values()} - self.used
        if missing:
            raise ModelError(
                "the converter changed weights on its way to the file",
                where="layer " + ", ".join(f"'{layer}'" for layer in sorted(missing)),
                hint="put the layer under 'exclude'",
            )
        self.graph.outputs = [self.integer.get(int(t), self.real.get(int(t), int(t))) for t in self.graph.outputs]
        self.graph.operators = self.operators
        self.compact()

    # ---------------------------------------------------------------------------------------------- the operators

    def _operator(self, name: str, operator: Any) -> None:
        inputs = [int(tensor) for tensor in operator.inputs]
        outputs = [int(tensor) for tensor in operator.outputs]
        moving = [t for t in inputs if t in self.floats and not self.is_constant(t)]
        grids = [self.grids[self.integer[t]] for t in moving if t in self.integer]
        if moving and len(grids) == len(moving) and self.floats.issuperset(outputs):
            if name in KEEP_THE_GRID and len(set(grids)) == 1 and not self.has_float_constants(inputs):
                for tensor in outputs:
                    self.make_integer(tensor, grids[0])
                    self.integer[tensor] = tensor
                operator.inputs = [self.integer.get(t, t) if t in moving else t for t in inputs]
                return self.emit(name, operator, grids[0].bits)
            if name == "SELECT_V2" and len(set(grids)) == 1:
                self.make_integer(outputs[0], grids[0])
                self.integer[outputs[0]] = outputs[0]
                operator.inputs = [self.integer[t] if t in moving else self._on_grid(t, grids[0]) for t in inputs]
                return self.emit(name, operator, grids[0].bits)
            mark = self.sole_mark(outputs[0]) if len(outputs) == 1 else None
            if mark is not None and self._has_kernel(name, inputs, grids[0]):
                grid = self.grid_of(mark)
                self.make_integer(outputs[0], grid)
                self.integer[outputs[0]] = outputs[0]
                operator.inputs = self._integer_inputs(name, inputs, moving)
                return self.emit(name, operator, grid.bits)
        if name == "GATHER" and not moving and self.has_float_constants(inputs[:1]):
            mark = self.sole_mark(outputs[0])
            if mark is not None and self.number_of(mark) in self.recording.rows:
                grid = self.grid_of(mark)
                self.make_integer(outputs[0], grid)
                self.integer[outputs[0]] = outputs[0]
                operator.inputs = [self._on_grid(inputs[0], grid), *inputs[1:]]
                return self.emit(name, operator, grid.bits)
        operator.inputs = [self._as_real(t) if t in moving else t for t in inputs]
        for tensor in outputs:
            self.real[tensor] = tensor
        return self.emit(name, operator, 0)

    def _has_kernel(self, name: str, inputs: list[int], grid: Grid) -> bool:
        if name in WITH_WEIGHTS:
            weights = inputs[WITH_WEIGHTS[name][1]]
            return self.is_constant(weights) and self.recorded_weights(weights) is not None
        return name in (_ROUND_16 if grid.bits == 16 else ROUND)

    def _integer_inputs(self, name: str, inputs: list[int], moving: list[int]) -> list[int]:
        made = [self.integer[t] if t in moving else t for t in inputs]
        if name in WITH_WEIGHTS:
            at_input, at_weights, at_bias = WITH_WEIGHTS[name]
            weights = self.recorded_weights(inputs[at_weights])
            assert weights is not None
            self.used.add(weights.layer)
            grid = self.grids[made[at_input]]
            made[at_weights] = self.add_weights(weights, weights.bits == 4 and name in _PACKED[grid.bits])
            if at_bias < len(inputs) and inputs[at_bias] >= 0:
                made[at_bias] = self.add_bias(self.values_of(inputs[at_bias]), grid, weights.scales)
            return made
        bits = self.grids[self.integer[moving[0]]].bits
        for position, tensor in enumerate(inputs):
            if tensor in self.floats and self.is_constant(tensor):
                values = self.values_of(tensor)
                grid = constant_grid(values, bits)
                integers = np.round(values / np.float32(grid.scale)).astype(f"int{bits}")
                made[position] = self.add_constant(integers, integer_type(bits), [grid.scale], 0)
        return made

    def _on_grid(self, tensor: int, grid: Grid) -> int:
        """A float32 constant in integers of a grid; anything else is left as it is."""
        if tensor not in self.floats:
            return tensor
        low, high = -(2 ** (grid.bits - 1)), 2 ** (grid.bits - 1) - 1
        steps = self.values_of(tensor) / np.float32(grid.scale)
        integers = np.clip(np.sign(steps) * np.floor(np.abs(steps) + np.float32(0.5)) + grid.zero_point, low, high)
        return self.add_constant(
            integers.astype(f"int{grid.bits}"), integer_type(grid.bits), [grid.scale], 0, zero_point=grid.zero_point
        )

    def _mark(self, operator: Any) -> None:
        source = int(operator.inputs[0])
        behind = [int(dequantize.outputs[0]) for dequantize in self.consumers.get(int(operator.outputs[0]), [])]
        if id(operator) in self.copies:
            for tensor in behind:
                for stands_for in (self.integer, self.real):
                    if source in stands_for:
                        stands_for[tensor] = stands_for[source]
            return
        grid = self.grid_of(operator)
        integer = self.integer.get(source)
        if integer is None or self.grids[integer] != grid:
            target = self.add_tensor(self.tensors[source], grid)
            quantize = schema.OperatorT()
            quantize.inputs = [integer if integer is not None else self._as_real(source)]
            quantize.outputs = [target]
            quantize.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
            quantize.builtinOptions = schema.QuantizeOptionsT()
            self.emit("QUANTIZE", quantize, grid.bits)
            integer = target
        for tensor in behind:
            self.integer[tensor] = integer

    def _as_real(self, tensor: int) -> int:
        if tensor not in self.real:
            integer = self.integer[tensor]
            target = self.add_tensor(self.tensors[integer], None)
            dequantize = schema.OperatorT()
            dequantize.inputs, dequantize.outputs = [integer], [target]
            dequantize.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
            dequantize.builtinOptions = schema.DequantizeOptionsT()
            self.emit("DEQUANTIZE", dequantize, self.grids[integer].bits)
            self.real[tensor] = target
        return self.real[tensor]
