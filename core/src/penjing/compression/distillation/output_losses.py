"""What the student's outputs should have of the teacher's: softened classes, values, scores of candidates.

Every loss gives one value per example, so that sample weights and class weights act on the teacher's part as they do on
the labels'.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from penjing.compression.losses import BINARY_TASKS, CATEGORICAL_TASKS, OutputKind, as_logits
from penjing.compression.settings.distillation import DecoupledLossSettings, OutputLossSettings
from penjing.contract import Task
from penjing.errors import RecipeError

EPSILON = 1e-7


class OutputLoss:
    """The distance of two outputs, by the task.

    - classification, ordinal, listwise ranking: T^2 * KL(softmax(teacher / T) || softmax(student / T)), Hinton, Vinyals
      and Dean 2015, "Distilling the knowledge in a neural network"; over the scores of candidates it is the top-one
      loss of ListNet (Cao et al. 2007).
    - binary, multilabel: the same for each output's Bernoulli distribution, mean over the outputs.
    - pairwise ranking: the same for the probability that one candidate goes before the other, sigmoid of the
      difference of their scores (RankNet, Burges et al. 2005), mean over the pairs.
    - regression, forecast: squared difference or Huber's, mean over the outputs.
    """

    def __init__(
        self,
        task: Task,
        settings: OutputLossSettings,
        temperature: float,
        teacher_kind: OutputKind,
        student_kind: OutputKind,
    ) -> None:
        self.task = task
        self.settings = settings
        self.temperature = settings.temperature or temperature
        self.teacher_kind = teacher_kind
        self.student_kind = student_kind
        if task != "ranking" and (settings.comparison != "listwise" or settings.candidates is not None):
            raise RecipeError(
                f"'comparison' and 'candidates' do not fit a task of kind '{task}'",
                where="setting 'losses', kind 'outputs'",
                why="they compare the scores of the candidates of a ranking",
                hint="leave both out",
            )

    def keep(self, teacher: Any) -> Any:
        """All of the teacher's outputs, shape (batch, ...)."""
        return teacher

    def compare(self, teacher: Any, student: Any, targets: Any) -> Any:
        """Shape (batch,), for outputs of shape (batch, ...)."""
        if self.task not in CATEGORICAL_TASKS and self.task not in BINARY_TASKS:
            return _mean_per_example(self._distance(student - teacher))
        teacher = as_logits(teacher, self.teacher_kind)
        student = as_logits(student, self.student_kind)
        if self.task == "ranking" and self.settings.candidates is not None:
            # What the teacher ranks low says little and is most of the list (Tang and Wang 2018,
            # "Ranking distillation").
            count = min(self.settings.candidates, int(teacher.shape[-1]))
            teacher, chosen = ops.top_k(teacher, count)
            student = ops.take_along_axis(student, chosen, axis=-1)
        teacher, student = teacher / self.temperature, student / self.temperature
        if self.task in BINARY_TASKS:
            divergence = bernoulli_divergence(teacher, student)
        elif self.task == "ranking" and self.settings.comparison == "pairwise":
            pairs = bernoulli_divergence(
                ops.expand_dims(teacher, -1) - ops.expand_dims(teacher, -2),
                ops.expand_dims(student, -1) - ops.expand_dims(student, -2),
            )
            # A candidate is never before itself: the diagonal is 0 and does not count.
            count = int(teacher.shape[-1])
            divergence = ops.sum(pairs, axis=(-2, -1)) / (count * (count - 1))
        else:
            divergence = softmax_divergence(teacher, student)
        return self.temperature**2 * _mean_per_example(divergence)

    def _distance(self, difference: Any) -> Any:
        if self.settings.distance == "squared":
            return ops.square(difference)
        size, delta = ops.abs(difference), self.settings.delta
        return ops.where(size <= delta, 0.5 * ops.square(difference), delta * (size - 0.5 * delta))


class DecoupledLoss:
    """The divergence of the outputs in two parts of free weights: the target class against the rest, and the other
    classes among themselves.

    T^2 * (alpha * KL(b_teacher || b_student) + beta * KL(q_teacher || q_student)), b the pair (target, not target), q
    the distribution over the other classes. Zhao et al. 2022, "Decoupled knowledge distillation".
    """

    def __init__(
        self,
        task: Task,
        settings: DecoupledLossSettings,
        temperature: float,
        teacher_kind: OutputKind,
        student_kind: OutputKind,
    ) -> None:
        if task not in ("classification", "ordinal"):
            raise RecipeError(
                f"the loss 'decoupled' does not fit a task of kind '{task}'",
                where="setting 'losses'",
                why="it tells the target class from the others, so an example must have one class",
                hint='use kind = "outputs"',
            )
        self.settings = settings
        self.temperature = settings.temperature or temperature
        self.teacher_kind = teacher_kind
        self.student_kind = student_kind

    def keep(self, teacher: Any) -> Any:
        """All of the teacher's outputs, shape (batch, classes)."""
        return teacher

    def compare(self, teacher: Any, student: Any, targets: Any) -> Any:
        """Shape (batch,); targets are rows of shape (batch, classes) whose largest entry is the target class."""
        teacher = as_logits(teacher, self.teacher_kind) / self.temperature
        student = as_logits(student, self.student_kind) / self.temperature
        is_target = ops.one_hot(ops.argmax(targets, axis=-1), int(teacher.shape[-1]), dtype=teacher.dtype)
        first = ops.sum(ops.softmax(teacher, axis=-1) * is_target, axis=-1)
        second = ops.sum(ops.softmax(student, axis=-1) * is_target, axis=-1)
        first = ops.clip(first, EPSILON, 1 - EPSILON)
        second = ops.clip(second, EPSILON, 1 - EPSILON)
        target_part = first * ops.log(first / second) + (1 - first) * ops.log((1 - first) / (1 - second))
        others_part = softmax_divergence(teacher - 1e4 * is_target, student - 1e4 * is_target)
        parts = self.settings.alpha * target_part + self.settings.beta * others_part
        return self.temperature**2 * _mean_per_example(parts)


def softmax_divergence(teacher: Any, student: Any) -> Any:
    """KL(softmax(teacher) || softmax(student)) over the last axis, which goes away."""
    teacher_log = ops.log_softmax(teacher, axis=-1)
    difference = teacher_log - ops.log_softmax(student, axis=-1)
    return ops.sum(ops.exp(teacher_log) * difference, axis=-1)


def bernoulli_divergence(teacher: Any, student: Any) -> Any:
    """KL of the Bernoulli distributions sigmoid(teacher) and sigmoid(student), element by element."""
    probability = ops.sigmoid(teacher)
    cross_entropy = ops.softplus(student) - probability * student
    entropy = ops.softplus(teacher) - probability * teacher
    return cross_entropy - entropy


def _mean_per_example(values: Any) -> Any:
    axes = tuple(range(1, len(values.shape)))
    return ops.mean(values, axis=axes) if axes else values
