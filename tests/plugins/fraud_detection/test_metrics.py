"""Metrics: scikit-learn's numbers, and the Handbook's card precision written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.contract import Split, Splits
from penjing_fraud_detection.alert_metrics import (
    at_budget,
    by_day,
    card_precision,
    precision_at_recall,
    recall_by_kind,
)
from penjing_fraud_detection.alerts import daily_alerts
from penjing_fraud_detection.metrics import auc, average_precision, calibration
from penjing_fraud_detection.plots import report_section

scored = st.lists(st.tuples(st.booleans(), st.integers(-6, 6)), min_size=2, max_size=60)


@given(scored)
def test_average_precision_and_auc_are_scikit_learns_also_with_ties(rows: list[tuple[bool, int]]) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    fraud = np.array([row[0] for row in rows], np.int64)
    score = np.array([row[1] for row in rows], np.float32)[:, None] / 4
    if fraud.any():
        assert average_precision(fraud, score) == pytest.approx(average_precision_score(fraud, score[:, 0]))
    else:
        assert np.isnan(average_precision(fraud, score))
    if 0 < fraud.sum() < len(fraud):
        assert auc(fraud, score) == pytest.approx(roc_auc_score(fraud, score[:, 0]))
    else:
        assert np.isnan(auc(fraud, score))


def test_calibration_sees_probabilities_that_are_too_high() -> None:
    generator = np.random.default_rng(0)
    log_odds = generator.normal(-4, 2, 50_000)
    fraud = generator.random(50_000) < 1 / (1 + np.exp(-log_odds))
    good, bad = calibration(fraud, log_odds), calibration(fraud, log_odds + 1)
    assert good["expected_error"] < 0.004 < 0.02 < bad["expected_error"]
    assert good["brier"] < bad["brier"]
    assert good["log_loss"] < bad["log_loss"]
    assert good["predicted_share"] == pytest.approx(good["observed_share"], rel=0.05)


def split_of(day: np.ndarray, card: np.ndarray, fraud: np.ndarray, amount: np.ndarray) -> Split:
    """A part whose only input is the score itself."""
    return Split(
        x=np.zeros((len(day), 1), np.float32),
        y=fraud.astype(np.int64),
        ids=[f"row {number}" for number in range(len(day))],
        groups=np.char.add("card ", card.astype(str)),
        slices={
            "day": day.astype("datetime64[D]").astype(str),
            "card number": card.astype(str),
            "kind of fraud": np.where(fraud > 0, np.where(amount > 50, "large amount", "leaked card"), "none"),
        },
        raw=amount[:, None],
    )


def splits_of(split: Split) -> Splits:
    return Splits(
        train=split, validation=split, test=split, source="", sha256="", preprocessing={"features": ["TX_AMOUNT"]}
    )


@pytest.fixture(scope="module")
def weeks() -> tuple[Split, np.ndarray]:
    generator = np.random.default_rng(7)
    n = 6_000
    day = np.sort(generator.integers(0, 5, n))
    card = generator.integers(0, 700, n)
    fraud = (generator.random(n) < 0.05).astype(int)
    return split_of(day, card, fraud, generator.uniform(1, 100, n)), generator.normal(size=n) + 1.5 * fraud


def test_card_precision_is_the_handbooks(weeks: tuple[Split, np.ndarray]) -> None:
    pandas = pytest.importorskip("pandas")
    split, score = weeks
    table = pandas.DataFrame({"day": split.slices["day"], "card": split.groups, "fraud": split.y, "score": score})
    known: set[str] = set()
    expected = []
    for _, today in table.groupby("day"):
        best = today[~today["card"].isin(known)].groupby("card").max().sort_values("score", ascending=False)[:100]
        caught = best[best["fraud"] == 1]
        expected.append(len(caught) / 100)
        known |= set(caught.index)
    found = card_precision(lambda x: score[:, None], split, splits_of(split))
    assert 0.1 < found.low < found.value < found.high < 0.9
    assert found.value == pytest.approx(np.mean(expected))
    assert found.n == len(expected)


def test_every_day_has_its_figures(weeks: tuple[Split, np.ndarray]) -> None:
    split, score = weeks
    found = by_day(lambda x: score[:, None], split, splits_of(split))
    first = split.slices["day"] == "1970-01-01"
    assert found["1970-01-01 average_precision"] == average_precision(split.y[first], score[first])
    mean = np.mean([value for name, value in found.items() if name.endswith("card_precision")])
    assert mean == pytest.approx(card_precision(lambda x: score[:, None], split, splits_of(split)).value)


def test_what_a_budget_finds_counted_by_hand() -> None:
    # Day 0: card 1 is alerted and was defrauded, card 2 is missed beyond the budget of 100 others. Day 1: card 1 is
    # blocked, so its fraud is no loss any more.
    others = np.arange(100, 199)
    day = np.array([0, 0, *[0] * 99, 1])
    card = np.array([1, 2, *others, 1])
    fraud = np.array([1, 1, *[0] * 99, 1])
    amount = np.array([30.0, 60.0, *[1.0] * 99, 500.0])
    score = np.array([5.0, -5.0, *[1.0] * 99, 4.0])
    split = split_of(day, card, fraud, amount)
    found = at_budget(lambda x: score[:, None], split, splits_of(split))
    assert found["card_recall"] == pytest.approx(1 / 2)
    assert found["transaction_recall"] == pytest.approx(1 / 2)
    assert found["amount_recall"] == pytest.approx(30 / 90)
    assert found["alerts_a_day"] == 50
    assert found["cost_a_day"] == pytest.approx((60 + 5 * 100) / 2)
    assert found["cost_a_day_without"] == pytest.approx((30 + 60 + 500) / 2)


def test_kinds_of_fraud_are_told_apart(weeks: tuple[Split, np.ndarray]) -> None:
    split, _ = weeks
    large = np.where(split.slices["kind of fraud"] == "large amount", 9.0, 0.0) + np.arange(len(split)) * -1e-6
    found = recall_by_kind(lambda x: large[:, None], split, splits_of(split))
    assert set(found) == {"large amount", "leaked card"}
    assert found["large amount"] > found["leaked card"]


def test_a_card_is_alerted_once_a_day_with_its_highest_score() -> None:
    day, card = np.array([0, 0, 0, 1]), np.array([4, 4, 5, 4])
    alerts = daily_alerts(day, card, np.array([0.1, 0.9, 0.5, 0.2]), budget=2)
    assert alerts.rows.tolist() == [1, 2, 3]


def test_a_threshold_leaves_alerts_out() -> None:
    day, card = np.zeros(3, int), np.arange(3)
    assert daily_alerts(day, card, np.array([0.1, 0.9, 0.5]), threshold=0.5).rows.tolist() == [1, 2]


def test_precision_at_a_recall_is_that_of_the_first_threshold_that_reaches_it() -> None:
    fraud = np.array([1, 0, 1, 0, 0, 1, 0, 1, 1, 0])
    score = -np.arange(10.0)
    found = precision_at_recall(fraud, score[:, None])
    assert found["20 %"] == 1.0  # one of five
    assert found["40 %"] == pytest.approx(2 / 3)
    assert found["60 %"] == pytest.approx(3 / 6)


def test_the_report_draws_each_model_once_in_both_drawings() -> None:
    figures = {
        "metrics": {
            "precision_at_recall[10 %]": 0.9,
            "precision_at_recall[20 %]": 0.5,
            "by_day[2018-08-08 card_precision]": 0.3,
        }
    }
    section = report_section({"reference": figures, "compressed": figures, "baselines": []})
    assert section.html.count("<svg") == 2
    assert section.html.count("<polyline") == 4
    assert "08-08" in section.html
