"""The invented files have MovieLens' sizes and layouts, and what they are for: skew, and an order that tells."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from penjing.contract import DataRequest
from penjing_recommendation.data import load_data

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def movielens_like(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("movielens_like")


def test_the_sizes_are_those_of_the_real_files(movielens_like: ModuleType) -> None:
    for name, users, items, ratings in (("100k", 943, 1_682, 100_000), ("1M", 6_040, 3_706, 1_000_209)):
        made = movielens_like.simulate_ratings(movielens_like.SIZES[name], seed=3)
        assert made.shape == (ratings, 4)
        by_user, by_item = (np.unique(made[:, column], return_counts=True)[1] for column in (0, 1))
        assert (len(by_user), len(by_item)) == (users, items)
        assert by_user.min() >= 20
        assert len(np.unique(made[:, :2], axis=0)) == ratings, "nobody rates a film twice"
        assert set(np.unique(made[:, 2])) == {1, 2, 3, 4, 5}
        by_item.sort()
        # GroupLens' films have 27 (100k) and 124 (1M) ratings in the median; the mean is above twice that.
        assert by_item.mean() > 1.5 * np.median(by_item)


def test_the_same_seed_gives_the_same_ratings(movielens_like: ModuleType) -> None:
    size = movielens_like.SIZES["100k"]
    first, again, other = (movielens_like.simulate_ratings(size, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["100k", "1M"])
def test_the_plugin_reads_the_layouts(movielens_like: ModuleType, tmp_path: Path, name: str) -> None:
    size = movielens_like.SIZES[name]
    made = movielens_like.simulate_ratings(size, seed=0)
    movielens_like.write_ratings(tmp_path, name, made)
    splits = load_data(DataRequest(path=tmp_path, seed=0, options={"train_examples": 100}))
    assert len(splits.test) == size.users
    assert len(splits.extra["sequences"].places) == size.ratings - 2 * size.users
    assert b"Made-up film" in splits.files["items.csv"]


def test_what_came_last_tells_what_comes_next(movielens_like: ModuleType) -> None:
    made = movielens_like.simulate_ratings(movielens_like.SIZES["100k"], seed=0)
    user, item, _, second = made.T
    order = np.lexsort((second, user))
    user, item = user[order], item[order]
    follows = user[1:] == user[:-1]
    pairs = {(a, b) for a, b in zip(item[:-1][follows], item[1:][follows], strict=True)}
    shuffled = np.random.default_rng(0).permutation(item)
    by_chance = {(a, b) for a, b in zip(shuffled[:-1][follows], shuffled[1:][follows], strict=True)}
    assert len(pairs) < 0.9 * len(by_chance), "the same transitions come again"
