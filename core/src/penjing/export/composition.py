"""One file out of several: each operator in a precision of its own, with conversions where precisions meet.

The variants are the same network in float32, int8 and int16x8, operator for operator, as the converter's quantizer
writes them. It knows what each kernel demands (fixed ranges, equal scales, bias scales); what it cannot do is mix.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.errors import ModelError
from penjing.export.file_layers import KERNEL_OPERATORS, MOVING_OPERATORS, data_and_bias
from penjing.export.packing import Quantized, constant, quantized_weights, store

_CODES = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")

Form = tuple[int, float, int]
"""How a value is written: type of the file, scale (0 where it is not quantized), zero point."""


def operator_names(model: Any, graph: Any) -> list[str]:
    """The operators' names, as the format spells them."""
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in graph.operators]
    return [_CODES[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in codes]


def compose(base: Any, variants: Mapping[str, Any], precisions: Sequence[str], int4_as: str) -> Any:
    """Write each operator in its precision.

    Args:
        base: The float file (object API), of one graph.
        variants: Files of the same network by precision, "int8" and "int16x8" as far as they are needed.
        precisions: Precision of each of the base's operators: "float", "int16x8", "int8" or "int4" (weights of 4 bits).
        int4_as: The variant that an operator with weights of 4 bits is made of.

    Returns:
        The file's object form. An input has the most precise type that its readers take, an output that of its writer.

    Raises:
        ModelError: A variant is not the same network operator for operator.
    """
    return _Composition(base, variants, int4_as).run(precisions)


class _Composition:
    def __init__(self, base: Any, variants: Mapping[str, Any], int4_as: str) -> None:
        self.base = base
        self.int4_as = int4_as
        self.graph = base.subgraphs[0]
        self.names = operator_names(base, self.graph)
        self.variants = {"float": base, **variants}
        self.plain = {name: self._plain_operators(model) for name, model in self.variants.items()}
        self.made: Any = copy.copy(base)
        self.made.buffers = [schema.BufferT()]
        self.made.operatorCodes = []
        self.out: Any = copy.copy(self.graph)
        self.out.tensors, self.out.operators = [], []
        self.made.subgraphs = [self.out]
        self.forms: dict[int, dict[Form, int]] = {}
        """By tensor number of the base: the tensors of the new file that hold its value."""
        self.constants: dict[tuple[Any, ...], int] = {}
        self.codes: dict[tuple[Any, ...], int] = {}

    def run(self, precisions: Sequence[str]) -> Any:
        self._inputs(precisions)
        for number, precision in enumerate(precisions):
            self._operator(number, precision)
        self.out.outputs = np.array([self._first_form(index)[1] for index in self.graph.outputs], np.int32)
        return self.made

    def _plain_operators(self, model: Any) -> list[Any]:
        graph = model.subgraphs[0]
        names = operator_names(model, graph)
        plain = [operator for operator, name in zip(graph.operators, names, strict=True) if name not in _CONVERSIONS]
        if [name for name in names if name not in _CONVERSIONS] != self.names:
            raise ModelError(
                "precisions cannot be mixed in this model",
                why="the converter's quantizer writes other operators than the float file has",
                hint="leave 'layers' out, or choose mode = 'dynamic'",
            )
        return plain

    def _variant(self, precision: str) -> str:
        return self.int4_as if precision == "int4" else precision

    def _inputs(self, precisions: Sequence[str]) -> None:
        order = {schema.TensorType.FLOAT32: 0, schema.TensorType.INT16: 1}
        numbers = []
        for index in self.graph.inputs:
            wanted: list[Form] = []
            for number, precision in enumerate(precisions):
                name = self._variant(precision)
                tensors = self.variants[name].subgraphs[0].tensors
                for position, source in enumerate(self.graph.operators[number].inputs):
                    if source == index:
                        wanted.append(_form(tensors[self.plain[name][number].inputs[position]]))
            own = _form(self.graph.tensors[index])
            form = min(wanted or [own], key=lambda form: order.get(form[0], 2))
            numbers.append(self._new_value(index, form))
        self.out.inputs = np.array(numbers, np.int32)

    def _operator(self, number: int, precision: str) -> None:
        name = self._variant(precision)
        model = self.variants[name]
        tensors = model.subgraphs[0].tensors
        source, plain = self.graph.operators[number], self.plain[name][number]
        operator = copy.copy(plain)
        operator.opcodeIndex = self._code(model.operatorCodes[plain.opcodeIndex])
        wanted = [_form(tensors[index]) for index in plain.inputs]
        given = [_form(tensors[index]) for index in plain.outputs]
        moved = MOVING_OPERATORS.get(self.names[number])
        if moved is not None and name != "float" and given[0][0] == schema.TensorType.FLOAT32:
            # The quantizer leaves such operators in float at times; they move integers as well.
            wanted[moved] = self._first_form(source.inputs[moved])[0]
            given = [wanted[moved]] * len(given)
        inputs = []
        for position, index in enumerate(source.inputs):
            if index < 0:
                inputs.append(-1)
            elif index in self.forms:
                inputs.append(self._as_form(index, wanted[position]))
            else:
                inputs.append(self._constant(name, plain.inputs[position], index))
        operator.inputs = np.array(inputs, np.int32)
        if self.names[number] in KERNEL_OPERATORS and name != "float":
            self._kernel(operator, source, precision, self.names[number])
        outputs = [self._new_value(index, form) for index, form in zip(source.outputs, given, strict=True)]
        operator.outputs = np.array(outputs, np.int32)
        self.out.operators.append(operator)

    def _kernel(self, operator: Any, source: Any, precision: str, name: str) -> None:
        """Weights of 4 bits, and biases of 64 for int16 activations: their steps are so small that 32 can overflow."""
        if source.inputs[1] in self.forms:  # a product of two activations
            return
        weights = self.graph.tensors[source.inputs[1]]
        key: tuple[Any, ...]
        if precision == "int4":
            key = ("int4", int(source.inputs[1]))
            if key not in self.constants:
                values = constant(self.base, weights)
                self.constants[key] = store(
                    self.made, self.out, quantized_weights(values, 4, KERNEL_OPERATORS[name]), weights
                )
            operator.inputs[1] = self.constants[key]
        data_at, bias_at = data_and_bias(name)
        if len(source.inputs) <= bias_at or source.inputs[bias_at] < 0 or precision == "int8":
            return
        activation = self.out.tensors[operator.inputs[data_at]]
        scales = np.asarray(self.out.tensors[operator.inputs[1]].quantization.scale, np.float64)
        scales = scales * float(activation.quantization.scale[0])
        bias = self.graph.tensors[source.inputs[bias_at]]
        dtype = np.int64 if self._variant(precision) == "int16x8" else np.int32
        key = ("bias", int(source.inputs[bias_at]), dtype, scales.tobytes())
        if key not in self.constants:
            steps = np.round(constant(self.base, bias).astype(np.float64) / scales)
            limits = np.iinfo(dtype)
            values = np.clip(steps, limits.min, limits.max).astype(dtype)
            quantized = Quantized(values=values, scales=scales.astype(np.float32))
            self.constants[key] = store(self.made, self.out, quantized, bias)
        operator.inputs[bias_at] = self.constants[key]

    def _new_value(self, index: int, form: Form) -> int:
        source = self.graph.tensors[index]
        tensor = schema.TensorT()
        tensor.shape, tensor.shapeSignature = source.shape, source.shapeSignature
        tensor.name, tensor.hasRank = source.name, source.hasRank
        tensor.type, tensor.buffer = form[0], 0
        if form[1]:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([form[1]], np.float32)
            tensor.quantization.zeroPoint = np.array([form[2]], np.int64)
        self.out.tensors.append(tensor)
        number = len(self.out.tensors) - 1
        self.forms.setdefault(index, {})[form] = number
        return number

    def _first_form(self, index: int) -> tuple[Form, int]:
        return next(iter(self.forms[index].items()))

    def _as_form(self, index: int, form: Form) -> int:
        if form in self.forms[index]:
            return self.forms[index][form]
        first, held = self._first_form(index)
        code = schema.OperatorCodeT()
        operator = schema.OperatorT()
        to_float = form[0] == schema.TensorType.FLOAT32
        kind = schema.BuiltinOperator.DEQUANTIZE if to_float else schema.BuiltinOperator.QUANTIZE
        if (first[0] == schema.TensorType.FLOAT32) == to_float and to_float:
            raise ModelError("precisions cannot be mixed in this model", why="a float value is wanted as another float")
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = 2
        operator.opcodeIndex = self._code(code)
        operator.inputs = np.array([held], np.int32)
        operator.outputs = np.array([self._new_value(index, form)], np.int32)
        self.out.operators.append(operator)
        return self.forms[index][form]

    def _constant(self, name: str, index: int, base_index: int) -> int:
        """A constant of a variant; the base's own where the variant makes it from another by a conversion."""
        model = self.variants[name]
        tensor = model.subgraphs[0].tensors[index]
        if tensor.type == schema.TensorType.INT16 and model.buffers[tensor.buffer].data is None:
            return self._int16_constant(tensor, base_index)
        if tensor.buffer == 0 or model.buffers[tensor.buffer].data is None:
            name, index, model = "float", base_index, self.base
            tensor = self.graph.tensors[base_index]
        key = (name, int(index))
        if key not in self.constants:
            tensor = copy.copy(tensor)
            self.made.buffers.append(model.buffers[tensor.buffer])
            tensor.buffer = len(self.made.buffers) - 1
            self.out.tensors.append(tensor)
            self.constants[key] = len(self.out.tensors) - 1
        return self.constants[key]

    def _int16_constant(self, like: Any, base_index: int) -> int:
        """A constant of the base in the form of an activation (`prepare_int16` made the quantizer see it as one)."""
        _, scale, _ = _form(like)
        key = ("int16", int(base_index), scale)
        if key not in self.constants:
            source = self.graph.tensors[base_index]
            steps = np.clip(np.round(constant(self.base, source) / scale), -32768, 32767).astype(np.int16)
            quantized = Quantized(values=steps, scales=np.array([scale], np.float32), bits=16)
            self.constants[key] = store(self.made, self.out, quantized, source)
        return self.constants[key]

    def _code(self, code: Any) -> int:
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        key = (kind, code.customCode)
        if key not in self.codes:
            self.made.operatorCodes.append(copy.copy(code))
            self.codes[key] = len(self.made.operatorCodes) - 1
        kept = self.made.operatorCodes[self.codes[key]]
        kept.version = max(kept.version, code.version)
        return self.codes[key]


def _form(tensor: Any) -> Form:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or len(quantization.scale) == 0:
        return tensor.type, 0.0, 0
    return tensor.type, float(quantization.scale[0]), int(quantization.zeroPoint[0])
