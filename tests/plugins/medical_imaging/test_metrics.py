"""Figures of merit as MedMNIST defines them, held against scikit-learn and against definitions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from penjing_medical_imaging import metrics


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(8)


def test_area_of_two_classes(generator: np.random.Generator) -> None:
    y, p = generator.integers(0, 2, 80), np.round(generator.random((80, 1)), 1)
    assert metrics.auc(y, p) == pytest.approx(sk.roc_auc_score(y, p[:, 0]))


def test_area_of_several_classes_is_the_mean_of_each_against_the_rest(generator: np.random.Generator) -> None:
    y, p = generator.integers(0, 5, 90), generator.dirichlet(np.ones(5), 90)
    assert metrics.auc(y, p) == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr", average="macro"))


def test_area_of_labels_is_their_mean(generator: np.random.Generator) -> None:
    y, p = generator.integers(0, 2, (70, 4)).astype(np.float32), generator.random((70, 4))
    assert metrics.auc(y, p) == pytest.approx(sk.roc_auc_score(y, p, average="macro"))


def test_a_class_that_does_not_occur_is_left_out_of_the_mean(generator: np.random.Generator) -> None:
    y, p = generator.integers(0, 3, 60), generator.dirichlet(np.ones(4), 60)
    assert metrics.auc(y, p) == pytest.approx(np.mean([sk.roc_auc_score(y == k, p[:, k]) for k in range(3)]))
    assert np.isnan(metrics.auc(np.ones(5), p[:5, :1]))


@pytest.mark.parametrize("kind", ["binary", "classes", "labels"])
def test_the_prepared_area_counts_examples_as_a_resample_would(kind: str, generator: np.random.Generator) -> None:
    y = generator.integers(0, 2, (50, 3)).astype(np.float32) if kind == "labels" else generator.integers(0, 3, 50)
    p = generator.random((50, 3)).round(1)
    if kind == "binary":
        y, p = (y > 1).astype(int), p[:, :1]
    rows = generator.integers(0, 50, 50)
    assert metrics.auc.prepare(y, p)(np.bincount(rows, minlength=50)) == pytest.approx(metrics.auc(y[rows], p[rows]))


def test_accuracy_is_at_one_half_or_by_the_likeliest_class(generator: np.random.Generator) -> None:
    y, p = np.array([0, 1, 1, 0]), np.array([[0.2], [0.7], [0.4], [0.5]])
    assert metrics.accuracy(y, p) == 0.75
    classes, probabilities = generator.integers(0, 4, 60), generator.dirichlet(np.ones(4), 60)
    assert metrics.accuracy(classes, probabilities) == sk.accuracy_score(classes, probabilities.argmax(1))
    several, each = generator.integers(0, 2, (30, 4)), generator.random((30, 4))
    assert metrics.accuracy(several, each) == pytest.approx(
        np.mean([sk.accuracy_score(several[:, k], each[:, k] > 0.5) for k in range(4)])
    )


def test_balanced_accuracy_and_kappa_are_scikit_learns(generator: np.random.Generator) -> None:
    y, p = generator.integers(0, 5, 200), generator.dirichlet(np.ones(5), 200)
    assert metrics.balanced_accuracy(y, p) == pytest.approx(sk.balanced_accuracy_score(y, p.argmax(1)))
    assert metrics.quadratic_kappa(y, p.argmax(1), 5) == pytest.approx(
        sk.cohen_kappa_score(y, p.argmax(1), weights="quadratic")
    )


def test_brier_is_scikit_learns_for_two_classes_and_the_sum_over_several(generator: np.random.Generator) -> None:
    y, p = generator.integers(0, 2, 50), generator.random((50, 1))
    assert metrics.calibration(y, p)["brier"] == pytest.approx(sk.brier_score_loss(y, p[:, 0]))
    assert metrics.calibration(np.array([0, 1]), np.array([[0.5, 0.5, 0], [0, 1, 0]]))["brier"] == 0.25


def test_expected_calibration_error_by_hand() -> None:
    """Two bins: ten at .9 of which nine happen, ten at .5 of which none does."""
    p = np.array([0.9] * 10 + [0.5] * 10)[:, None]
    y = np.array([1] * 9 + [0] * 11)
    assert metrics.calibration(y, p)["ece"] == pytest.approx(0.25)


def test_delongs_interval_stands_for_each_question(generator: np.random.Generator) -> None:
    y, p = generator.integers(0, 3, 90), generator.dirichlet(np.ones(3), 90)
    found = metrics.auc_delong(y, p)
    assert set(found) == {0, 1, 2}
    for number, estimate in found.items():
        assert estimate.low < estimate.value < estimate.high
        assert estimate.value == pytest.approx(sk.roc_auc_score(y == number, p[:, number]))
    assert set(metrics.auc_delong((y > 1).astype(int), p[:, :1])) == {1}
