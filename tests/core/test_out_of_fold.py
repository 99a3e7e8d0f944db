"""Estimators teach by labels of examples that they have not seen: no example, and no group, labels itself."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import LinearSVC

from penjing.compression.distillation.out_of_fold import (
    as_labels,
    as_rows,
    check_kind,
    fold_rows,
    named_estimator,
    out_of_fold,
    with_seed,
)
from penjing.compression.settings.distillation import TeacherSettings
from penjing.errors import DataError, ModelError, RecipeError


def labelled(estimator, x, y, *, task="classification", groups=None, folds=5, shape=(2,), seed=0) -> np.ndarray:
    targets = as_labels(task, y)
    return out_of_fold(estimator, as_rows(x), targets, fold_rows(task, targets, groups, folds, seed), task, shape)


@pytest.fixture
def coins() -> tuple[np.ndarray, np.ndarray]:
    """Labels that are tossed: who knows them has seen them."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(400, 3)).astype("float32"), generator.integers(0, 2, 400)


def test_a_nearest_neighbour_does_not_find_itself(coins) -> None:
    x, y = coins
    memory = KNeighborsClassifier(1)
    assert (memory.fit(x, y).predict(x) == y).all()
    assert np.mean(labelled(memory, x, y).argmax(1) == y) == pytest.approx(0.5, abs=0.08)


def test_a_nearest_neighbour_does_not_find_its_group(coins) -> None:
    """Ten clips of each speaker, nearly the same: without groups the label leaks from one to the next."""
    x, y = coins
    speakers = np.repeat([f"speaker {number}" for number in range(40)], 10)
    x = np.repeat(x[:40], 10, axis=0) + np.random.default_rng(1).normal(0, 1e-3, (400, 3)).astype("float32")
    y = np.repeat(y[:40], 10)
    memory = KNeighborsClassifier(1)
    assert np.mean(labelled(memory, x, y).argmax(1) == y) > 0.95
    assert np.mean(labelled(memory, x, y, groups=speakers).argmax(1) == y) < 0.75


def test_values_of_a_nearest_neighbour_are_out_of_fold_too(coins) -> None:
    x, _ = coins
    y = np.random.default_rng(2).normal(size=(400, 2))
    found = labelled(KNeighborsRegressor(1), x, y, task="regression")
    assert found.shape == (400, 2)
    assert np.square(found - y).mean() > 1.0


