"""Write a Keras model as .tflite with the LiteRT converter that TensorFlow carries."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from penjing.contract import ExportSettings
from penjing.errors import DataError, MissingExtraError, ModelError
from penjing.export.recurrent import unrolled
from penjing.export.shrink import strip_names
from penjing.measure.file_graph import FileGraph
from penjing.quiet import caught_output


def to_litert(model: Any, settings: ExportSettings, calibration: Any = None) -> bytes:
    """Convert a model; the batch dimension of the file is 1, its tensors have no names (they cost flash).

    Args:
        model: A Keras model with defined inputs; None in a shape other than the batch is refused.
        settings: The number format. int8 files take and give int8.
        calibration: Inputs that set the ranges of activations (int8): float32 of shape (n, *input_shape), or a dict
            of them by input name.

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

    specs = _input_specs(model)
    if settings.mode == "int8":
        calibration = check_calibration(specs, calibration)
        model = unrolled(model)
        # The converter ends the whole process when it calibrates a loop, so loops are looked for first.
        plain = FileGraph.from_bytes(_convert(tf, model, specs, ExportSettings(), {}))
        if "WHILE" in plain.operator_counts():
            raise ModelError(
                f"the model '{model.name}' holds a loop, which cannot be quantized to int8",
                why="a layer repeats its work in a way that the file can only write as a loop",
                hint="write the loop out (unroll=True), or choose mode = 'dynamic'",
            )
    return strip_names(_convert(tf, model, specs, settings, calibration))


def _convert(
    tf: Any, model: Any, specs: dict[str, tuple[tuple[int, ...], str]], settings: ExportSettings, calibration: Any
) -> bytes:
    names = list(specs)

    def run(*values: Any) -> Any:
        inputs = values[0] if len(values) == 1 else dict(zip(names, values, strict=True))
        return model(inputs, training=False)

    signature = [tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in specs.items()]
    function = tf.function(run, input_signature=signature, autograph=False)
    failure: Exception | None = None
    content = b""
    with caught_output() as chatter, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        try:
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
            # Freeze the weights into constants here: through a SavedModel they stay variables.
            converter.experimental_lower_to_saved_model = False
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

        def examples() -> Iterator[list[np.ndarray]]:
            for index in range(len(arrays[0])):
                yield [array[index : index + 1] for array in arrays]

        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if all(array.dtype == np.float32 for array in arrays):  # numbers of words and items stay what they are
            converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8


def _input_specs(model: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape (batch 1) and dtype of each input, by name, in the model's order."""
    specs = {}
    for index, tensor in enumerate(model.inputs):
        shape = tuple(tensor.shape)
        if any(size is None for size in shape[1:]):
            raise ModelError(
                f"input '{tensor.name}' has an open shape {shape}",
                why="a file for a device needs fixed sizes",
                hint="build the model with keras.Input(shape=...) whose sizes are all given",
            )
        name = re.sub(r"[^A-Za-z0-9_]", "_", tensor.name or f"input_{index}")
        specs[name] = ((1, *shape[1:]), str(tensor.dtype))
    if not specs:
        raise ModelError(
            f"the model '{model.name}' has no defined inputs",
            why="a subclassed model that was never built with symbolic inputs cannot be traced",
            hint="wrap it: x = keras.Input(shape=...); keras.Model(x, model(x))",
        )
    return specs


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
    given = calibration if isinstance(calibration, dict) else {next(iter(specs)): calibration}
    if len(given) != len(specs):
        raise DataError(f"the model has {len(specs)} inputs, calibration data has {len(given)}")
    arrays = {}
    for (name, (shape, dtype)), values in zip(specs.items(), given.values(), strict=True):
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
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ModelError(
        f"the LiteRT converter cannot write the model '{model.name}' as {settings.mode}",
        where="operations " + ", ".join(operations) if operations else None,
        why=f"{type(error).__name__}: {lines[0][:400] if lines else 'no reason given'}",
        hint="replace the layer that makes this operation, or try mode = 'dynamic'",
    )
