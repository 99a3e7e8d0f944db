"""Write a Keras model as .tflite with the LiteRT converter that TensorFlow carries."""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any, get_args, get_type_hints

import numpy as np

from penjing.contract import ExportSettings
from penjing.errors import DataError, MissingExtraError, ModelError, UsageError, did_you_mean, plain_text
from penjing.export.bias_scales import without_bias_scales
from penjing.export.calibration import one_at_a_time
from penjing.export.fused_lstm import fused_int8
from penjing.export.integer_file import to_integers
from penjing.export.lstm_tracing import frozen
from penjing.export.quantizer import INTEGER_MODES, is_plain, write_quantized
from penjing.export.recording import recording
from penjing.export.recurrent import unrolled
from penjing.export.shrink import strip_names
from penjing.measure.file_graph import FileGraph
from penjing.quiet import caught_output


def to_litert(model: Any, settings: ExportSettings, calibration: Any = None) -> bytes:
    """Convert a model; the batch dimension of the file is 1, its tensors have no names (they cost flash).

    Args:
        model: A Keras model with defined inputs; None in a shape other than the batch is refused.
        settings: The number format. int8 files take and give int8. A model with simulated quantization ("aware")
            carries its own ranges.
        calibration: Inputs that set the ranges of activations (int8): float32 of shape (n, *input_shape); for several
            inputs a list of them in the model's order, or a dict by input name.

    Returns:
        The .tflite file. Equal arguments give equal bytes.

    Raises:
        DataError: Calibration data is missing, of the wrong shape, or not finite.
        ModelError: The converter cannot handle the model; names the operation where it says so.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError(
            "exporting needs TensorFlow",
            why=str(error),
            hint="pip install 'penjing[compress]'",
        ) from error

    if settings.mode not in get_args(get_type_hints(ExportSettings)["mode"]):
        raise UsageError(
            f"unknown number format '{settings.mode}'",
            hint=did_you_mean(settings.mode, get_args(get_type_hints(ExportSettings)["mode"])),
        )
    specs = _input_specs(model)
    if settings.mode == "aware":
        with recording() as recorded:
            content = _convert(tf, unrolled(model), specs, ExportSettings(), {})
        return strip_names(to_integers(content, recorded), list(specs) if len(specs) > 1 else [])
    fused = None
    if settings.mode in INTEGER_MODES:
        calibration = check_calibration(specs, calibration)
        model = unrolled(model)
        if settings.mode == "int8" and is_plain(settings):
            fused = fused_int8(
                model, calibration, lambda: _convert(tf, model, specs, ExportSettings(), {}, constants=True)
            )
        # The converter ends the whole process when it calibrates a loop, so loops are looked for first.
        if not fused and _has_loop(_convert(tf, model, specs, ExportSettings(), {})):
            raise ModelError(
                f"the model '{model.name}' holds a loop, which cannot be quantized to {settings.mode}",
                why="a layer repeats its work in a way that the file can only write as a loop",
                hint="write the loop out (unroll=True), or choose mode = 'dynamic'",
            )
    if is_plain(settings):
        content = fused or _convert(tf, model, specs, settings, calibration)
    else:
        content = write_quantized(
            model, settings, calibration, lambda: _convert(tf, model, specs, ExportSettings(), {})
        )
    content = strip_names(content, list(specs) if len(specs) > 1 else [])
    return without_bias_scales(content, calibration) if settings.compact_biases else content


def _has_loop(content: bytes) -> bool:
    return "WHILE" in FileGraph.from_bytes(content).operator_counts()


def _convert(
    tf: Any,
    model: Any,
    specs: dict[str, tuple[tuple[int, ...], str]],
    settings: ExportSettings,
    calibration: Any,
    *,
    constants: bool = False,
) -> bytes:
    import keras

    from penjing.export.tracing_forms import easier_forms

    structure = _input_structure(model)
    call = frozen(model) if constants else model

    def run(*values: Any) -> Any:
        return call(keras.tree.pack_sequence_as(structure, values), training=False)

    # Numbered, so that the converter's order of inputs can be checked and odd names do no harm.
    signature = [
        tf.TensorSpec(shape, dtype, name=f"input_{number:03d}") for number, (shape, dtype) in enumerate(specs.values())
    ]
    function = tf.function(run, input_signature=signature, autograph=False)
    failure: Exception | None = None
    content = b""
    with caught_output() as chatter, warnings.catch_warnings(), easier_forms(model):
        warnings.simplefilter("ignore")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        try:
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
            # Through a SavedModel variables stay variables; without it calls of functions, and their marks, are lost.
            converter.experimental_lower_to_saved_model = constants
            _configure(converter, settings, calibration)
            content = converter.convert()
        except Exception as error:
            failure = error
    if failure is not None:
        raise _conversion_error(model, settings, failure, chatter.text) from failure
    return content


def _configure(converter: Any, settings: ExportSettings, calibration: dict[str, np.ndarray]) -> None:
    import tensorflow as tf

    if settings.mode == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if settings.mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif settings.mode == "int8":
        arrays = list(calibration.values())
        converter.representative_dataset = lambda: one_at_a_time(arrays)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if all(array.dtype == np.float32 for array in arrays):  # numbers of words and items stay what they are
            converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8


def _input_specs(model: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape (batch 1) and dtype of each input, by name, in the model's order."""
    inputs = getattr(model, "inputs", None) or []  # a subclassed model has none
    specs = {}
    for name, tensor in zip(input_names(model), inputs, strict=True):
        shape = tuple(tensor.shape)
        if any(size is None for size in shape[1:]):
            raise ModelError(
                f"input '{tensor.name}' has an open shape {shape}",
                why="a file for a device needs fixed sizes",
                hint="build the model with keras.Input(shape=...) whose sizes are all given, or let penjing compress "
                "take them from the data",
            )
        specs[name] = ((1, *shape[1:]), str(tensor.dtype))
    if not specs:
        raise ModelError(
            f"the model '{model.name}' has no defined inputs",
            why="a subclassed model that was never built with symbolic inputs cannot be traced",
            hint="wrap it: x = keras.Input(shape=...); keras.Model(x, model(x))",
        )
    return specs


