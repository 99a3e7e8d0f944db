"""The teacher's losses are the papers' formulas: held against sums written out in numpy, and what they ignore."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from penjing.compression.distillation.distiller import Distiller, Term
from penjing.compression.distillation.feature_losses import AttentionLoss, HintLoss, RelationLoss
from penjing.compression.distillation.output_losses import DecoupledLoss, OutputLoss
from penjing.compression.settings.distillation import (
    DecoupledLossSettings,
    OutputLossSettings,
    RelationLossSettings,
)
from penjing.errors import RecipeError


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, shape).astype("float32")


def divergence(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """KL of two softmaxes over the last axis, from logits, in double precision."""
    first, second = log_softmax(teacher.astype(float), -1), log_softmax(student.astype(float), -1)
    return (np.exp(first) * (first - second)).sum(-1)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(float)))


def bernoulli(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    p, q = sigmoid(teacher), sigmoid(student)
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def outputs_loss(task, temperature=1.0, teacher_kind="linear", student_kind="linear", **options) -> OutputLoss:
    return OutputLoss(task, OutputLossSettings(**options), temperature, teacher_kind, student_kind)


def value(loss, teacher: np.ndarray, student: np.ndarray, targets=None) -> np.ndarray:
    result = np.asarray(loss.compare(loss.keep(keras.ops.convert_to_tensor(teacher)), student, targets))
    assert result.shape == (len(teacher),)
    return result


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(0.5, 8))
def test_classes_are_compared_by_the_divergence_of_softened_softmaxes(seed: int, temperature: float) -> None:
    teacher, student = drawn(seed, 6, 5), drawn(seed + 1, 6, 5)
    found = value(outputs_loss("classification", temperature), teacher, student)
    expected = temperature**2 * divergence(teacher / temperature, student / temperature)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_probabilities_and_logits_give_the_same(seed: int) -> None:
    teacher, student = drawn(seed, 6, 5), drawn(seed + 1, 6, 5)
    soft = [softmax(values, -1) for values in (teacher, student)]
    found = value(outputs_loss("classification", 3.0, "softmax", "softmax"), *soft)
    assert found == pytest.approx(value(outputs_loss("classification", 3.0), teacher, student), rel=1e-2, abs=1e-3)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(["binary", "multilabel"]))
def test_independent_labels_are_compared_one_by_one(seed: int, task: str) -> None:
    columns = 1 if task == "binary" else 4
    teacher, student = drawn(seed, 6, columns), drawn(seed + 1, 6, columns)
    expected = 4.0 * bernoulli(teacher / 2, student / 2).mean(axis=1)
    assert value(outputs_loss(task, 2.0), teacher, student) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_values_are_compared_by_their_distance() -> None:
    teacher, student = np.zeros((2, 3), "float32"), np.array([[0.5, 0, 0], [3, 0, 0]], "float32")
    assert value(outputs_loss("regression"), teacher, student) == pytest.approx([0.25 / 3, 3.0])
    # Huber: half the square up to delta, then delta * (size - delta / 2).
    found = value(outputs_loss("forecast", distance="huber", delta=1.0), teacher, student)
    assert found == pytest.approx([0.125 / 3, 2.5 / 3])


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_a_ranking_is_compared_as_a_list_or_pair_by_pair(seed: int) -> None:
    teacher, student = drawn(seed, 4, 6), drawn(seed + 1, 4, 6)
    listwise = value(outputs_loss("ranking", 2.0), teacher, student)
    assert listwise == pytest.approx(4 * divergence(teacher / 2, student / 2), rel=1e-3, abs=1e-4)
    expected = [
        np.mean([bernoulli((t[a] - t[b]) / 2, (s[a] - s[b]) / 2) for a, b in itertools.permutations(range(6), 2)])
        for t, s in zip(teacher, student, strict=True)
    ]
    pairwise = value(outputs_loss("ranking", 2.0, comparison="pairwise"), teacher, student)
    assert pairwise == pytest.approx(4 * np.array(expected), rel=1e-3, abs=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(["listwise", "pairwise"]))
def test_only_the_teachers_best_candidates_count_when_asked(seed: int, comparison: str) -> None:
    teacher, student = drawn(seed, 4, 9), drawn(seed + 1, 4, 9)
    best = np.argsort(-teacher, axis=1)[:, :3]
    few = [np.take_along_axis(values, best, 1) for values in (teacher, student)]
    found = value(outputs_loss("ranking", comparison=comparison, candidates=3), teacher, student)
    assert found == pytest.approx(value(outputs_loss("ranking", comparison=comparison), *few), rel=1e-4, abs=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_the_decoupled_parts_add_up_to_the_divergence(seed: int) -> None:
    """Zhao et al. 2022, equation 7: KL = target part + (1 - the teacher's target probability) * others' part."""
    teacher, student = drawn(seed, 6, 5), drawn(seed + 1, 6, 5)
    targets = np.eye(5, dtype="float32")[np.random.default_rng(seed).integers(0, 5, 6)]

    def part(alpha: float, beta: float) -> np.ndarray:
        settings = DecoupledLossSettings(kind="decoupled", alpha=alpha, beta=beta)
        loss = DecoupledLoss("classification", settings, 1.0, "linear", "linear")
        return value(loss, teacher, student, targets)

    chance = (softmax(teacher, -1) * targets).sum(1)
    assert part(1, 0) + (1 - chance) * part(0, 1) == pytest.approx(divergence(teacher, student), rel=1e-3, abs=1e-3)
    assert part(2, 3) == pytest.approx(2 * part(1, 0) + 3 * part(0, 1), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("task", ["binary", "multilabel", "regression", "forecast", "ranking"])
def test_a_loss_that_does_not_fit_the_task_is_refused(task: str) -> None:
    with pytest.raises(RecipeError, match="'decoupled' does not fit"):
        DecoupledLoss(task, DecoupledLossSettings(kind="decoupled"), 1.0, "linear", "linear")
    if task != "ranking":
        with pytest.raises(RecipeError, match="do not fit a task"):
            outputs_loss(task, comparison="pairwise")


def test_hints_are_relative_to_the_teachers_map() -> None:
    loss = HintLoss(3, 3)
    teacher = drawn(0, 5, 4, 4, 3)
    assert value(loss, teacher, teacher) == pytest.approx(np.zeros(5))
    assert value(loss, teacher, np.zeros_like(teacher)).mean() == pytest.approx(1.0, rel=1e-5)
    assert value(loss, 100 * teacher, np.zeros_like(teacher)).mean() == pytest.approx(1.0, rel=1e-5)


def test_hints_of_other_widths_go_through_a_projection_with_bias() -> None:
    loss = HintLoss(2, 3)
    teacher, student = drawn(0, 5, 4, 4, 3), drawn(1, 5, 4, 4, 2)
    kernel, bias = drawn(2, 2, 3), drawn(3, 3)
    loss.projection.set_weights([kernel, bias])
    expected = np.square(student @ kernel + bias - teacher).mean(axis=(1, 2, 3)) / np.square(teacher).mean()
    assert value(loss, teacher, student) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_attention_is_where_the_squares_are_large(seed: int) -> None:
    teacher, student = drawn(seed, 5, 3, 4, 6), drawn(seed + 1, 5, 3, 4, 2)

    def attention(features: np.ndarray) -> np.ndarray:
        flat = np.square(features).sum(-1).reshape(5, -1)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    expected = np.square(attention(student) - attention(teacher)).sum(1)
    assert value(AttentionLoss(), teacher, student) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert value(AttentionLoss(), teacher, -3 * teacher[..., ::-1]) == pytest.approx(np.zeros(5), abs=1e-6)


@pytest.mark.parametrize("loss", [HintLoss(3, 3), AttentionLoss()], ids=["hints", "attention"])
def test_maps_of_other_sizes_are_averaged_to_the_smaller_one(loss: Any) -> None:
    small, large = drawn(0, 5, 2, 6, 3), drawn(1, 5, 6, 3, 3)
    squares = isinstance(loss, AttentionLoss)
    pooled = (np.square(large).sum(-1) if squares else large).reshape(5, 2, 3, 3, -1).mean(2).squeeze()
    narrow = (np.square(small).sum(-1) if squares else small).reshape(5, 2, 3, 2, -1).mean(3).squeeze()
    same = (np.sqrt(pooled)[..., None], np.sqrt(narrow)[..., None]) if squares else (pooled, narrow)
    assert value(loss, large, small) == pytest.approx(value(loss, *same), rel=1e-4, abs=1e-6)


def test_a_size_that_is_no_multiple_is_averaged_by_parts() -> None:
    from penjing.compression.distillation.resizing import averaged

    features = drawn(0, 2, 5, 3)
    got = np.asarray(averaged(features, [2]))
    first = (features[:, 0] + features[:, 1] + 0.5 * features[:, 2]) / 2.5
    last = (0.5 * features[:, 2] + features[:, 3] + features[:, 4]) / 2.5
    assert got == pytest.approx(np.stack([first, last], 1), rel=1e-5, abs=1e-6)


def huber(difference: float) -> float:
    return 0.5 * difference**2 if abs(difference) <= 1 else abs(difference) - 0.5


def relations(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances over their mean, and cosines [vertex, first, second], written out."""
    n = len(vectors)
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    distances /= distances.sum() / (n * (n - 1))
    cosines = np.zeros((n, n, n))
    for j, i, k in itertools.permutations(range(n), 3):
        a, b = vectors[i] - vectors[j], vectors[k] - vectors[j]
        cosines[j, i, k] = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return distances, cosines


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_relations_are_mean_distances_and_angles(seed: int) -> None:
    teacher, student = drawn(seed, 5, 6).astype(float), drawn(seed + 1, 5, 3).astype(float)
    (first, first_angles), (second, second_angles) = relations(teacher), relations(student)
    distance = [sum(huber(first[i, j] - second[i, j]) for j in range(5)) / 4 for i in range(5)]
    pairs = itertools.permutations(range(5), 2)
    angle = np.zeros(5)
    for i, k in pairs:
        for j in range(5):
            angle[j] += huber(first_angles[j, i, k] - second_angles[j, i, k]) / 12
    loss = RelationLoss(RelationLossSettings(kind="relations", distance=1.0, angle=2.0))
    found = value(loss, teacher.astype("float32"), student.astype("float32"))
    assert found == pytest.approx(np.array(distance) + 2 * angle, rel=1e-3, abs=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(0.1, 20))
def test_relations_do_not_see_turning_moving_and_scaling(seed: int, factor: float) -> None:
    teacher = drawn(seed, 6, 4)
    turn, _ = np.linalg.qr(drawn(seed + 1, 4, 4))
    student = (factor * teacher @ turn + drawn(seed + 2, 4)).astype("float32")
    loss = RelationLoss(RelationLossSettings(kind="relations"))
    assert value(loss, teacher, student) == pytest.approx(np.zeros(6), abs=1e-3)
    assert value(loss, teacher, teacher[::-1].copy()).mean() > 0.01


@pytest.mark.parametrize("examples", [1, 2])
def test_a_last_batch_of_one_or_two_examples_is_no_accident(examples: int) -> None:
    loss = RelationLoss(RelationLossSettings(kind="relations"))
    assert np.isfinite(value(loss, drawn(0, examples, 4), drawn(1, examples, 3))).all()


def distiller(weight: float, student: keras.Model, teacher_signals=None, student_loss=None) -> Distiller:
    terms = [Term(name="outputs", weight=2.0, loss=outputs_loss("regression"))]
    made = Distiller(student, student_loss or keras.losses.MeanSquaredError(), terms, weight, teacher_signals)
    made.compile("sgd")
    return made


def plain_loss(targets, outputs):
    return keras.ops.mean(keras.ops.square(targets - outputs), axis=-1)


@pytest.mark.parametrize("student_loss", [keras.losses.MeanSquaredError(), plain_loss], ids=["keras", "function"])
@pytest.mark.parametrize("signals_given", [True, False])
def test_the_parts_are_blended_and_weighed_by_example(student_loss, signals_given: bool) -> None:
    inputs = keras.Input((3,))
    layer = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.1))
    student = keras.Model(inputs, layer(inputs))
    x, y, soft = drawn(0, 4, 3), drawn(1, 4, 2), drawn(2, 4, 2)
    weights = np.array([0.0, 1.0, 0.0, 3.0], "float32")
    outputs = student.predict(x, verbose=0)
    labels = np.mean(weights * np.square(outputs - y).mean(1))
    taught = np.mean(weights * np.square(outputs - soft).mean(1))
    penalty = 0.1 * np.square(layer.get_weights()[0]).sum()
    made = distiller(0.3, student, None if signals_given else lambda _: {"outputs": soft}, student_loss)
    targets = {"targets": y, "teacher": {"outputs": soft}} if signals_given else y
    history = made.fit(x, targets, sample_weight=weights, batch_size=4, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(0.7 * labels + 0.3 * 2.0 * taught + penalty, rel=1e-4)
    assert history["labels"][0] == pytest.approx(labels, rel=1e-4)
    assert history["outputs"][0] == pytest.approx(taught, rel=1e-4)
