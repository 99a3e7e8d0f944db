"""The technique `distill`: the small model learns from a bigger one's outputs, on top of the labels.

Source: Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network". The loss of an example is

    (1 - weight) * loss(targets, student) + weight * T^2 * KL(softmax(teacher / T) || softmax(student / T))

for classes; for a regression the second term is the mean squared difference of the two outputs.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from penjing.compression.losses import (
    BINARY_TASKS,
    CATEGORICAL_TASKS,
    Loss,
    OutputKind,
    as_logits,
    output_kind,
)
from penjing.compression.settings.distillation import DistillSettings
from penjing.contract import LayerChange, StepContext, StepOutcome, Task


class TeacherLoss(keras.distillation.DistillationLoss):
    """The teacher's part of the loss, for models that emit probabilities or logits alike."""

    def __init__(self, task: Task, temperature: float, teacher_kind: OutputKind, student_kind: OutputKind) -> None:
        self.task = task
        self.temperature = temperature
        self.teacher_kind = teacher_kind
        self.student_kind = student_kind

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **_: Any) -> Any:
        """A scalar, for outputs of shape (batch, ...)."""
        if self.task in CATEGORICAL_TASKS:
            teacher = as_logits(teacher_outputs, self.teacher_kind) / self.temperature
            student = as_logits(student_outputs, self.student_kind) / self.temperature
            teacher_log = ops.log_softmax(teacher, axis=-1)
            difference = teacher_log - ops.log_softmax(student, axis=-1)
            divergence = ops.sum(ops.exp(teacher_log) * difference, axis=-1)
            return self.temperature**2 * ops.mean(divergence)
        if self.task in BINARY_TASKS:
            teacher = as_logits(teacher_outputs, self.teacher_kind) / self.temperature
            student = as_logits(student_outputs, self.student_kind) / self.temperature
            soft = ops.sigmoid(teacher)
            cross_entropy = ops.softplus(student) - soft * student
            entropy = ops.softplus(teacher) - soft * teacher
            return self.temperature**2 * ops.mean(cross_entropy - entropy)
        return ops.mean(ops.square(teacher_outputs - student_outputs))


def apply(context: StepContext, settings: DistillSettings) -> StepOutcome:
    """Train the model against labels and teacher."""
    teacher = context.teacher(settings.teacher)
    teacher_value = context.evaluate(teacher)
    before = context.evaluate(context.model)
    loss = TeacherLoss(context.task, settings.temperature, output_kind(teacher), output_kind(context.model))

    def wrap(student: keras.Model, student_loss: Loss) -> tuple[keras.Model, Loss]:
        distiller = keras.distillation.Distiller(
            teacher=teacher,
            student=student,
            distillation_losses=loss,
            student_loss_weight=1.0 - settings.weight,
        )
        return distiller, student_loss

    history = context.fit(context.model, settings, wrap=wrap)
    after = context.evaluate(context.model)
    name = context.metric.name
    return StepOutcome(
        model=context.model,
        summary=(
            f"{settings.epochs} epochs from a teacher of {teacher.count_params():,} parameters "
            f"(validation {name} {teacher_value:.4f}): {before:.4f} -> {after:.4f}"
        ),
        history=history,
        figures={
            "teacher_parameters": float(teacher.count_params()),
            "teacher_validation": teacher_value,
            "validation_before": before,
            "validation_after": after,
        },
    )


def explain(model: keras.Model, settings: DistillSettings) -> list[LayerChange]:
    """Every trainable layer learns; none changes its shape."""
    from penjing.compression.model_tree import walk_layers

    return [
        LayerChange(layer=path, change="trained against labels and teacher; same shape")
        for path, layer in walk_layers(model)
        if layer.trainable_variables
    ]


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"temperature": [2.0, 4.0, 8.0], "weight": [0.5, 0.7, 0.9]}
