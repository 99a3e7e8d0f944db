"""A bundle's model as ONNX, and how far it is from Keras, from the reference and from the .tflite file.

A bundle holds a .tflite file and no Keras model, so the exporter goes back to the run that made it: it takes the model
after the last step that left one of plain Keras layers. `quantize` leaves the model as it was, and decides how the file
is written; layers that simulate integers (`quantize-aware-training`) mean nothing to ONNX, which stays in float32.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import penjing
from penjing.errors import CheckFailedError, UsageError

MODEL, FIGURES = "model.onnx", "conformance.json"
EXAMPLES = 64
TOLERANCE = 1e-4
"""Largest difference from Keras, as a share of the largest output: float32 sums in another order."""


def write(bundle: Any, folder: Path) -> Sequence[Path]:
    """Write `model.onnx` and `conformance.json`.

    Args:
        bundle: A `penjing.runtime.LoadedBundle` that still lies in its run folder.
        folder: An existing folder.

    Raises:
        UsageError: The bundle was copied out of its run.
        CheckFailedError: onnxruntime's answers differ from Keras'; nothing is written.
    """
    if bundle.run_folder is None:
        raise UsageError(
            "ONNX is written from the run that made the bundle",
            where=str(bundle.folder),
            why="a bundle holds a .tflite file and no Keras model",
            hint="name the bundle inside its run folder: runs/NAME/bundle",
        )
    model, step = _last_plain_model(bundle.run_folder)
    reference = penjing.load_model(bundle.run_folder / "reference.keras")
    x = _inputs(model, bundle)
    content = _export(model, x)
    ours = _run(content, x)
    theirs = _predict(model, x)
    apart = _apart(ours, theirs)
    if apart > TOLERANCE:
        raise CheckFailedError(
            f"onnxruntime's answers differ from Keras' by {apart:.1e} of the largest output",
            where=f"the model after {step}",
            why=f"at most {TOLERANCE:.0e} is arithmetic",
            hint="report it with the model's layers",
        )
    figures = {
        "model": step,
        "examples": EXAMPLES,
        "onnxruntime_minus_keras": apart,
        "onnxruntime_minus_reference": _apart(ours, _predict(reference, x)),
        "onnxruntime_minus_tflite": _apart(ours, np.asarray(bundle.predict(_for_file(x)))),
        "bytes": len(content),
    }
    (folder / MODEL).write_bytes(content)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return [folder / MODEL, folder / FIGURES]


def _last_plain_model(run: Path) -> tuple[Any, str]:
    """The model after the last step that left one of plain Keras layers, and which step that was."""
    for path in sorted(run.glob("steps/*/model.keras"), reverse=True):
        model = penjing.load_model(path)
        if all(type(layer).__module__.startswith("keras.") for layer in model._flatten_layers()):
            return model, f"step {path.parent.name}"
    return penjing.load_model(run / "reference.keras"), "training: the reference"


def _inputs(model: Any, bundle: Any) -> list[np.ndarray]:
    """Random inputs, standard normal, or over the range of a quantized input of the .tflite file."""
    generator = np.random.default_rng(0)
    found = []
    for tensor, entry in zip(model.inputs, bundle.manifest.inputs, strict=True):
        shape = (EXAMPLES, *tensor.shape[1:])
        if entry.scale:
            limits = np.iinfo(entry.dtype)
            steps = generator.integers(limits.min, limits.max + 1, shape) - entry.zero_point
            found.append((steps * entry.scale).astype(np.float32))
        else:
            found.append(generator.normal(size=shape).astype(np.float32))
    return found


def _export(model: Any, x: Sequence[np.ndarray]) -> bytes:
    """The ONNX file, with names that do not depend on what else this process has built."""
    import keras
    import onnx

    model([values[:1] for values in x] if len(x) > 1 else x[0][:1])  # Keras exports what has been called
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / MODEL
        signature = [keras.InputSpec(dtype="float32", shape=(None, *values.shape[1:])) for values in x]
        model.export(path, format="onnx", verbose=False, input_signature=signature if len(x) > 1 else signature[:1])
        graph = onnx.load(path)
    _rename(graph.graph)
    onnx.checker.check_model(graph)
    return graph.SerializeToString(deterministic=True)


def _rename(graph: Any) -> None:
    """Inputs, outputs and values by number: Keras and TensorFlow count over the whole process."""
    names = {value.name: f"input_{index}" for index, value in enumerate(graph.input)}
    names |= {value.name: f"output_{index}" for index, value in enumerate(graph.output)}
    for node in graph.node:
        for value in node.output:
            if value:
                names.setdefault(value, f"value_{len(names)}")
    weights = {weight.name: weight for weight in graph.initializer}
    used = dict.fromkeys(value for node in graph.node for value in node.input if value in weights)
    names |= {name: f"weight_{index}" for index, name in enumerate(used)}
    ordered = [weights[name] for name in used]
    del graph.initializer[:]
    graph.initializer.extend(ordered)
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
        for values in (node.input, node.output):
            for place, value in enumerate(values):
                values[place] = names.get(value, value)
    for values in (graph.input, graph.output, graph.initializer, graph.value_info):
        for value in values:
            value.name = names.get(value.name, value.name)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes in between carry Keras' counters, and can be inferred
    graph.name, graph.doc_string = "model", ""


def _run(content: bytes, x: Sequence[np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {f"input_{index}": values for index, values in enumerate(x)})[0])


def _predict(model: Any, x: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(model.predict(list(x) if len(x) > 1 else x[0], verbose=0))


def _for_file(x: Sequence[np.ndarray]) -> Any:
    return x[0] if len(x) == 1 else {str(index): values for index, values in enumerate(x)}


def _apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference as a share of the largest output."""
    return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))
