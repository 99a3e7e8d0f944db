"""DeLong's variance, computed fast, equals the definition computed slowly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing_medical_imaging.delong import delong
from penjing_medical_imaging.metrics import auc


def by_definition(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas and covariance of DeLong 1988 by all pairs: structural components of each example."""
    ones, zeros = scores[:, positive], scores[:, ~positive]
    wins = (ones[:, :, None] > zeros[:, None, :]) + 0.5 * (ones[:, :, None] == zeros[:, None, :])
    areas = wins.mean(axis=(1, 2))
    of_ones, of_zeros = wins.mean(axis=2) - areas[:, None], wins.mean(axis=1) - areas[:, None]
    m, n = ones.shape[1], zeros.shape[1]
    return areas, of_ones @ of_ones.T / (m - 1) / m + of_zeros @ of_zeros.T / (n - 1) / n


@st.composite
def samples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    positive = np.array([*draw(st.lists(st.booleans(), min_size=6, max_size=40)), True, True, False, False])
    levels = draw(st.integers(2, 30))  # few levels give many ties
    scores = np.random.default_rng(draw(st.integers(0, 999))).integers(0, levels, (2, len(positive))) / levels
    return positive, scores


@given(samples())
def test_areas_and_covariance_are_those_of_the_definition(sample: tuple[np.ndarray, np.ndarray]) -> None:
    positive, scores = sample
    found = delong(positive, scores)
    areas, covariance = by_definition(positive, scores)
    assert np.allclose(found.areas, areas, atol=1e-12)
    assert np.allclose(found.covariance, covariance, atol=1e-12)


@given(samples())
def test_the_area_is_the_metrics(sample: tuple[np.ndarray, np.ndarray]) -> None:
    positive, scores = sample
    assert delong(positive, scores).areas[0] == pytest.approx(auc(positive.astype(int), scores[0][:, None]))


@given(samples())
def test_the_interval_lies_between_0_and_1_around_the_area(sample: tuple[np.ndarray, np.ndarray]) -> None:
    found = delong(*sample)
    low, high = found.interval()
    assert 0 <= low <= found.areas[0] <= high <= 1


def test_equal_scores_do_not_differ() -> None:
    positive, scores = np.arange(20) % 2 == 0, np.random.default_rng(0).random(20)
    gap, low, high, chance = delong(positive, np.stack([scores, scores])).difference()
    assert (gap, low, high, chance) == (0, 0, 0, 1)


def test_ninety_five_percent_of_intervals_hold_the_true_area() -> None:
    """Two normal distributions 1 apart: the area is Phi(1 / sqrt 2) = .7602."""
    generator = np.random.default_rng(4)
    positive = np.arange(120) < 50
    held = 0
    for _ in range(400):
        low, high = delong(positive, generator.normal(positive.astype(float), 1)).interval()
        held += low <= 0.76025 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_too_few_of_a_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="two examples of each kind"):
        delong(np.array([True, False, False]), np.zeros(3))
