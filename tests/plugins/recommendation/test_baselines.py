"""Baselines are what their papers say, see whole histories, and choose on validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from penjing.contract import DataRequest, Splits
from penjing_recommendation.baselines import fit_als, fit_ease, fit_item_knn, fit_popularity
from penjing_recommendation.data import load_data
from penjing_recommendation.ease import _by_items, _by_users
from penjing_recommendation.histories import Histories, training_matrix
from penjing_recommendation.metrics import ndcg


def steck(x: np.ndarray, regularization: float) -> np.ndarray:
    """B of the paper's formula."""
    inverse = np.linalg.inv(x.T @ x + regularization * np.eye(x.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("form", [_by_items, _by_users])
@pytest.mark.parametrize("users", [12, 90])
def test_both_forms_of_ease_equal_the_formula(form, users: int) -> None:
    generator = np.random.default_rng(users)
    x = (generator.random((users, 40)) < 0.2).astype(np.float32)
    history = (generator.random((7, 40)) < 0.3).astype(np.float32)
    found = form(sparse.csr_matrix(x), 3.0)(sparse.csr_matrix(history))
    assert np.allclose(found, history @ steck(x.astype(np.float64), 3.0), atol=1e-4)


def test_the_training_matrix_holds_training_alone(splits: Splits) -> None:
    matrix, said = training_matrix(splits, 0)
    assert said == "" and matrix.sum() == len(splits.train)
    assert np.array_equal(np.asarray(matrix.sum(axis=0)).ravel(), splits.extra["counts"])


def test_histories_are_whole_though_the_model_sees_the_newest_alone(splits: Splits) -> None:
    found = Histories(splits).of(splits.test.x)
    expected = [sorted(row[1:][row[1:] > 0] - 1) for row in splits.test.y]
    assert [sorted(found[index].indices) for index in range(len(expected))] == expected
    assert max(map(len, expected)) > splits.test.x.shape[1]


@pytest.mark.parametrize("fit", [fit_popularity, fit_item_knn, fit_ease])
def test_they_answer_in_the_models_form(fit, splits: Splits) -> None:
    outputs = fit(splits, 0).predict(splits.test.x[:5])
    assert outputs.shape == (5, 2, splits.extra["list"]) and outputs.dtype == np.float32
    assert (np.diff(outputs[:, 0], axis=1) <= 0).all()
    assert all(len(set(row)) == len(row) for row in outputs[:, 1].tolist())


def test_what_is_personal_beats_popularity(splits: Splits) -> None:
    value = {fit: ndcg(splits.test.y, fit(splits, 0).predict(splits.test.x)) for fit in (fit_popularity, fit_ease)}
    assert value[fit_ease] > 1.3 * value[fit_popularity]


def test_the_neighbours_of_an_item_are_those_of_the_largest_cosine(splits: Splits) -> None:
    matrix, _ = training_matrix(splits, 0)
    x = matrix.toarray()
    norm = np.linalg.norm(x, axis=0)
    cosine = x.T @ x / np.outer(norm, norm)
    np.fill_diagonal(cosine, 0)
    item = 3
    outputs = fit_item_knn(splits, 0).predict(np.array([[0] * 11 + [item + 1]], np.int32))
    order = np.argsort(-cosine[:, item], kind="stable")
    assert outputs[0, 1, 0] - 1 == order[0]
    assert outputs[0, 0, 0] == pytest.approx(cosine[order[0], item], abs=1e-5)


def test_implicit_als_learns(splits: Splits) -> None:
    pytest.importorskip("implicit")
    found = fit_als(splits, 0)
    assert "implicit ALS" in found.name
    assert ndcg(splits.test.y, found.predict(splits.test.x)) > ndcg(
        splits.test.y, fit_popularity(splits, 0).predict(splits.test.x)
    )


def test_on_movielens_ease_beats_popularity_twice(penjing_data: Path) -> None:
    folder = penjing_data / "recommendation/ml-latest-small"
    if not folder.is_dir():
        pytest.skip(f"no ml-latest-small in {penjing_data}")
    splits = load_data(DataRequest(path=folder))
    x, y = splits.validation.x, splits.validation.y
    assert len(x) == 610
    assert ndcg(y, fit_popularity(splits, 0).predict(x)) == pytest.approx(0.0172, abs=0.001)
    assert ndcg(y, fit_ease(splits, 0).predict(x)) == pytest.approx(0.0446, abs=0.002)
