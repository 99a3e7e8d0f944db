"""Quantized files with ranges of our own choice and a precision for each layer.

The converter calibrates by smallest and largest value and writes all of a model in one precision. Here the float file
is observed on the calibration examples, ranges are chosen, and the converter's quantizer, which reads ranges from the
file's tensors, makes an int8 and an int16x8 variant of which each layer takes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.contract import ExportSettings
from penjing.errors import ModelError
from penjing.export.composition import compose, operator_names
from penjing.export.file_layers import numbered, operator_precisions
from penjing.export.flatbuffer import pack
from penjing.export.int16 import mend_int16, prepare_int16
from penjing.export.plain_operators import with_plain_operators
from penjing.export.ranges import annotated, chosen_ranges, observe, share_ranges
from penjing.export.weights import Bits, write_small_weights
from penjing.quiet import caught_output

FLOAT_MODES = ("weight-only-int8", "weight-only-int4", "dynamic", "float16")
INTEGER_MODES = ("int8", "int16x8")


def is_plain(settings: ExportSettings) -> bool:
    """Whether the converter alone can write it."""
    return settings.mode in ("float32", "float16", "dynamic", "int8") and not (
        settings.layers or settings.calibration != "min-max"
    )


def write_quantized(
    model: Any, settings: ExportSettings, calibration: Mapping[str, np.ndarray], convert: Callable[[], bytes]
) -> bytes:
    """Quantize a model's float file.

    Args:
        model: The Keras model.
        settings: Those that `is_plain` denies.
        calibration: Arrays by input, in the model's order (int8, int16x8).
        convert: Writes the model as float32, inputs named input_NNN.

    Raises:
        ModelError: The model cannot be written so; says why.
    """
    with numbered(model, list(settings.layers)):
        content = convert()
    if settings.mode in INTEGER_MODES:
        wide = settings.mode == "int16x8" or "int16x8" in settings.layers.values()
        content = with_plain_operators(content, for_16_bits=wide)
    base: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    if settings.mode in FLOAT_MODES:
        _write_float_mode(base, model, settings)
        return pack(base)
    arrays = [calibration_of(calibration, base, position) for position in range(len(base.subgraphs[0].inputs))]
    names = operator_names(base, base.subgraphs[0])
    precisions = operator_precisions(base.subgraphs[0], names, model, settings.layers, settings.mode)
    in_float = {
        int(index)
        for operator, precision in zip(base.subgraphs[0].operators, precisions, strict=True)
        if precision == "float"
        for index in operator.outputs
    }
    observed = observe(content, arrays, seed=settings.seed, in_float=in_float)
    variants = {}
    # Weights of 4 bits go with the mode's own activations.
    needed = {settings.mode if precision == "int4" else precision for precision in precisions}
    for precision, levels in (("int8", 256), ("int16x8", 65_535)):
        if precision in needed:
            ranges = chosen_ranges(observed, settings.calibration, settings.percentile, levels)
            share_ranges(base.subgraphs[0], names, ranges)
            variants[precision] = _variant(content, ranges, precision)
    made = compose(base, variants, precisions, int4_as=settings.mode)
    left = _left_in_float(made, precisions)
    if left and not settings.layers:
        raise ModelError(
            f"the LiteRT converter cannot write the model '{model.name}' as {settings.mode}",
            where="operations " + ", ".join(left),
            why=f"they have no {settings.mode} kernel",
            hint="replace the layer that makes this operation, leave it in float by 'layers', or try mode = 'dynamic'",
        )
    finished = pack(made)
    _check_runs(finished, model, settings.mode)
    return finished


def _check_runs(content: bytes, model: Any, mode: str) -> None:
    """Refuse a file with an operator that no kernel of its types serves: the quantizer does not know all of them.

    Raises:
        ModelError: Names the operator, in the runtime's words.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        interpreter.allocate_tensors()
        for details in interpreter.get_input_details():
            # Numbers of words must be numbers of words.
            interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"no kernel runs the model '{model.name}' as {mode}",
            why=" ".join(str(error).split())[:300],
            hint="leave the layer that makes this operator in float by 'layers', or try mode = 'int8'",
        ) from error


def calibration_of(calibration: Mapping[str, np.ndarray], base: Any, position: int) -> np.ndarray:
    """The examples of the file's input at a position: the converter may have changed the order."""
    from penjing.export.shrink import input_number

    graph = base.subgraphs[0]
    number = input_number(graph.tensors[graph.inputs[position]].name)
    return list(calibration.values())[position if number is None else number]


def _variant(content: bytes, ranges: Mapping[int, tuple[float, float]], precision: str) -> Any:
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.toco import types_pb2

    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    annotated(model, ranges, symmetric=precision == "int16x8")
    if precision == "int16x8":
        prepare_int16(model)
    kind = types_pb2.QUANTIZED_INT8 if precision == "int8" else types_pb2.QUANTIZED_INT16
    failure: Exception | None = None
    with caught_output() as chatter:
        try:
            made = mlir_quantize(
                pack(model), inference_type=kind, input_data_type=tf.float32, output_data_type=tf.float32
            )
        except Exception as error:
            failure = error
    if failure is not None:
        raise ModelError(
            f"the converter's quantizer cannot write the model as {precision}",
            why=f"{type(failure).__name__}: {failure} {chatter.text.strip()}"[:600],
            hint="try mode = 'dynamic', or leave the layers at fault in float by 'layers'",
        ) from failure
    variant = schema.ModelT.InitFromPackedBuf(made, 0)
    if precision == "int16x8":
        mend_int16(variant)
    return variant


def _write_float_mode(base: Any, model: Any, settings: ExportSettings) -> None:
    usual = {"weight-only-int8": "int8", "weight-only-int4": "int4", "dynamic": "int8", "float16": "float16"}
    widths: dict[str, Bits] = {"float": 32, "float16": 16, "int8": 8, "int4": 4}
    for graph in base.subgraphs:
        names = operator_names(base, graph)
        precisions = operator_precisions(graph, names, model, settings.layers, usual[settings.mode])
        write_small_weights(
            base,
            graph,
            [widths[precision] for precision in precisions],
            dequantize=settings.mode != "dynamic",
        )


def _left_in_float(made: Any, precisions: list[str]) -> list[str]:
    """Operators that were to become integers and compute with float32 all the same."""
    graph = made.subgraphs[0]
    names = operator_names(made, graph)
    found = set()
    for operator, name in zip(graph.operators, names, strict=True):
        types = {graph.tensors[index].type for index in operator.outputs}
        if name == "CAST" and graph.tensors[operator.inputs[0]].type != schema.TensorType.FLOAT32:
            continue  # of inputs that are bytes or whole numbers
        if name not in ("QUANTIZE", "DEQUANTIZE") and types == {schema.TensorType.FLOAT32}:
            found.add(name)
    return sorted(found) if "float" not in precisions else []
