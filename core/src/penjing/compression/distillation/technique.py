"""The technique `distill`: the small model learns from a teacher, on top of the labels.

The loss of an example is

    (1 - weight) * loss(targets, student) + weight * sum over the teacher's losses of weight_k * loss_k

with the losses of `output_losses` (Hinton et al. 2015 and its kin) and `feature_losses` (hints, attention, relations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from penjing.bundle.atomic import write_bytes_atomically
from penjing.compression import checkpoint
from penjing.compression.determinism import fingerprint, seed_everything
from penjing.compression.distillation.distiller import Distiller, TeacherSignals, signal_arrays
from penjing.compression.distillation.narrow import narrowed, width_changes
from penjing.compression.distillation.teachers import Teacher, find_teacher
from penjing.compression.distillation.terms import check_losses, make_terms
from penjing.compression.losses import Loss
from penjing.compression.model_tree import count_parameters, walk_layers
from penjing.compression.settings.distillation import DistillSettings
from penjing.contract import LayerChange, StepContext, StepOutcome
from penjing.errors import RecipeError

SIGNAL_BYTES = 256 * 2**20
"""Signals of the teacher up to this size an epoch are computed once and kept; larger ones with every batch."""


def apply(context: StepContext, settings: DistillSettings) -> StepOutcome:
    """Train the student against labels and teacher."""
    layers: tuple[LayerChange, ...] = ()
    student = context.model
    if settings.student == "width":
        _check_no_promises(context)
        original = context.reference() if context.reference is not None else context.model
        seed_everything(context.seed, "width")
        student = narrowed(original, settings.width_multiplier)
        layers = tuple(width_changes(original, student))
    # A teacher can take hours to train: first what can be known to be wrong without it.
    check_losses(context.task, settings, student)
    teacher = find_teacher(context, settings)
    before = context.evaluate(context.model)
    # Projections are drawn here: alike whether the teacher was trained just now or long ago.
    seed_everything(context.seed, "projections")
    terms = make_terms(context.task, settings, teacher, student)
    signals = None
    beside = None
    if teacher.model is None:
        assert teacher.outputs is not None
        signals = {term.name: teacher.outputs for term in terms}
    else:
        asked = TeacherSignals(teacher.model, terms)
        fixed = not (context.augmented and settings.augment)
        if fixed and _signal_bytes(asked, context, settings) <= SIGNAL_BYTES:
            signals = _kept_signals(context.folder / "teacher-signals.npz", asked, context.train.x, teacher.key)
        else:
            beside = asked

    def wrap(model: keras.Model, loss: Loss) -> tuple[keras.Model, Loss]:
        return Distiller(model, loss, terms, settings.weight, beside), loss

    history = context.fit(student, settings, wrap=wrap, label=teacher.key, signals=signals)
    for name in ("teacher-signals.npz", "soft-labels.npz"):
        (context.folder / name).unlink(missing_ok=True)
    after = context.evaluate(student)
    return StepOutcome(
        model=student,
        summary=_summary(context, settings, teacher, before, after),
        layers=layers,
        history={name: history[name] for name in ("loss", "validation") if name in history},
        figures={
            **({"teacher_parameters": float(teacher.parameters)} if teacher.model is not None else {}),
            "teacher_validation": teacher.validation,
            "student_parameters": float(count_parameters(student)),
            "validation_before": before,
            "validation_after": after,
            **_first_and_last(history),
        },
    )


def _check_no_promises(context: StepContext) -> None:
    if context.invariants:
        raise RecipeError(
            "a narrower copy cannot keep the promises of earlier steps",
            where="setting 'student'",
            why="; ".join(invariant.summary for invariant in context.invariants)
            + ": this is about layers that the copy does not have",
            hint='move this step to the front, or use student = "model"',
        )


def _signal_bytes(signals: TeacherSignals, context: StepContext, settings: DistillSettings) -> int:
    """Size of the signals of an epoch, known from two examples."""
    few = signal_arrays(signals, _rows(context.train.x, slice(0, 2)))
    passes = -(-settings.min_updates * settings.batch_size // (settings.epochs * max(1, len(context.train))))
    return sum(values[0].nbytes for values in few.values()) * len(context.train) * max(1, passes)


def _rows(x: Any, rows: slice) -> Any:
    return (
        {name: np.asarray(values)[rows] for name, values in x.items()} if isinstance(x, dict) else np.asarray(x)[rows]
    )


def _kept_signals(path: Path, signals: TeacherSignals, x: Any, key: str) -> dict[str, np.ndarray]:
    """Signals of the whole training part; from the step's folder where this very step has computed them before."""
    names = [term.name for term in signals.terms]
    key = fingerprint([key, *names, *(str(term.teacher_layer) for term in signals.terms)])
    if path.is_file():
        arrays = checkpoint.read_arrays(path)
        if str(arrays.pop("key")) == key:
            return {name: arrays[f"signal-{number}"] for number, name in enumerate(names)}
    made = signal_arrays(signals, x)
    packed = {f"signal-{number}": made[name] for number, name in enumerate(names)}
    write_bytes_atomically(path, checkpoint.pack_arrays({**packed, "key": np.array(key)}))
    return made


def _summary(context: StepContext, settings: DistillSettings, teacher: Teacher, before: float, after: float) -> str:
    name = context.metric.name
    text = (
        f"{settings.epochs} epochs from {teacher.name} (validation {name} {teacher.validation:.4f}): "
        f"{before:.4f} -> {after:.4f}"
    )
    if settings.student == "width":
        text += f", a copy of {settings.width_multiplier:g} times the width"
    sign = 1 if context.metric.direction == "higher" else -1
    if sign * teacher.validation < sign * before:
        text += "; WARNING: the teacher is worse than the student was before"
    return text


def _first_and_last(history: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """What became of each part of the loss: its mean over the first epoch and over the last."""
    figures = {}
    for name, values in history.items():
        if name not in ("loss", "validation"):
            figures[f"loss_{name.replace(' ', '_')}_first"] = values[0]
            figures[f"loss_{name.replace(' ', '_')}_last"] = values[-1]
    return figures


def explain(model: keras.Model, settings: DistillSettings) -> list[LayerChange]:
    """Every trainable layer learns; none changes its shape, but in a narrower copy."""
    if settings.student == "width":
        return list(width_changes(model, narrowed(model, settings.width_multiplier)))
    return [
        LayerChange(layer=path, change="trained against labels and teacher; same shape")
        for path, layer in walk_layers(model)
        if layer.trainable_variables
    ]


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"temperature": [2.0, 4.0, 8.0], "weight": [0.5, 0.7, 0.9]}
