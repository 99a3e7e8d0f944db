"""Turn a float32 file with marked tensors into one that computes with integers.

An operator computes with integers where all its inputs are integers, its kernel exists for them, and its output is
marked with a grid; operators that only move or choose values keep the grid of their input. All others stay float32,
with DEQUANTIZE and QUANTIZE at the border. Biases are int32 (int64 for 16-bit activations) at the product of the
scales of input and weights. Weights of 4 bits are packed two to a byte.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.errors import ModelError
from penjing.export.recording import Grid, IntegerWeights, Recording, key

_TYPE = schema.TensorType
_CODE = schema.BuiltinOperator
_NAMES = {value: name for name, value in vars(_CODE).items() if name.isupper()}

KEEP_THE_GRID = frozenset(
    {
        *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "PAD", "MIRROR_PAD", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER"),
        *("SPLIT", "PACK", "UNPACK", "TILE", "BROADCAST_TO", "MAX_POOL_2D", "REDUCE_MAX", "RESIZE_NEAREST_NEIGHBOR"),
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
        *("LEAKY_RELU", "RELU", "RELU6"),
    }
)
ROUND = _ROUND_16 | {"HARD_SWISH", "ELU", "GELU"}
"""Operators without weights that round: they compute with integers where their output is marked."""

_PACKED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Operators whose kernels read weights of 4 bits. The others, and 16-bit activations, get a byte for each."""

