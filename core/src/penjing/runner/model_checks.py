"""Hold a model against the data, before any work starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.compression.model_tree import count_parameters, walk_layers
from penjing.compression.workbench import predict
from penjing.errors import DataError, ModelError, reason_of
from penjing.export.litert import input_names
from penjing.runner.job import Job


def note_of_frozen(model: Any) -> str | None:
    """The sentence that a part of the model cannot learn; None where all of it can."""
    leaves = [layer for _, layer in walk_layers(model) if not layer.trainable]
    still = {id(variable): variable for layer in leaves for variable in layer.weights}
    if not still:
        return None
    count, whole = sum(int(np.prod(variable.shape)) for variable in still.values()), count_parameters(model)
    return (
        f"{count:,} of {whole:,} weights are frozen (trainable is False) and do not make up in training for "
        "what a step takes: model.trainable = True, set before, lets all of it learn"
    )


def check_answers(model: Any, job: Job) -> None:
    """Let the model answer two examples.

    Raises:
        ModelError: It cannot, as a convolution with channels first on a CPU.
    """
    x = job.splits.validation.x
    few = {name: np.asarray(values)[:2] for name, values in x.items()} if isinstance(x, dict) else np.asarray(x)[:2]
    try:
        predict(model, few)
    except Exception as error:
        raise ModelError(
            f"the model '{model.name}' cannot answer the data",
            why=reason_of(error)[:400],
            hint="try model.predict on an example; on a CPU, convolutions need data_format = 'channels_last'",
        ) from error


def check_outputs(model: Any, job: Job) -> None:
    """Hold the model's shapes and types against the data's.

    Raises:
        ModelError: Inputs or outputs do not fit.
        DataError: An input of integers gets other numbers.
    """
    given = _inputs_in_order(model, job.splits.train.x)
    for tensor, values in zip(model.inputs, given, strict=True):
        expected, found = tuple(tensor.shape[1:]), np.asarray(values).shape[1:]
        if len(expected) != len(found) or any(
            size is not None and size != real for size, real in zip(expected, found, strict=False)
        ):
            raise ModelError(
                f"the model takes inputs of shape {expected}, the data has {found}",
                where=f"input '{tensor.name}'",
            )
        check_whole_numbers(tensor, np.asarray(values))
    if len(model.outputs) != 1:
        return
    outputs = int(model.outputs[0].shape[-1])
    labels = job.splits.labels
    if job.task in ("classification", "ordinal"):
        classes = max(len(labels), int(np.max(np.asarray(job.splits.train.y))) + 1)
        numbers = np.asarray(job.splits.train.y)
        if (numbers.ndim == 1 or numbers.dtype == np.int64) and classes > outputs:
            raise ModelError(
                f"the model has {outputs} outputs, the data {classes} classes",
                hint="give the last layer one unit per class",
            )


def check_whole_numbers(tensor: Any, values: np.ndarray) -> None:
    """Hold an input of integers against the data: Keras cuts other numbers off without a word.

    Raises:
        DataError: There are other numbers; names the first.
    """
    if "int" not in str(tensor.dtype) or values.dtype.kind != "f":
        return
    limits = np.iinfo(tensor.dtype)
    with np.errstate(invalid="ignore"):
        wrong = ~((np.trunc(values) == values) & (values >= limits.min) & (values <= limits.max))
    if wrong.any():
        place = tuple(int(index[0]) for index in np.nonzero(wrong))
        raise DataError(
            f"the model takes {tensor.dtype}, the data has {values[place]:g}",
            where=f"input '{tensor.name}', row {place[0]:,}",
            why=f"{np.count_nonzero(wrong):,} of {values.size:,} numbers are not of this type",
            hint="give the data as the model was trained on: if they are scaled, as before that",
        )


def _inputs_in_order(model: Any, x: Any) -> list[Any]:
    """The data's inputs in the model's order: by name where there are several.

    Raises:
        ModelError: Their number or their names are not the model's.
    """
    given = list(x.values()) if isinstance(x, dict) else [x]
    names = input_names(model)
    if len(given) != len(names):
        raise ModelError(
            f"the model has {len(names)} inputs, the data {len(given)}",
            where=f"model '{model.name}'",
            why=f"it takes {', '.join(names)}",
            hint=f"give each an array of its own by its name: x_train.{names[0]}" if len(names) > 1 else None,
        )
    if len(names) == 1:
        return given
    if set(x) != set(names):
        raise ModelError(
            "the data does not name the model's inputs",
            where=f"model '{model.name}'",
            why=f"the data has {', '.join(x)}; the model takes {', '.join(names)}",
        )
    return [x[name] for name in names]
