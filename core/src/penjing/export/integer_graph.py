"""The object form of a .tflite file while its tensors become integers: constants, grids, marks, operator versions."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.export.packing import packed
from penjing.export.recording import Grid, IntegerWeights, Recording, key

_TYPE = schema.TensorType
_CODE = schema.BuiltinOperator
_NAMES = {value: name for name, value in vars(_CODE).items() if name.isupper()}

# The lowest version of each operator that has the int8 (per channel) and the int16 kernel.
_VERSIONS = {
    "CONV_2D": (3, 6),
    "DEPTHWISE_CONV_2D": (3, 5),
    "FULLY_CONNECTED": (4, 9),
    "TRANSPOSE_CONV": (3, 4),
    "BATCH_MATMUL": (2, 3),
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


class IntegerGraph:
    """The first graph of a file, its new operators, and which tensor stands for which."""

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
        self.constants: dict[tuple[Any, ...], int] = {}
        """New constants by content: layers that are called in every step have theirs once."""
        self.used: set[str] = set()
        self.floats = {number for number, tensor in enumerate(self.tensors) if tensor.type == _TYPE.FLOAT32}
        """Tensors that were float32 in the file that came in."""
        # The converter repeats a mark behind operators like MEAN, which it takes to keep the scale; the first is meant.
        self.copies: set[int] = set()
        met: set[float] = set()
        for operator in self.graph.operators:
            if self.is_mark(operator):
                number = float(self.tensors[operator.outputs[0]].quantization.scale[0])
                if number in met:
                    self.copies.add(id(operator))
                met.add(number)

    def emit(self, name: str, operator: Any, bits: int) -> None:
        """Append an operator, with a version that has the kernel for its number format (bits 0: float32)."""
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

    def is_mark(self, operator: Any) -> bool:
        """Whether an operator is a mark of the recording."""
        return self.names[operator.opcodeIndex] == "QUANTIZE" and self.tensors[operator.outputs[0]].type == _TYPE.UINT8

    def sole_mark(self, tensor: int) -> Any | None:
        """The mark of a tensor that nothing else reads; the converter may have put a RESHAPE before it. Marks of one
        and the same grid count as one."""
        readers = self.consumers.get(int(tensor), [])
        if any(int(output) == int(tensor) for output in self.graph.outputs):
            return None
        if len(readers) > 1 and all(self.is_mark(reader) for reader in readers):
            # A layer that is called twice on the same tensor: the converter computes it once and marks it twice.
            grids = {self.grid_of(reader) for reader in readers}
            return readers[0] if len(grids) == 1 and id(readers[0]) not in self.copies else None
        if len(readers) != 1:
            return None
        if self.is_mark(readers[0]):
            return None if id(readers[0]) in self.copies else readers[0]
        if self.names[readers[0].opcodeIndex] in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"):
            return self.sole_mark(readers[0].outputs[0])
        return None

    def number_of(self, operator: Any) -> int:
        """The number of the grid that a mark stands for, from 1."""
        return round(float(self.tensors[operator.outputs[0]].quantization.scale[0]))

    def grid_of(self, operator: Any) -> Grid:
        """The grid that a mark stands for."""
        return self.recording.grids[self.number_of(operator) - 1]

    # ----------------------------------------------------------------------------------------------- the tensors

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor has content."""
        data = self.model.buffers[self.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def has_float_constants(self, inputs: list[int]) -> bool:
        """Whether any of the tensors is a float32 constant."""
        return any(t in self.floats and self.is_constant(t) for t in inputs)

    def values_of(self, tensor: int) -> np.ndarray:
        """The content of a float32 constant."""
        data = bytes(np.asarray(self.model.buffers[self.tensors[tensor].buffer].data, np.uint8))
        shape = self.tensors[tensor].shape
        return np.frombuffer(data, np.float32).reshape(() if shape is None else tuple(int(s) for s in shape))

    def recorded_weights(self, tensor: int) -> IntegerWeights | None:
        """The integers of a float32 weight tensor; None where it was not recorded."""
        return self.recording.weights.get(key(self.values_of(tensor)))

    def make_integer(self, tensor: int, grid: Grid) -> None:
        """Give a tensor an integer type and a grid."""
        self.tensors[tensor].type = integer_type(grid.bits)
        self.tensors[tensor].quantization = _quantization([grid.scale], [grid.zero_point], 0)
        self.grids[int(tensor)] = grid

    def add_tensor(self, like: Any, grid: Grid | None) -> int:
        """A new activation of the shape of another; float32 without a grid."""
        tensor = schema.TensorT()
        tensor.shape, tensor.shapeSignature, tensor.buffer = like.shape, like.shapeSignature, 0
        tensor.type = _TYPE.FLOAT32
        self.tensors.append(tensor)
        if grid is not None:
            self.make_integer(len(self.tensors) - 1, grid)
        return len(self.tensors) - 1

    def add_constant(
        self,
        values: np.ndarray,
        kind: int,
        scales: list[float],
        axis: int,
        shape: tuple[int, ...] | None = None,
        zero_point: int = 0,
    ) -> int:
        """A constant with scales along an axis; equal ones are one tensor.

        Args:
            shape: Of the tensor, where the values are packed.
            zero_point: Of all scales.
        """
        shape = values.shape if shape is None else shape
        key = (values.tobytes(), shape, kind, tuple(scales), axis, zero_point)
        if key in self.constants:
            return self.constants[key]
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), kind
        tensor.buffer = len(self.model.buffers) - 1
        tensor.quantization = _quantization(scales, [zero_point] * len(scales), axis)
        self.tensors.append(tensor)
        self.constants[key] = len(self.tensors) - 1
        return self.constants[key]

    def add_weights(self, weights: IntegerWeights, nibbles: bool) -> int:
        """The weight tensor in integers."""
        scales = [float(scale) for scale in weights.scales]
        if not nibbles:
            return self.add_constant(weights.values.astype(np.int8), _TYPE.INT8, scales, weights.axis)
        content = np.frombuffer(packed(weights.values), np.uint8)
        return self.add_constant(content, _TYPE.INT4, scales, weights.axis, weights.values.shape)

    def add_bias(self, values: np.ndarray, grid: Grid, scales: np.ndarray) -> int:
        """A bias in steps of input scale x weight scale."""
        steps = np.float64(np.float32(grid.scale)) * scales.astype(np.float64)
        integers = np.round(values.astype(np.float64) / steps)
        wide = grid.bits == 16
        if not wide:
            integers = np.clip(integers, -(2.0**31), 2.0**31 - 1)
        return self.add_constant(
            integers.astype(np.int64 if wide else np.int32),
            _TYPE.INT64 if wide else _TYPE.INT32,
            [float(step) for step in steps.astype(np.float32)],
            0,
        )

    def compact(self) -> None:
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


def _quantization(scales: list[float], zero_points: list[int], axis: int) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = scales, zero_points
    quantization.quantizedDimension = axis
    return quantization


def integer_type(bits: int) -> int:
    kind: int = _TYPE.INT16 if bits == 16 else _TYPE.INT8
    return kind


def _name(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _NAMES[number]
