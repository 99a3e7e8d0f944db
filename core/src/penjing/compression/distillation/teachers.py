"""Who teaches: the domain's teacher, a given model, the reference, several seeds of one, or an estimator."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.distillation.out_of_fold import soft_labels
from penjing.compression.losses import CATEGORICAL_TASKS, OutputKind, output_kind
from penjing.compression.plan import PlannedStep
from penjing.compression.settings.distillation import DistillSettings
from penjing.compression.settings.training import TrainingSettings
from penjing.compression.workbench import Workbench
from penjing.contract import StepContext, Task
from penjing.errors import ModelError, RecipeError, UsageError


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A teacher that is ready: a Keras model, or soft labels of the training part."""

    name: str
    """In words, for the summary: 'a teacher of 12,345 parameters'."""
    kind: OutputKind
    """What its outputs are."""
    validation: float
    """The primary metric on the validation part."""
    key: str
    """Hash of what it knows: of weights or soft labels."""
    model: keras.Model | None = None
    outputs: np.ndarray | None = None
    """Soft labels, float32 of shape (n, ...) in the training part's order; where there is no model."""
    parameters: int = 0


def find_teacher(context: StepContext, step: DistillSettings) -> Teacher:
    """The teacher that the settings ask for, trained.

    Raises:
        UsageError: There is none.
        ModelError: The teacher does not fit the student.
        RecipeError: An estimator is asked about augmented inputs.
    """
    settings = step.teacher
    if settings.source == "estimator":
        return _estimator(context, step)
    if settings.source == "reference":
        if context.reference is None:
            raise UsageError(
                "there is no reference to distil from",
                why="whoever runs this step does not hand one out",
                hint='leave source = "reference" out',
            )
        model = context.reference()
        return _model(context, model, output_kind(model), f"the reference of {model.count_params():,} parameters")
    training = TrainingSettings(**{name: getattr(settings, name) for name in TrainingSettings.model_fields})
    first = context.teacher(training, augment_options=settings.augment_options)
    if not isinstance(first, keras.Model):
        return _estimator(context, step, first)
    if settings.members == 1:
        return _model(context, first, output_kind(first), f"a teacher of {first.count_params():,} parameters")
    others = range(1, settings.members)
    members = [first, *(context.teacher(training, member=n, augment_options=settings.augment_options) for n in others)]
    together, kind = mean_of_outputs(members, context.task)
    name = f"{settings.members} teachers of {first.count_params():,} parameters each"
    return _model(context, together, kind, name)


def check_augment_options(steps: Sequence[PlannedStep], bench: Workbench) -> None:
    """Draw an epoch with each teacher's own options of the augmentation, which only the domain can tell to be right.

    Raises:
        RecipeError: The domain refuses an option; `where` names the step.
        UsageError: There is no augmentation.
    """
    tried: list[Mapping[str, Any]] = []
    for step in steps:
        options = step.settings.teacher.augment_options if isinstance(step.settings, DistillSettings) else {}
        augment = bench.augmentation(options) if options and options not in tried else None
        if augment is None:
            continue
        tried.append(options)
        try:
            augment(0, bench.seed)
        except RecipeError as error:
            raise error.within(f"step {step.number}, setting 'teacher.augment_options'") from error


def mean_of_outputs(models: list[keras.Model], task: Task) -> tuple[keras.Model, OutputKind]:
    """A model that gives the mean of the outputs of several: of the probabilities where they are classes, since logits
    of different models have no common zero.

    Returns:
        The model, and what its outputs are.
    """
    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name),
        models[0].inputs[0] if isinstance(models[0], keras.Sequential) else models[0].input,
    )
    kind = output_kind(models[0])
    outputs = []
    for number, model in enumerate(models):
        # Called as they are, several models of one name would be refused.
        member = keras.Model(model.inputs, model.outputs[0], name=f"member_{number}")
        output = member(keras.tree.flatten(inputs))
        if task in CATEGORICAL_TASKS and kind == "linear":
            output = keras.layers.Softmax(name=f"softmax_{number}")(output)
        outputs.append(output)
    if task in CATEGORICAL_TASKS and kind == "linear":
        kind = "softmax"
    return keras.Model(inputs, keras.layers.Average(name="mean")(outputs), name="teachers"), kind


def _model(context: StepContext, model: keras.Model, kind: OutputKind, name: str) -> Teacher:
    student = context.model
    for what, ours, theirs in (("inputs", student.inputs, model.inputs), ("outputs", student.outputs, model.outputs)):
        shapes = [tuple(tensor.shape[1:]) for tensor in ours], [tuple(tensor.shape[1:]) for tensor in theirs]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"the teacher's {what} do not fit the student's",
                where=f"teacher '{model.name}'",
                why=f"shapes without the batch: student {shapes[0]}, teacher {shapes[1]}",
                hint="a teacher must take the same inputs and give the same outputs",
            )
    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    return Teacher(
        name=name,
        kind=kind,
        validation=context.evaluate(model),
        key=digest.hexdigest(),
        model=model,
        parameters=model.count_params(),
    )


def _estimator(context: StepContext, step: DistillSettings, given: Any = None) -> Teacher:
    if context.augmented and step.augment:
        raise RecipeError(
            "an estimator cannot teach on augmented inputs",
            where="setting 'augment'",
            why="it labels each training example once, out of fold; for an augmented example nobody knows the fold",
            hint="set augment = false in this step",
        )
    labels = soft_labels(context, step.teacher, given)
    return Teacher(
        name=labels.name,
        kind=labels.kind,
        validation=labels.validation,
        key=hashlib.sha256(np.ascontiguousarray(labels.outputs).tobytes()).hexdigest(),
        outputs=labels.outputs,
    )
