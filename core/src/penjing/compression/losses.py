"""The usual loss of each task, and what a model's outputs are: probabilities or logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from penjing.contract import Task
from penjing.errors import ModelError

OutputKind = Literal["softmax", "sigmoid", "linear"]
Loss = Callable[[Any, Any], Any]

CATEGORICAL_TASKS = ("classification", "ordinal", "ranking")
BINARY_TASKS = ("binary", "multilabel")


def output_kind(model: keras.Model) -> OutputKind:
    """What the last layer of a model emits: softmax or sigmoid probabilities, or plain numbers (logits, values).

    Raises:
        ModelError: The model has several outputs, which no task's usual loss can take.
    """
    if len(model.outputs) != 1:
        raise ModelError(
            f"the model has {len(model.outputs)} outputs",
            why="only a model with one output has a usual loss and metric",
            hint="select the output that matters: keras.Model(model.inputs, model.outputs[0])",
        )
    tensor: Any = model.outputs[0]
    classes = tensor.shape[-1]
    while True:
        layer = tensor._keras_history.operation
        if isinstance(layer, keras.Model):
            if not getattr(layer, "outputs", None):
                return _kind_of_values(model)
            tensor = layer.outputs[0]
        elif _moves_values(layer):
            tensor = layer._inbound_nodes[tensor._keras_history.node_index].input_tensors[0]
        else:
            break
    kind = type(layer).__name__.lower()
    if kind not in ("softmax", "sigmoid"):  # neither a layer nor an operation of keras.ops
        activation = getattr(layer, "activation", None)
        kind = getattr(activation, "__name__", type(activation).__name__.lower())
    if kind == "softmax":
        return "softmax" if tensor.shape[-1] == classes else "linear"
    return "sigmoid" if kind == "sigmoid" else "linear"


def _moves_values(layer: Any) -> bool:
    """Whether a last layer or operation leaves every value what it was."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    kinds = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Identity, keras.layers.Dropout)
    return isinstance(layer, kinds) or type(layer).__name__ in ("Reshape", "Squeeze", "ExpandDims", "Cast")


def _kind_of_values(model: keras.Model) -> OutputKind:
    """What a model emits whose last layer cannot be seen, by what it answers to 64 random inputs."""
    generator = np.random.default_rng(0)
    arrays = []
    for tensor in model.inputs:
        values = generator.normal(size=(64, *(size or 1 for size in tensor.shape[1:])))
        arrays.append((values if "float" in str(tensor.dtype) else np.zeros(values.shape)).astype(tensor.dtype))
    outputs = np.asarray(model(keras.tree.pack_sequence_as(model.input, arrays), training=False), np.float64)
    if outputs.min() < 0 or outputs.max() > 1:
        return "linear"
    if outputs.shape[-1] > 1 and np.allclose(outputs.sum(-1), 1.0, atol=1e-4):
        return "softmax"
    return "sigmoid"


def decision_threshold(kind: OutputKind) -> float:
    """Above which a single output means yes: one half of a probability, zero of a logit."""
    return 0.0 if kind == "linear" else 0.5


def as_logits(outputs: Any, kind: OutputKind) -> Any:
    """Outputs as logits. The logarithm of a softmax equals the logits but for a constant, which softmax ignores."""
    if kind == "softmax":
        return ops.log(ops.clip(outputs, 1e-7, 1.0))
    if kind == "sigmoid":
        clipped = ops.clip(outputs, 1e-7, 1.0 - 1e-7)
        return ops.log(clipped) - ops.log1p(-clipped)
    return outputs


def task_loss(task: Task, kind: OutputKind, label_smoothing: float = 0.0) -> Loss:
    """The usual loss of a task, a mean over the examples.

    Targets of a classification are float32 of shape (n, classes), one-hot or soft; see `as_targets`.
    """
    if task in CATEGORICAL_TASKS:
        return keras.losses.CategoricalCrossentropy(from_logits=kind == "linear", label_smoothing=label_smoothing)
    if task in BINARY_TASKS:
        return keras.losses.BinaryCrossentropy(from_logits=kind == "linear", label_smoothing=label_smoothing)
    return keras.losses.MeanSquaredError()


def as_targets(task: Task, y: Any, output_shape: Sequence[int | None]) -> Any:
    """Targets in the shape that `task_loss` takes: class numbers become one-hot rows.

    Args:
        y: Class numbers of shape (n,) or (n, 1), or integers of shape (n, ...) for each place of a map; or float
            targets of shape (n, ...). Integers of another shape, and of rankings, are left to the domain's own loss, as
            numbers.
        output_shape: Of the model's output, without the examples: (classes,), or (..., classes) of a map.
    """
    y, outputs = np.asarray(y), int(output_shape[-1] or 1)
    if task in CATEGORICAL_TASKS:
        is_column = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1 != outputs)
        is_map = task != "ranking" and y.dtype.kind in "iu" and 1 < y.ndim == len(output_shape)
        if is_column or is_map:
            numbers = y.reshape(-1).astype(np.int64)
            rows = np.zeros((len(numbers), outputs), np.float32)
            rows[np.arange(len(numbers)), numbers] = 1.0
            return rows if is_column else rows.reshape(*y.shape, outputs)
    y = y.astype(np.float32)
    return y[:, None] if y.ndim == 1 else y
