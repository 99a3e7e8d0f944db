"""Scoring a file: rows, alerts within the budget, reasons, an online state; and no card is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError
from penjing_fraud_detection.features import Transactions, feature_names, point_in_time
from penjing_fraud_detection.inputs import Inputs, input_names
from penjing_fraud_detection.predict import predict


class AmountModel:
    """A model that can be told by heart: the larger the amount, the more suspect. Tests of whole runs predict with real
    bundles."""

    labels = ("genuine", "fraud")
    manifest = SimpleNamespace(metrics={})

    def __init__(self, inputs: Inputs) -> None:
        self.preprocessing = inputs.to_json()

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x[:, input_names().index("log amount")][:, None] * 3 - 5


@pytest.fixture(scope="module")
def model(simulated: Transactions) -> AmountModel:
    return AmountModel(Inputs.fitted("transactions", feature_names(), point_in_time(simulated), (1, 7, 30), 7))


@pytest.fixture(scope="module")
def file(simulated: Transactions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predict") / "tx.csv"
    days = simulated.take(slice(0, 1_500))
    times = np.datetime_as_string(days.time.astype("datetime64[ms]"), unit="s")
    lines = [
        f"{time},card-4929-{customer},shop-{terminal},{amount}"
        for time, customer, terminal, amount in zip(times, days.customer, days.terminal, days.amount, strict=True)
    ]
    path.write_text("\n".join(["TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT", *lines]) + "\n")
    return path


def rows(model: AmountModel, *inputs: Path, **options) -> list[dict]:
    return list(predict(PredictRequest(bundle=model, inputs=tuple(map(str, inputs)), options=options)))


def test_every_transaction_has_a_row_with_its_probability(model: AmountModel, file: Path) -> None:
    found = rows(model, file)
    assert [row["row"] for row in found] == list(range(1, 1_501))
    assert all(0 <= row["probability"] <= 1 for row in found)
    assert found[0]["time"].startswith("2018-04-01 ")


def test_alerts_keep_to_the_daily_budget_and_are_the_highest(model: AmountModel, file: Path) -> None:
    found = rows(model, file, alerts=5)
    days = {row["time"][:10] for row in found}
    for day in days:
        today = [row for row in found if row["time"].startswith(day)]
        alerts = [row["probability"] for row in today if row["alert"]]
        assert len(alerts) == min(5, len(today))
        assert max(alerts) == max(row["probability"] for row in today)
        assert all(row["reasons"] for row in today if row["alert"])
        assert not any(row["reasons"] for row in today if not row["alert"])


def test_only_alerts_above_the_threshold_are_left(model: AmountModel, file: Path) -> None:
    found = rows(model, file, alerts=5, threshold=0.5, alerts_only=True)
    assert found
    assert all(row["alert"] and row["probability"] >= 0.5 for row in found)


def test_the_reason_is_what_the_model_looks_at(model: AmountModel, file: Path) -> None:
    found = rows(model, file, alerts=1, alerts_only=True)
    assert all(row["reasons"].startswith("the amount is ") for row in found)


def test_no_card_is_named(model: AmountModel, file: Path) -> None:
    assert "4929" not in repr(rows(model, file, alerts=3))


def test_two_halves_through_a_state_are_one_file(model: AmountModel, file: Path, tmp_path: Path) -> None:
    header, *lines = file.read_text().splitlines()
    halves = []
    for number, part in enumerate((lines[:700], lines[700:])):
        halves.append(tmp_path / f"half{number}.csv")
        halves[-1].write_text("\n".join([header, *part]) + "\n")
    whole = [row["probability"] for row in rows(model, file)]
    state = tmp_path / "state"
    parts = [row["probability"] for half in halves for row in rows(model, half, state=state)]
    assert parts == whole


@pytest.mark.parametrize("options", [{"alerts": 0}, {"threshold": 1.0}, {"reasons": -1}])
def test_options_out_of_range_are_refused(model: AmountModel, file: Path, options: dict) -> None:
    with pytest.raises(UsageError):
        rows(model, file, **options)


def test_nothing_to_score_is_said(model: AmountModel) -> None:
    with pytest.raises(UsageError, match="nothing to score"):
        rows(model)


def test_a_flat_table_does_not_fit_a_bundle_of_transactions(model: AmountModel, tmp_path: Path) -> None:
    (tmp_path / "flat.csv").write_text("V1,Amount\n1,2\n")
    with pytest.raises(DataError, match="flat table"):
        rows(model, tmp_path / "flat.csv")


class FlatModel:
    """Suspects a large `b`."""

    manifest = SimpleNamespace(metrics={})
    preprocessing = Inputs.fitted("table", ("a", "b"), np.array([[0.0, 0.0], [1.0, 2.0]]), (), 7).to_json()

    def predict(self, x: np.ndarray) -> np.ndarray:
        return 2 * x[:, 1:]


def test_a_flat_table_is_scored_whatever_the_order_of_its_columns(tmp_path: Path) -> None:
    (tmp_path / "flat.csv").write_text("b,note,a\n0,5,1\n9,5,1\n1,5,1\n")
    found = rows(FlatModel(), tmp_path / "flat.csv", alerts=1)
    assert [row["alert"] for row in found] == [False, True, False]
    assert found[1]["reasons"].startswith("b is 9, the median 1")
    assert "time" not in found[0]


def test_a_flat_table_without_a_column_that_is_needed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flat.csv").write_text("a,c\n0,1\n")
    with pytest.raises(DataError, match="no column 'b'"):
        rows(FlatModel(), tmp_path / "flat.csv")
