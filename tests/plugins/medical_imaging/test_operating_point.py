"""The threshold comes from the validation part, and what is stated of it from the test part."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing_medical_imaging.operating_point import (
    choose_threshold,
    operating_point,
    ordinal_agreement,
    predictive_values,
    rates,
)


def two_normals(seed: int, count: int = 400, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    positive = generator.random(count) < 0.4
    return positive, generator.normal(apart * positive, 1)


@given(st.integers(0, 200), st.sampled_from([0.8, 0.9, 0.95]))
def test_a_wished_sensitivity_is_reached_with_as_few_false_alarms_as_can_be(seed: int, target: float) -> None:
    positive, scores = two_normals(seed)
    threshold = choose_threshold(positive, scores, "sensitivity", target)
    sensitivity, specificity = rates(positive, scores > threshold)
    assert sensitivity >= target
    higher = np.sort(scores[scores > threshold])[:2]
    assert rates(positive, scores > higher.max())[0] < target
    assert specificity > 0


@given(st.integers(0, 200))
def test_a_wished_specificity_is_reached(seed: int) -> None:
    positive, scores = two_normals(seed)
    assert rates(positive, scores > choose_threshold(positive, scores, "specificity", 0.9))[1] >= 0.9


@given(st.integers(0, 200))
def test_youdens_index_is_within_a_standard_error_of_the_best_and_no_higher_threshold_is(seed: int) -> None:
    positive, scores = two_normals(seed)
    threshold = choose_threshold(positive, scores)
    index = [sum(rates(positive, scores > cut)) - 1 for cut in [*scores, threshold]]
    best = int(np.argmax(index[:-1]))
    sensitivity, specificity = rates(positive, scores > scores[best])
    error = np.sqrt(
        sum(
            (share * n + 2) / (n + 4) * (1 - (share * n + 2) / (n + 4)) / (n + 4)
            for share, n in ((sensitivity, positive.sum()), (specificity, (~positive).sum()))
        )
    )
    assert index[-1] >= index[best] - error - 1e-9
    above = [value for cut, value in zip(scores, index[:-1], strict=True) if cut > threshold]
    assert not above or max(above) < index[best] - error + 1e-9 or threshold >= min(scores[scores > threshold])


def test_a_part_of_one_kind_leaves_one_half() -> None:
    assert choose_threshold(np.ones(5, bool), np.linspace(0, 1, 5)) == 0.5


def test_predictive_values_are_bayes() -> None:
    """1,000 people, 100 ill: 90 found, 90 of 900 healthy flagged."""
    ppv, npv = predictive_values(0.9, 0.9, 0.1)
    assert ppv == pytest.approx(90 / 180)
    assert npv == pytest.approx(810 / 820)
    assert np.isnan(predictive_values(0.0, 1.0, 0.1)[0])


def parts(task: str, labels: tuple[str, ...], y: Any, x: Any, prevalence: float = 0.1) -> tuple[Any, Any]:
    """(test part, splits): the validation part is the first half."""
    half = len(y) // 2
    validation, test = SimpleNamespace(x=x[:half], y=y[:half]), SimpleNamespace(x=x[half:], y=y[half:])
    return test, SimpleNamespace(validation=validation, task=task, labels=labels, extra={"prevalence": prevalence})


def test_the_threshold_does_not_look_at_the_test_part() -> None:
    positive, scores = two_normals(3)
    y, x = positive.astype(int), 1 / (1 + np.exp(-scores[:, None]))
    test, splits = parts("binary", ("no", "yes"), y, x)
    found = operating_point(lambda given: given, test, splits)
    test.y = 1 - test.y
    turned = operating_point(lambda given: given, test, splits)
    assert turned["threshold"] == found["threshold"]
    assert turned["sensitivity"] == pytest.approx(1 - found["specificity"])
    assert found["ppv"] == pytest.approx(predictive_values(found["sensitivity"], found["specificity"], 0.1)[0])


def test_each_label_has_a_threshold_of_its_own() -> None:
    generator = np.random.default_rng(0)
    y = (generator.random((200, 2)) < 0.3).astype(np.float32)
    x = np.clip(0.2 + 0.1 * y + generator.normal(0, 0.03, y.shape) + [0.0, 0.4], 0, 1)
    found = operating_point(lambda given: given, *parts("multilabel", ("a", "b"), y, x))
    assert found["b threshold"] - found["a threshold"] == pytest.approx(0.4, abs=0.1)
    assert found["a sensitivity"] > 0.8 and found["b specificity"] > 0.8


def test_classes_are_decided_by_the_likeliest() -> None:
    y = np.array([0, 1, 2, 0, 1, 2, 2, 2])
    x = np.eye(3)[[0, 1, 2, 0, 0, 1, 2, 2]]
    found = operating_point(lambda given: given, *parts("classification", ("a", "b", "c"), y, x))
    assert found["b sensitivity"] == 0.0
    assert found["c sensitivity"] == pytest.approx(2 / 3)
    assert not any("threshold" in name for name in found)


def test_grades_have_a_kappa_and_classes_none() -> None:
    y = np.arange(40) % 5
    x = np.eye(5)[np.minimum(y + (np.arange(40) % 7 == 0), 4)]
    found = ordinal_agreement(lambda given: given, *parts("ordinal", tuple("abcde"), y, x))
    kappa = found["quadratic kappa"]
    assert kappa.low <= kappa.value <= kappa.high
    assert 0.9 < kappa.value < 1
    assert ordinal_agreement(lambda given: given, *parts("classification", tuple("abcde"), y, x)) == {}
