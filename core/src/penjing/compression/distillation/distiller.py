"""The model that is really fitted: a student beside its teacher's signals.

Keras's own `keras.distillation.Distiller` was the first choice, but it ignores sample weights (and with them class
weights) and regularization losses, runs the student twice where layers are compared, sees no layers of nested models,
and marks the caller's teacher as not trainable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from penjing.compression.distillation.feature_losses import HintLoss
from penjing.compression.distillation.taps import Taps
from penjing.compression.losses import Loss


class TeacherLoss(Protocol):
    """One of the losses of `output_losses` and `feature_losses`."""

    def keep(self, teacher: Any) -> Any:
        """What of the teacher's tensor is needed, shape (batch, ...)."""

    def compare(self, teacher: Any, student: Any, targets: Any) -> Any:
        """Loss of each example, shape (batch,), from what `keep` kept and the student's tensor."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """One comparison of student and teacher."""

    name: str
    """Unique: 'outputs', 'hints block2_relu'."""
    weight: float
    loss: TeacherLoss
    student_layer: str | None = None
    """A path; None for the model's outputs."""
    teacher_layer: str | None = None


class TeacherSignals(keras.Model):
    """What the terms need of the teacher, by term. The teacher's variables are none of this model's."""

    def __init__(self, teacher: keras.Model, terms: Sequence[Term]) -> None:
        super().__init__(name="teacher_signals")
        self.terms = tuple(terms)
        taps = Taps(teacher, sorted({term.teacher_layer for term in terms if term.teacher_layer is not None}))

        def signals(inputs: Any) -> dict[str, Any]:
            outputs, features = taps(inputs, training=False)
            return {
                term.name: ops.stop_gradient(
                    term.loss.keep(outputs if term.teacher_layer is None else features[term.teacher_layer])
                )
                for term in terms
            }

        # A closure: Keras would track a teacher that is an attribute, and the optimizer and checkpoints would see it.
        self._signals = signals
        self.built = True

    def call(self, inputs: Any) -> dict[str, Any]:
        """Arrays of shape (batch, ...) by the terms' names."""
        return self._signals(inputs)


class Distiller(keras.Model):
    """Trains a student on labels and teacher:

    (1 - weight) * loss(targets, student) + weight * sum of the terms + regularization losses of the student.

    The teacher runs beside the student, unless its signals come with the targets: y is then {"targets": ...,
    "teacher": {term: signal}}.
    """

    def __init__(
        self,
        student: keras.Model,
        student_loss: Loss,
        terms: Sequence[Term],
        weight: float,
        teacher: Callable[[Any], Mapping[str, Any]] | None,
    ) -> None:
        super().__init__(name="distiller")
        self.student = student
        self.projections = [
            term.loss.projection
            for term in terms
            if isinstance(term.loss, HintLoss) and term.loss.projection is not None
        ]
        self.trackers = [keras.metrics.Mean(name=name) for name in ("labels", *(term.name for term in terms))]
        taps = Taps(student, sorted({term.student_layer for term in terms if term.student_layer is not None}))
        # Closures, for the same reason as above.
        self._run = lambda inputs, training: taps(inputs, training=training)
        self._teacher = (lambda inputs: teacher(inputs)) if teacher is not None else None
        self._terms = tuple(terms)
        self._weight = weight
        self._student_loss = student_loss
        self.built = True

    def compile(self, optimizer: Any, loss: Any = None, **options: Any) -> None:
        """As `keras.Model.compile`; the loss of the labels is the constructor's."""
        super().compile(optimizer=optimizer, loss=None, **options)

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """The student's outputs under "outputs", its layers' under "features"."""
        outputs, features = self._run(inputs, training)
        return {"outputs": outputs, "features": features}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """A scalar."""
        if isinstance(y, dict):
            targets, signals = y["targets"], y["teacher"]
            # Keras gives every target a copy of the one array of weights.
            sample_weight = sample_weight["targets"] if isinstance(sample_weight, dict) else sample_weight
        else:
            targets = y
            assert self._teacher is not None
            signals = self._teacher(x)
        labels = _weighted_loss(self._student_loss, targets, y_pred["outputs"], sample_weight)
        parts = [labels]
        total = (1.0 - self._weight) * labels
        for term in self._terms:
            student = y_pred["outputs"] if term.student_layer is None else y_pred["features"][term.student_layer]
            value = _weighted_mean(term.loss.compare(signals[term.name], student, targets), sample_weight)
            parts.append(value)
            total += self._weight * term.weight * value
        for tracker, value in zip(self.trackers, parts, strict=True):
            tracker.update_state(value)
        for penalty in self.losses:
            total += ops.cast(penalty, total.dtype)
        return total


def _weighted_loss(loss: Loss, targets: Any, outputs: Any, weights: Any) -> Any:
    if isinstance(loss, keras.losses.Loss):
        return loss(targets, outputs, sample_weight=weights)
    return _weighted_mean(loss(targets, outputs), weights)


def _weighted_mean(values: Any, weights: Any) -> Any:
    """As Keras reduces: the sum over the number of examples, not over the sum of the weights."""
    if weights is None:
        return ops.mean(values)
    weights = ops.reshape(ops.cast(weights, values.dtype), (-1, *(1 for _ in values.shape[1:])))
    return ops.mean(values * weights)


def signal_arrays(signals: TeacherSignals, x: Any, batch_size: int = 256) -> dict[str, np.ndarray]:
    """The teacher's signals for all examples, float32 of shape (n, ...) by term."""
    made = signals.predict(x, batch_size=batch_size, verbose=0)
    return {name: np.asarray(values, np.float32) for name, values in made.items()}