# The lowest version of each operator that has the int8 (per channel) and the int16 kernel.
_VERSIONS = {
    "CONV_2D": (3, 6),
    "DEPTHWISE_CONV_2D": (3, 5),
    "FULLY_CONNECTED": (4, 9),
    "TRANSPOSE_CONV": (3, 4),
    "ADD": (2, 4),
    "SUB": (2, 5),
    "MUL": (2, 5),
    "MEAN": (2, 3),
    "SOFTMAX": (2, 3),
    "LOGISTIC": (2, 3),
    "TANH": (2, 3),
    "QUANTIZE": (2, 3),
    "DEQUANTIZE": (2, 3),
    "CONCATENATION": (2, 3),
    "MAX_POOL_2D": (2, 3),
    "AVERAGE_POOL_2D": (2, 3),
    "PAD": (2, 2),
    "RELU": (2, 3),
    "RELU6": (2, 3),
}


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
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Rewriter:
    def __init__(self, model: Any, recording: Recording) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.tensors: list[Any] = list(self.graph.tensors)
        self.recording = recording
        self.names = [_name(code) for code in model.operatorCodes]
        self.codes: dict[tuple[str, int], int] = {}
        self.new_codes: list[Any] = []
        self.operators: list[Any] = []
        self.grids: dict[int, Grid] = {}
        """By number of an integer tensor."""
        self.integer: dict[int, int] = {}
        """The integer tensor that stands for a tensor of the float file."""
        self.real: dict[int, int] = {}
        """The float tensor that stands for it."""
        self.consumers: dict[int, list[Any]] = {}
        for operator in self.graph.operators:
            for tensor in operator.inputs:
                self.consumers.setdefault(int(tensor), []).append(operator)
        self.used: set[str] = set()
        self.floats = {number for number, tensor in enumerate(self.tensors) if tensor.type == _TYPE.FLOAT32}
        """Tensors that were float32 in the file that came in."""
        # The converter repeats a mark behind operators like MEAN, which it takes to keep the scale; the first is meant.
        self.copies: set[int] = set()
        met: set[float] = set()
        for operator in self.graph.operators:
            if self._is_mark(operator):
                number = float(self.tensors[operator.outputs[0]].quantization.scale[0])
                if number in met:
                    self.copies.add(id(operator))
                met.add(number)

    def run(self) -> None:
        for tensor in self.graph.inputs:
            mark = self._sole_mark(tensor)
            if mark is not None:
                self._make_integer(tensor, self._grid_of(mark))
                self.integer[int(tensor)] = int(tensor)
            else:
                self.real[int(tensor)] = int(tensor)
        for operator in self.graph.operators:
            name = self.names[operator.opcodeIndex]
            if self._is_mark(operator):
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
        self._compact()

    # ---------------------------------------------------------------------------------------------- the operators

    def _operator(self, name: str, operator: Any) -> None:
        inputs = [int(tensor) for tensor in operator.inputs]
        outputs = [int(tensor) for tensor in operator.outputs]
        moving = [t for t in inputs if t in self.floats and not self._constant(t)]
        grids = [self.grids[self.integer[t]] for t in moving if t in self.integer]
        if moving and len(grids) == len(moving) and self.floats.issuperset(outputs):
            if name in KEEP_THE_GRID and len(set(grids)) == 1 and not self._float_constants(inputs):
                for tensor in outputs:
                    self._make_integer(tensor, grids[0])
                    self.integer[tensor] = tensor
                operator.inputs = [self.integer.get(t, t) if t in moving else t for t in inputs]
                return self._emit(name, operator, grids[0].bits)
            mark = self._sole_mark(outputs[0]) if len(outputs) == 1 else None
            if mark is not None and self._has_kernel(name, inputs, grids[0]):
                grid = self._grid_of(mark)
                self._make_integer(outputs[0], grid)
                self.integer[outputs[0]] = outputs[0]
                operator.inputs = self._integer_inputs(name, inputs, moving)
                return self._emit(name, operator, grid.bits)
        operator.inputs = [self._as_real(t) if t in moving else t for t in inputs]
        for tensor in outputs:
            self.real[tensor] = tensor
        return self._emit(name, operator, 0)

    def _has_kernel(self, name: str, inputs: list[int], grid: Grid) -> bool:
        if name in WITH_WEIGHTS:
            weights = inputs[WITH_WEIGHTS[name][1]]
            return self._constant(weights) and self._recorded(weights) is not None
        return name in (_ROUND_16 if grid.bits == 16 else ROUND)

    def _integer_inputs(self, name: str, inputs: list[int], moving: list[int]) -> list[int]:
        made = [self.integer[t] if t in moving else t for t in inputs]
        if name in WITH_WEIGHTS:
            at_input, at_weights, at_bias = WITH_WEIGHTS[name]
            weights = self._recorded(inputs[at_weights])
            assert weights is not None
            self.used.add(weights.layer)
            grid = self.grids[made[at_input]]
            made[at_weights] = self._weights(weights, weights.bits == 4 and grid.bits == 8 and name in _PACKED)
            if at_bias < len(inputs) and inputs[at_bias] >= 0:
                made[at_bias] = self._bias(self._values(inputs[at_bias]), grid, weights.scales)
            return made
        bits = self.grids[self.integer[moving[0]]].bits
        for position, tensor in enumerate(inputs):
            if tensor in self.floats and self._constant(tensor):
                values = self._values(tensor)
                grid = constant_grid(values, bits)
                integers = np.round(values / np.float32(grid.scale)).astype(f"int{bits}")
                made[position] = self._add_constant(integers, _integer_type(bits), [grid.scale], 0)
        return made

    def _mark(self, operator: Any) -> None:
        source = int(operator.inputs[0])
        behind = [int(dequantize.outputs[0]) for dequantize in self.consumers.get(int(operator.outputs[0]), [])]
        if id(operator) in self.copies:
            for tensor in behind:
                for stands_for in (self.integer, self.real):
                    if source in stands_for:
                        stands_for[tensor] = stands_for[source]
            return
        grid = self._grid_of(operator)
        integer = self.integer.get(source)
        if integer is None or self.grids[integer] != grid:
            target = self._add_tensor(self.tensors[source], grid)
            quantize = schema.OperatorT()
            quantize.inputs = [integer if integer is not None else self._as_real(source)]
            quantize.outputs = [target]
            quantize.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
            quantize.builtinOptions = schema.QuantizeOptionsT()
            self._emit("QUANTIZE", quantize, grid.bits)
            integer = target
        for tensor in behind:
            self.integer[tensor] = integer

    def _as_real(self, tensor: int) -> int:
        if tensor not in self.real:
            integer = self.integer[tensor]
            target = self._add_tensor(self.tensors[integer], None)
            dequantize = schema.OperatorT()
            dequantize.inputs, dequantize.outputs = [integer], [target]
            dequantize.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
            dequantize.builtinOptions = schema.DequantizeOptionsT()
            self._emit("DEQUANTIZE", dequantize, self.grids[integer].bits)
            self.real[tensor] = target
        return self.real[tensor]

    def _emit(self, name: str, operator: Any, bits: int) -> None:
        version = 1
        if bits:
            version = _VERSIONS.get(name, (1, 1))[bits == 16]
        if bits == 0:
            version = int(self.model.operatorCodes[operator.opcodeIndex].version or 1)
        if (name, version) not in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(_CODE, name) if hasattr(_CODE, name) else _CODE.CUSTOM
            if code.builtinCode == _CODE.CUSTOM:
                code.customCode = self.model.operatorCodes[operator.opcodeIndex].customCode
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = version
            self.codes[name, version] = len(self.new_codes)
            self.new_codes.append(code)
        operator.opcodeIndex = self.codes[name, version]
        self.operators.append(operator)

    # ------------------------------------------------------------------------------------------------- the marks

    def _is_mark(self, operator: Any) -> bool:
        return self.names[operator.opcodeIndex] == "QUANTIZE" and self.tensors[operator.outputs[0]].type == _TYPE.UINT8

    def _sole_mark(self, tensor: int) -> Any | None:
        """The mark of a tensor that nothing else reads; the converter may have put a RESHAPE before it."""
        readers = self.consumers.get(int(tensor), [])
        if len(readers) != 1 or any(int(output) == int(tensor) for output in self.graph.outputs):
            return None
        if self._is_mark(readers[0]):
            return None if id(readers[0]) in self.copies else readers[0]
        if self.names[readers[0].opcodeIndex] in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"):
            return self._sole_mark(readers[0].outputs[0])
        return None

    def _grid_of(self, operator: Any) -> Grid:
        scale = float(self.tensors[operator.outputs[0]].quantization.scale[0])
        return self.recording.grids[round(scale) - 1]

    # ----------------------------------------------------------------------------------------------- the tensors

    def _constant(self, tensor: int) -> bool:
        data = self.model.buffers[self.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def _float_constants(self, inputs: list[int]) -> bool:
        return any(t in self.floats and self._constant(t) for t in inputs)

    def _values(self, tensor: int) -> np.ndarray:
        data = bytes(np.asarray(self.model.buffers[self.tensors[tensor].buffer].data, np.uint8))
        shape = self.tensors[tensor].shape
        return np.frombuffer(data, np.float32).reshape(() if shape is None else tuple(int(s) for s in shape))

    def _recorded(self, tensor: int) -> IntegerWeights | None:
        return self.recording.weights.get(key(self._values(tensor)))

    def _make_integer(self, tensor: int, grid: Grid) -> None:
        self.tensors[tensor].type = _integer_type(grid.bits)
        self.tensors[tensor].quantization = _quantization([grid.scale], [grid.zero_point], 0)
        self.grids[int(tensor)] = grid

    def _add_tensor(self, like: Any, grid: Grid | None) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.shapeSignature, tensor.buffer = like.shape, like.shapeSignature, 0
        tensor.type = _TYPE.FLOAT32
        self.tensors.append(tensor)
        if grid is not None:
            self._make_integer(len(self.tensors) - 1, grid)
        return len(self.tensors) - 1

    def _add_constant(self, values: np.ndarray, kind: int, scales: list[float], axis: int) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(values.shape), kind
        tensor.buffer = len(self.model.buffers) - 1
        tensor.quantization = _quantization(scales, [0] * len(scales), axis)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _weights(self, weights: IntegerWeights, packed: bool) -> int:
        scales = [float(scale) for scale in weights.scales]
        if not packed:
            return self._add_constant(weights.values.astype(np.int8), _TYPE.INT8, scales, weights.axis)
        made = self._add_constant(pack_int4(weights.values), _TYPE.INT4, scales, weights.axis)
        self.tensors[made].shape = list(weights.values.shape)
        return made

    def _bias(self, values: np.ndarray, grid: Grid, scales: np.ndarray) -> int:
        steps = np.float64(np.float32(grid.scale)) * scales.astype(np.float64)
        integers = np.round(values.astype(np.float64) / steps)
        wide = grid.bits == 16
        if not wide:
            integers = np.clip(integers, -(2.0**31), 2.0**31 - 1)
        return self._add_constant(
            integers.astype(np.int64 if wide else np.int32),
            _TYPE.INT64 if wide else _TYPE.INT32,
            [float(step) for step in steps.astype(np.float32)],
            0,
        )

    def _compact(self) -> None:
        """Leave out tensors that nothing refers to any more, and number the rest anew."""
        inputs, outputs = list(self.graph.inputs), list(self.graph.outputs)
        referred = {*map(int, inputs), *map(int, outputs)}
        for operator in self.operators:
            referred.update(int(tensor) for tensor in [*operator.inputs, *operator.outputs] if tensor >= 0)
        numbers = {old: new for new, old in enumerate(sorted(referred))}
        numbers[-1] = -1
        for operator in self.operators:
            operator.inputs = [numbers[int(tensor)] for tensor in operator.inputs]
            operator.outputs = [numbers[int(tensor)] for tensor in operator.outputs]
        self.graph.inputs = [numbers[int(tensor)] for tensor in inputs]
        self.graph.outputs = [numbers[int(tensor)] for tensor in outputs]
        self.graph.tensors = [self.tensors[old] for old in sorted(referred)]
        self.model.operatorCodes = self.new_codes
        self.model.signatureDefs = None


def constant_grid(values: np.ndarray, bits: int) -> Grid:
    """The symmetric grid of a constant operand: its largest magnitude is the last step."""
    limit = np.float32(2 ** (bits - 1) - 1)
    largest = np.float32(np.max(np.abs(values), initial=0.0))
    return Grid(scale=float(largest / limit) if largest > 0 else 1.0, zero_point=0, bits=bits)


def pack_int4(values: np.ndarray) -> np.ndarray:
    """Integers from -8 to 7, two to a byte, the first in the low half. uint8 of half the size, rounded up."""
    flat = values.reshape(-1).astype(np.int8)
    if flat.size % 2:
        flat = np.append(flat, np.int8(0))
    nibbles = flat.view(np.uint8) & 15
    return nibbles[::2] | nibbles[1::2] << 4


def _quantization(scales: list[float], zero_points: list[int], axis: int) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = scales, zero_points
    quantization.quantizedDimension = axis
    return quantization


def _integer_type(bits: int) -> int:
    kind: int = _TYPE.INT16 if bits == 16 else _TYPE.INT8
    return kind


def _name(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _NAMES[number]
