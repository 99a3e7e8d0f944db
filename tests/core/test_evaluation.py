"""Scores on the test part: floats, mappings, and figures that bring their own interval."""

from __future__ import annotations

import numpy as np

from penjing.contract import Estimate, Metric, Split, Splits
from penjing.metrics import accuracy
from penjing.runner.evaluation import Scores, score

EMPTY = Split(x=np.zeros((0, 1)), y=np.zeros(0, int), ids=())


def scores(*metrics: tuple[Metric, object]) -> Scores:
    y = np.array([0, 1] * 20)
    split = Split(x=np.zeros((40, 1)), y=y, ids=[str(number) for number in range(40)])
    splits = Splits(train=EMPTY, validation=EMPTY, test=split, source="", sha256="", labels=("left", "right"))
    return score(
        tuple(metric for metric, _ in metrics),
        {metric.name: function for metric, function in metrics},  # type: ignore[misc]
        split,
        splits,
        lambda x: np.eye(2)[np.where(np.arange(len(x)) < 30, y, 0)],
        seed=0,
    )


def test_a_figure_over_examples_has_a_bootstrap_interval() -> None:
    found = scores((Metric(name="accuracy", function="", direction="higher"), accuracy))
    assert found.metrics == {"accuracy": 0.875}
    assert 0.7 < found.intervals["accuracy"].low < 0.875 < found.intervals["accuracy"].high
    assert "bootstrap of examples" in found.intervals["accuracy"].method


def test_a_metric_can_bring_its_own_interval_alone_or_in_a_mapping() -> None:
    own = Estimate(value=0.5, low=0.25, high=0.75, method="by days", n=7)
    found = scores(
        (
            Metric(name="hits", function="", direction="higher", kind="system"),
            lambda predict, split, splits: own,
        ),
        (Metric(name="auc", function="", direction="higher"), lambda targets, outputs: own),
        (Metric(name="recall", function="", direction="higher"), lambda targets, outputs: {1: own, "all": 0.25}),
    )
    assert found.metrics == {"hits": 0.5, "auc": 0.5, "recall[right]": 0.5, "recall[all]": 0.25}
    assert set(found.intervals) == {"hits", "auc", "recall[right]"}
    assert found.intervals["recall[right]"].method == "by days" and found.intervals["hits"].n == 7


def test_what_is_not_defined_is_none_and_not_a_number() -> None:
    found = scores(
        (
            Metric(name="hits", function="", direction="higher", kind="system"),
            lambda predict, split, splits: Estimate(value=float("nan"), low=0, high=1, method="", n=0),
        )
    )
    assert found.metrics == {"hits": None}
