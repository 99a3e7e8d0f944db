"""The metrics of the field, against a library of the field and against what can be counted by hand."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from penjing.contract import Splits
from penjing_recommendation.baselines import fit_popularity
from penjing_recommendation.beyond_accuracy import (
    beyond_accuracy,
    hit_rate_by_popularity,
    popularity_tenth,
    recency_curve,
)
from penjing_recommendation.metrics import hit_rate, ndcg, reciprocal_rank
from penjing_recommendation.ranking import as_lists, places, recommended


def targets(lists: np.ndarray, seen: int = 8) -> np.ndarray:
    """A random right item and random seen items of each example, none of them the right one."""
    generator = np.random.default_rng(9)
    rows = np.stack([generator.permutation(60)[: seen + 1] + 1 for _ in lists])
    rows[::3, -3:] = -1
    return rows


RANX = """
import json, sys
import ranx
given = json.load(sys.stdin)
qrels, run = ranx.Qrels(given["right"]), ranx.Run(given["run"])
print(json.dumps(ranx.evaluate(qrels, run, ["ndcg@10", "hit_rate@10", "mrr@100"])))
"""


def test_they_equal_ranx(lists: np.ndarray) -> None:
    if importlib.util.find_spec("ranx") is None:
        pytest.skip("ranx is not installed")
    y = targets(lists)
    run = {
        f"u{n}": {f"i{item}": float(100 - place) for place, item in enumerate(row) if item > 0}
        for n, row in enumerate(recommended(lists, y[:, 1:]))
    }
    right = {f"u{n}": {f"i{row[0]}": 1} for n, row in enumerate(y)}
    # Without its compiler, which takes minutes for forty lists.
    done = subprocess.run(
        [sys.executable, "-c", RANX],
        input=json.dumps({"right": right, "run": run}),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = json.loads(done.stdout)
    assert ndcg(y, lists) == pytest.approx(expected["ndcg@10"], abs=1e-9)
    assert hit_rate(y, lists) == pytest.approx(expected["hit_rate@10"], abs=1e-9)
    assert reciprocal_rank(y, lists) == pytest.approx(expected["mrr@100"], abs=1e-9)


def test_the_gain_equals_scikit_learns(lists: np.ndarray) -> None:
    from sklearn.metrics import ndcg_score

    y = targets(lists)
    shown = recommended(lists, y[:, 1:])
    scores, relevant = np.zeros((len(y), 61)), np.zeros((len(y), 61))
    for row, listed in enumerate(shown):
        listed = listed[listed > 0]
        scores[row, listed] = np.arange(len(listed), 0, -1)
        relevant[row, y[row, 0]] = 1
    assert ndcg(y, lists) == pytest.approx(ndcg_score(relevant, scores, k=10, ignore_ties=True))


def test_by_hand() -> None:
    outputs = np.array([[[5, 4, 3, 2, 1], [7, 2, 9, 4, 1]]] * 4, "float32")
    y = np.array([[2, -1], [9, 7], [4, 4], [0, -1]])  # second; second behind a seen one; itself seen; unknown
    assert places(y, outputs).tolist() == [1, 1, 100, 100]
    assert ndcg(y, outputs) == pytest.approx(2 / np.log2(3) / 4)
    assert hit_rate(y, outputs) == 0.5
    assert reciprocal_rank(y, outputs) == 0.25


def test_the_eleventh_place_is_no_hit_at_ten() -> None:
    outputs = np.stack([np.arange(30, 0, -1), np.arange(1, 31)])[None].astype("float32")
    assert hit_rate(np.array([[10, -1]]), outputs) == 1 and hit_rate(np.array([[11, -1]]), outputs) == 0
    assert ndcg(np.array([[11, -1]]), outputs) == 0
    assert ndcg(np.array([[11, 3]]), outputs) == pytest.approx(1 / np.log2(11))


def test_a_prepared_metric_is_the_metric_of_the_resample(lists: np.ndarray) -> None:
    y = targets(lists)
    rows = np.random.default_rng(0).integers(0, len(y), len(y))
    counts = np.bincount(rows, minlength=len(y))
    for metric in (ndcg, hit_rate, reciprocal_rank):
        assert metric.prepare(y, lists)(counts) == pytest.approx(metric(y[rows], lists[rows]))


def test_lists_of_scores_are_sorted_with_equal_scores_by_number() -> None:
    scores = np.array([[1.0, 3.0, 3.0, 2.0]])
    assert as_lists(scores, 3).tolist() == [[[3, 3, 2], [2, 3, 4]]]


def test_coverage_novelty_and_popularity_by_hand(splits: Splits) -> None:
    predict = fit_popularity(splits, 0).predict
    found = beyond_accuracy(predict, splits.test, splits)
    counts = splits.extra["counts"]
    shown = [[n for n in range(1, len(counts) + 1) if n not in set(row[1:].tolist())][:10] for row in splits.test.y]
    flat = np.concatenate(shown)
    assert found["coverage_at_10"] == pytest.approx(len(set(flat.tolist())) / len(counts))
    assert found["novelty_at_10"] == pytest.approx(-np.log2(counts[flat - 1] / counts.sum()).mean())
    assert found["popularity_at_10"] == pytest.approx(counts[flat - 1].mean())
    taken = np.mean([counts[row[1:][row[1:] > 0] - 1].mean() for row in splits.test.y])
    assert found["popularity_lift_at_10"] == pytest.approx(counts[flat - 1].mean() / taken - 1)
    often = np.sort(np.bincount(flat, minlength=len(counts) + 1)[1:])
    unlike = np.abs(often[:, None] - often[None]).sum() / (2 * len(often) * often.sum())
    assert found["gini_at_10"] == pytest.approx(unlike)
    hit = np.array([row[0] in list10 for row, list10 in zip(splits.test.y, shown, strict=True)])
    rare = (splits.test.y[:, 0] > 0) & (counts[splits.test.y[:, 0] - 1] < 5)
    assert found["hit_rate_cold_items"] == pytest.approx(hit[rare].mean(), nan_ok=True)
    assert found["short_lists"] == 0


def test_tenths_of_the_catalogue() -> None:
    assert popularity_tenth(np.array([0, 1, 10, 11, 100]), 100).tolist() == [0, 1, 1, 2, 10]


def test_popularity_hits_what_is_popular_alone(splits: Splits) -> None:
    found = hit_rate_by_popularity(fit_popularity(splits, 0).predict, splits.test, splits)
    assert (found["tenth 1"] > 0.3 and found["tenth 10"] in (0.0,)) or np.isnan(found["tenth 10"])


def test_the_recency_curve_cuts_old_items_off(splits: Splits) -> None:
    asked: list[np.ndarray] = []
    predict = fit_popularity(splits, 0).predict

    def spy(x: np.ndarray) -> np.ndarray:
        asked.append(x)
        return predict(x)

    curve = recency_curve(spy, splits.test, splits)
    assert list(curve) == ["last 0", "last 1", "last 2", "last 5", "last 10"]  # the history has 12
    assert [int((x > 0).sum(axis=1).max()) for x in asked] == [0, 1, 2, 5, 10]
    assert len(set(curve.values())) == 1  # popularity does not care