def input_names(model: Any) -> list[str]:
    """Names of a model's inputs, in its order: if it was built with a dict the dict's keys, else its tensors' names."""
    inputs = getattr(model, "inputs", None) or []
    structure = _input_structure(model) if inputs else None
    if isinstance(structure, dict):
        return [next(key for key, value in structure.items() if value is tensor) for tensor in inputs]
    return [tensor.name or f"input_{index}" for index, tensor in enumerate(inputs)]


def _input_structure(model: Any) -> Any:
    """What the model was built with: one tensor, a list or a dict of them. A Sequential model has one tensor, which it
    does not always tell by `input`."""
    import keras

    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def check_calibration(specs: dict[str, tuple[tuple[int, ...], str]], calibration: Any) -> dict[str, np.ndarray]:
    """Calibration data as arrays of the inputs' types, in their order.

    Raises:
        DataError: It is missing, empty, of another shape than the input, or not finite.
    """
    if calibration is None:
        raise DataError(
            "int8 needs calibration data",
            why="the ranges of activations come from real inputs",
            hint="pass training examples as `calibration`",
        )
    if isinstance(calibration, dict):
        given = list(calibration.values())
    else:
        given = list(calibration) if isinstance(calibration, (list, tuple)) else [calibration]
    if len(given) != len(specs):
        raise DataError(f"the model has {len(specs)} inputs, calibration data has {len(given)}")
    if isinstance(calibration, dict) and len(specs) > 1:
        if set(calibration) != set(specs):
            raise DataError(
                "calibration data does not name the model's inputs",
                why=f"it has {', '.join(map(str, calibration))}; the model takes {', '.join(specs)}",
            )
        given = [calibration[name] for name in specs]
    if len({len(values) for values in given}) > 1:
        raise DataError("calibration data has different numbers of examples for its inputs")
    arrays = {}
    for (name, (shape, dtype)), values in zip(specs.items(), given, strict=True):
        array = np.asarray(values, dtype)
        if array.shape[1:] != shape[1:] or len(array) == 0:
            raise DataError(
                f"calibration data for input '{name}' has shape {array.shape}",
                why=f"the model takes (n, {', '.join(map(str, shape[1:]))}) with n at least 1",
            )
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise DataError(f"calibration data for input '{name}' holds NaN or infinite values")
        arrays[name] = array
    return arrays


def _conversion_error(model: Any, settings: ExportSettings, error: Exception, chatter: str) -> ModelError:
    text = f"{error}\n{chatter}"
    operations = sorted(set(re.findall(r"(?:tf|tfl)\.[A-Z][A-Za-z0-9_]+", text)))
    lines = [line.strip() for line in plain_text(str(error)).splitlines() if line.strip()]
    # Where in TensorFlow's own files the operation was made says nothing to anybody.
    reason = re.sub(r"(?:/[\w.\-]+)+\.py:\d+:\d+: ", "", lines[0]) if lines else "no reason given"
    hint = "replace the layer that makes this operation"
    if settings.mode == "float32":
        hint += ": LiteRT has no such operator, in any number format"
    else:
        hint += ", or try mode = 'dynamic'"
    return ModelError(
        f"the LiteRT converter cannot write the model '{model.name}' as {settings.mode}",
        where="operations " + ", ".join(operations) if operations else None,
        why=f"{type(error).__name__}: {reason[:400]}",
        hint=hint,
    )