class Witness(ClassifierMixin, BaseEstimator):
    """Protests when it is asked about a row that it was fitted on."""

    asked: ClassVar[set[float]] = set()

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.seen_ = set(x[:, 0].tolist())
        return self

    def predict_proba(self, x):
        rows = set(x[:, 0].tolist())
        assert not rows & self.seen_
        Witness.asked |= rows
        return np.full((len(x), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, x):
        return self.classes_[self.predict_proba(x).argmax(axis=1)]


@pytest.mark.parametrize("grouped", [False, True])
def test_every_example_is_labelled_once_by_one_who_has_not_seen_it(coins, grouped: bool) -> None:
    x, y = coins
    Witness.asked = set()
    labelled(Witness(), x, y, groups=np.arange(400) // 4 if grouped else None)
    assert Witness.asked == set(x[:, 0].tolist())


@pytest.mark.parametrize("task", ["classification", "regression", "forecast", "ranking", "multilabel"])
def test_no_group_stands_on_two_sides_of_a_fold(task: str) -> None:
    generator = np.random.default_rng(3)
    groups = generator.integers(0, 12, 200)
    y = generator.integers(0, 2, (200, 3)) if task == "multilabel" else generator.integers(0, 3, 200)
    folds = fold_rows(task, as_labels(task, y), groups, 4, 0)
    assert sorted(np.concatenate([asked for _, asked in folds])) == list(range(200))
    for fitted, asked in folds:
        assert not set(groups[fitted]) & set(groups[asked])


def test_a_forecast_is_cut_into_stretches_of_time() -> None:
    for _, asked in fold_rows("forecast", np.zeros((60, 2)), None, 4, 0):
        assert asked.tolist() == list(range(asked[0], asked[0] + 15))


def test_a_class_that_a_fold_or_the_training_part_lacks_has_probability_zero() -> None:
    x = np.random.default_rng(4).normal(size=(30, 2)).astype("float32")
    y = np.array([0] * 15 + [3] * 14 + [4])  # classes 1 and 2 do not occur, 4 once
    found = labelled(ExtraTreesClassifier(10, random_state=0), x, y, shape=(6,))
    assert found.shape == (30, 6)
    assert (found[:, [1, 2, 5]] == 0).all()
    assert found[29, 4] == 0  # nobody else has seen it
    assert found.sum(axis=1) == pytest.approx(np.ones(30))


def test_binary_and_multilabel_give_the_probability_of_yes() -> None:
    generator = np.random.default_rng(5)
    x = generator.normal(size=(200, 3)).astype("float32")
    one = labelled(ExtraTreesClassifier(20, random_state=0), x, x[:, 0] > 0, task="binary", shape=(1,))
    several = labelled(ExtraTreesClassifier(20, random_state=0), x, x > 0, task="multilabel", shape=(3,))
    assert one.shape == (200, 1) and several.shape == (200, 3)
    assert np.mean((one[:, 0] > 0.5) == (x[:, 0] > 0)) > 0.9
    assert np.mean((several > 0.5) == (x > 0)) > 0.85
    constant = labelled(
        ExtraTreesClassifier(5, random_state=0), x, np.c_[x[:, 0] > 0, np.ones(200)], task="multilabel", shape=(2,)
    )
    assert (constant[:, 1] == 1).all()


def test_a_forecast_of_several_steps_keeps_its_shape() -> None:
    generator = np.random.default_rng(6)
    x = generator.normal(size=(60, 4, 2)).astype("float32")
    y = x[:, :3, :] * 2.0
    found = labelled(LinearRegression(), x, y, task="forecast", shape=(3, 2))
    assert found == pytest.approx(y, abs=1e-4)


def test_several_inputs_stand_side_by_side_whatever_their_order() -> None:
    x = {"b": np.ones((2, 2, 2)), "a": np.zeros((2, 1))}
    assert as_rows(x).tolist() == as_rows(dict(reversed(x.items()))).tolist() == [[0, 1, 1, 1, 1]] * 2


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(DataError, match="3 groups cannot be cut into 5 folds") as caught:
        fold_rows("classification", np.zeros(30, int), np.repeat(["a", "b", "c"], 10), 5, 0)
    assert "folds to 3" in (caught.value.hint or "")


def test_open_random_states_are_set_and_given_ones_kept() -> None:
    assert with_seed(RandomForestClassifier(), 7).random_state == 7
    assert with_seed(RandomForestClassifier(random_state=1), 7).random_state == 1
    named = with_seed(named_estimator(TeacherSettings(estimator="ExtraTreesClassifier"), "classification"), 7)
    assert named.get_params()["extratreesclassifier__random_state"] == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "ExtraTreeClassifer"}, "has no classifier or regressor 'ExtraTreeClassifer'"),
        ({"estimator": "SVC", "parameters": {"trees": 3}}, "does not take these parameters"),
    ],
)
def test_an_unknown_estimator_or_parameter_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        named_estimator(TeacherSettings(**settings), "classification")


def test_an_estimator_that_cannot_be_fitted_is_named(coins) -> None:
    x, y = coins
    with pytest.raises(ModelError, match="KNeighborsClassifier cannot be fitted"):
        labelled(KNeighborsClassifier(5000), x, y)
    with pytest.raises(ModelError, match="LinearSVC gives no probabilities"):
        check_kind(LinearSVC(), "classification")
    with pytest.raises(ModelError, match="is a classifier"):
        check_kind(KNeighborsClassifier(), "regression")
