"""Evaluation over several periods, each trained anew."""

from __future__ import annotations

import numpy as np
import pytest

from penjing.contract import FittedBaseline, Splits
from penjing.errors import DataError
from penjing_datasets.transaction_simulation import simulate_transactions
from penjing_fraud_detection.baseline import fit_baseline, fit_boosting
from penjing_fraud_detection.features import Transactions
from penjing_fraud_detection.prequential import evaluate_over_time, summary
from penjing_fraud_detection.reading import History

STARTS = ("2018-05-15", "2018-05-22", "2018-05-29")


@pytest.fixture(scope="module")
def history() -> History:
    made = simulate_transactions(customers=400, terminals=800, days=85, seed=6)
    table = Transactions(
        time=made.time * 1_000,
        customer=made.customer,
        terminal=made.terminal,
        amount=made.amount,
        fraud=made.fraud,
        row=np.arange(1, len(made) + 1),
    )
    return History(transactions=table, notes=(), sha256="", columns={}, counted=False)


def test_each_period_is_trained_on_its_own_days(history: History) -> None:
    trained: list[tuple[str, str, str]] = []

    def watch(splits: Splits, seed: int) -> FittedBaseline:
        days = sorted(set(splits.train.slices["day"]))
        trained.append((days[0], days[-1], min(splits.test.slices["day"])))
        return fit_baseline(splits, seed)

    periods = evaluate_over_time(history, {"logistic": watch}, STARTS)
    boosted = evaluate_over_time(history, {"boosting": fit_boosting}, STARTS[:1])
    assert [(period.model, period.auc > 0.6) for period in boosted] == [("boosting", True)]
    assert trained[0] == ("2018-05-15", "2018-05-21", "2018-05-29")
    assert [days[0] for days in trained] == list(STARTS)
    assert [period.train_start for period in periods] == list(STARTS)
    assert all(period.auc > 0.6 for period in periods)


def test_the_summary_is_mean_and_spread_over_the_periods(history: History) -> None:
    periods = evaluate_over_time(history, {"logistic": fit_baseline}, STARTS[:2])
    assert {period.model for period in periods} == {"logistic"}
    values = [period.average_precision for period in periods]
    found = summary(periods)["logistic"]["average_precision"]
    assert found == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))


def test_a_period_beyond_the_data_is_refused(history: History) -> None:
    with pytest.raises(DataError, match="too few"):
        evaluate_over_time(history, {"logistic": fit_baseline}, ["2018-08-01"])
