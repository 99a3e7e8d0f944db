"""From the settings' losses to comparisons of this very student with this very teacher."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from penjing.compression.distillation.distiller import Term
from penjing.compression.distillation.feature_losses import AttentionLoss, HintLoss, RelationLoss
from penjing.compression.distillation.layers import fitting_layers, paired_layers
from penjing.compression.distillation.output_losses import DecoupledLoss, OutputLoss
from penjing.compression.distillation.taps import Feature, probe
from penjing.compression.distillation.teachers import Teacher
from penjing.compression.losses import output_kind
from penjing.compression.settings.distillation import (
    AttentionLossSettings,
    DecoupledLossSettings,
    DistillSettings,
    HintLossSettings,
    OutputLossSettings,
    RelationLossSettings,
)
from penjing.contract import Task
from penjing.errors import ModelError, RecipeError


def check_losses(task: Task, settings: DistillSettings, student: keras.Model) -> None:
    """Refuse what is wrong whoever teaches.

    Raises:
        ModelError: A pattern fits no layer of the student, or its outputs cannot be ranked.
        RecipeError: A loss does not fit the task.
    """
    kind = output_kind(student)
    if task == "ranking" and int(student.outputs[0].shape[-1]) < 2:
        raise ModelError(
            "ranking needs the scores of several candidates per example",
            where=f"output '{student.outputs[0].name}' of shape {tuple(student.outputs[0].shape)}",
            why="a single score has nothing to be ranked against",
            hint="let the model score the candidates of an example together",
        )
    for loss in settings.losses:
        if isinstance(loss, OutputLossSettings):
            OutputLoss(task, loss, settings.temperature, kind, kind)
        elif isinstance(loss, DecoupledLossSettings):
            DecoupledLoss(task, loss, settings.temperature, kind, kind)
        else:
            for pattern, _ in loss.layers:
                fitting_layers(pattern, probe(student), "student")


def make_terms(task: Task, settings: DistillSettings, teacher: Teacher, student: keras.Model) -> list[Term]:
    """The comparisons that the settings ask for, layers found.

    Raises:
        ModelError: Layers do not exist or do not fit each other.
        RecipeError: A loss does not fit the task or the teacher.
    """
    kinds = {"teacher_kind": teacher.kind, "student_kind": output_kind(student)}
    terms: list[Term] = []
    ours: Mapping[str, Feature] = {}
    theirs: Mapping[str, Feature] = {}
    for loss in settings.losses:
        if isinstance(loss, OutputLossSettings):
            made = OutputLoss(task, loss, settings.temperature, **kinds)
            terms.append(Term(name=loss.kind, weight=loss.weight, loss=made))
            continue
        if isinstance(loss, DecoupledLossSettings):
            decoupled = DecoupledLoss(task, loss, settings.temperature, **kinds)
            terms.append(Term(name=loss.kind, weight=loss.weight, loss=decoupled))
            continue
        if teacher.model is None:
            raise RecipeError(
                f"{teacher.name} has no layers, so it cannot teach {loss.kind}",
                where="setting 'losses'",
                hint='an estimator teaches kind = "outputs" and kind = "decoupled"',
            )
        ours, theirs = ours or probe(student), theirs or probe(teacher.model)
        pairs = paired_layers(loss.kind, loss.layers, ours, theirs)
        for first, second in pairs:
            terms.append(
                Term(
                    name=f"{loss.kind} {first.path}" if len(pairs) > 1 else loss.kind,
                    weight=loss.weight,
                    loss=_feature_loss(loss, first, second),
                    student_layer=first.path,
                    teacher_layer=second.path,
                )
            )
    return terms


def _feature_loss(
    settings: HintLossSettings | AttentionLossSettings | RelationLossSettings, ours: Feature, theirs: Feature
) -> HintLoss | AttentionLoss | RelationLoss:
    if isinstance(settings, HintLossSettings):
        return HintLoss(ours.shape[-1], theirs.shape[-1])
    if isinstance(settings, AttentionLossSettings):
        return AttentionLoss()
    return RelationLoss(settings)
