"""LSTM layers as one operator of an int8 file each, UNIDIRECTIONAL_SEQUENCE_LSTM, in place of every time step written
out: a layer of 24 units over 49 steps, with one of 16 behind it, takes 10,592 bytes so, and 152,752 written out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.errors import ModelError
from penjing.export.calibration import one_at_a_time
from penjing.export.composition import operator_names
from penjing.export.flatbuffer import pack
from penjing.export.lstm_tracing import fused_layers, marked
from penjing.export.packing import add_buffer, operator_code
from penjing.export.quantizer import calibration_of
from penjing.measure.file_graph import FileGraph
from penjing.quiet import caught_output

CHECKED_EXAMPLES = 8
LARGEST_DIFFERENCE = 1e-4
"""Of an output's range, between the fused float file and the model; a layer with a mask is off by far more."""
_OPERATOR = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_NOTES = 5
"""Tensors in which the calibration notes ranges within an operator; the converter leaves them out of a float file."""
_STATES = (18, 19)
"""Positions of the hidden and of the cell state among the operator's inputs."""
_CELL_RANGE = (0.99, 63.9)
"""The largest cell state is taken to be at least and may be at most so much. Its scale is a power of two, and the
kernels' tanh takes 0 to 6 bits before the point: with others it writes nothing at all."""


def fused_int8(model: Any, calibration: Mapping[str, np.ndarray], convert: Callable[[], bytes]) -> bytes | None:
    """Quantize a model with an operator for each LSTM layer.

    The operator keeps its state from one example to the next. Here an addition of constants sets it to zeros before
    each, so that the file needs no help from the program around it, and calibration sees what will happen.

    Args:
        model: The Keras model; the recurrent layers that are not fused are written out in it.
        calibration: Arrays by input, in the model's order.
        convert: Writes the model as float32 with constants for weights, inputs named input_NNN.

    Returns:
        The file, its inputs int8 where they are real numbers; None where the operator does not compute the model.
    """
    from tensorflow.lite.python.convert import ConverterError

    if not fused_layers(model):
        return None
    try:
        with marked(model):
            content = convert()
    except ModelError:
        return None  # the way without the operator says what is wrong with the model, if anything is
    content = _with_resets(content)
    counts = FileGraph.from_bytes(content).operator_counts()
    if _OPERATOR not in counts or "WHILE" in counts or not _computes_alike(content, model, calibration):
        return None
    try:
        calibrated = _calibrated(content, calibration)
        return _with_resets(_quantized(calibrated, calibration)) if calibrated else None
    except (ConverterError, RuntimeError, ValueError):
        return None


def _calibrated(content: bytes, calibration: Mapping[str, np.ndarray]) -> bytes | None:
    """The float file with the ranges of its tensors, without the resets; None where a cell state leaves the kernels'
    range."""
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    base: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    arrays = [calibration_of(calibration, base, position) for position in range(len(base.subgraphs[0].inputs))]

    with caught_output():
        model: Any = schema.ModelT.InitFromPackedBuf(Calibrator(content).calibrate(lambda: one_at_a_time(arrays)), 0)
    for graph in model.subgraphs:
        graph.operators = [each for each in graph.operators if not graph.tensors[each.outputs[0]].isVariable]
        for operator, name in zip(graph.operators, operator_names(model, graph), strict=True):
            if name == _OPERATOR:
                ranges = graph.tensors[operator.inputs[_STATES[1]]].quantization
                largest = float(max(-ranges.min[0], ranges.max[0], _CELL_RANGE[0]))
                if largest > _CELL_RANGE[1]:
                    return None
                ranges.min, ranges.max = np.array([-largest], np.float32), np.array([largest], np.float32)
    return pack(model)


def _quantized(calibrated: bytes, calibration: Mapping[str, np.ndarray]) -> bytes:
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    real = all(array.dtype == np.float32 for array in calibration.values())
    with caught_output():
        content = mlir_quantize(calibrated, input_data_type=tf.int8 if real else tf.float32, output_data_type=tf.int8)
    # The kernels take the hidden state, its note and the output to be on one grid. The converter's quantizer gives the
    # output another where that is concatenated, and leaves the rest.
    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    for graph in model.subgraphs:
        for operator, name in zip(graph.operators, operator_names(model, graph), strict=True):
            if name == _OPERATOR:
                for index in (operator.inputs[_STATES[0]], operator.intermediates[-1]):
                    graph.tensors[index].quantization = graph.tensors[operator.outputs[0]].quantization
    return pack(model)


def _with_resets(content: bytes) -> bytes:
    """The file with an operator before each LSTM that writes zeros to its hidden state, and one to its cell state."""
    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    for graph in model.subgraphs:
        operators = []
        for operator, name in zip(graph.operators, operator_names(model, graph), strict=True):
            if name == _OPERATOR:
                if operator.intermediates is None or len(operator.intermediates) == 0:
                    first = len(graph.tensors)
                    graph.tensors += [schema.TensorT(shape=[0], type=schema.TensorType.FLOAT32) for _ in range(_NOTES)]
                    operator.intermediates = np.arange(first, first + _NOTES, dtype=np.int32)
                operators += [_reset(model, graph, int(operator.inputs[at])) for at in _STATES]
            operators.append(operator)
        graph.operators = operators
    return pack(model)


def _reset(model: Any, graph: Any, state: int) -> Any:
    """Zeros + zeros: of the operators that all runtimes have in float, 8 and 16 bits, the simplest."""
    tensor = graph.tensors[state]
    kind = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.INT8: np.int8,
        schema.TensorType.INT16: np.int16,
    }[tensor.type]
    points = tensor.quantization.zeroPoint if tensor.quantization else None
    zero = 0 if points is None else int(points[0])
    zeros = schema.TensorT(
        shape=tensor.shape,
        type=tensor.type,
        quantization=tensor.quantization,
        buffer=add_buffer(model, np.full(tensor.shape, zero, kind).tobytes()),
    )
    graph.tensors.append(zeros)
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(model, schema.BuiltinOperator.ADD, 1 if kind is np.float32 else 2)
    operator.inputs = np.full(2, len(graph.tensors) - 1, np.int32)
    operator.outputs = np.array([state], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
    operator.builtinOptions = schema.AddOptionsT(potScaleInt16=False)
    return operator


def _computes_alike(content: bytes, model: Any, examples: Mapping[str, np.ndarray]) -> bool:
    """Whether the float file has the model's outputs on some examples, given in the model's order of inputs."""
    import keras

    from penjing.runtime import LiteRTModel

    some = [values[:CHECKED_EXAMPLES] for values in examples.values()]
    named = dict(zip(examples, some, strict=True))
    wanted = keras.tree.flatten(model(some if len(some) > 1 else some[0], training=False))
    found = LiteRTModel(content, kernels="reference").predict(named if len(some) > 1 else some[0])
    pairs = zip(wanted, found if isinstance(found, tuple) else (found,), strict=True)
    return all(_close(np.asarray(one), np.asarray(other)) for one, other in pairs)


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= LARGEST_DIFFERENCE * max(np.ptp(one), 1e-6))
