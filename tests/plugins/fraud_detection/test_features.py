"""Point-in-time features: the Handbook's own numbers, and the definition written out."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.errors import DataError
from penjing_fraud_detection.features import DAY, Transactions, calendar, feature_names, point_in_time
from penjing_fraud_detection.reading import History

HOUR = DAY // 24


def by_definition(t: Transactions, index: int, delay: int) -> list[float]:
    """The features of one transaction, looked up among all others."""
    now = t.time[index]
    moment = datetime(1970, 1, 1) + np.timedelta64(int(now), "ms").item()
    row = [t.amount[index], float(moment.weekday() >= 5), float(moment.hour <= 6)]
    before = range(index + 1)
    for days in (1, 7, 30):
        seen = [t.amount[i] for i in before if t.customer[i] == t.customer[index] and t.time[i] > now - days * DAY]
        row += [len(seen), sum(seen) / len(seen)]
    for days in (1, 7, 30):
        seen = [
            t.fraud[i]
            for i in range(len(t))
            if t.terminal[i] == t.terminal[index] and now - (days + delay) * DAY < t.time[i] <= now - delay * DAY
        ]
        row += [len(seen), sum(seen) / len(seen) if seen else 0.0]
    return row


def test_all_columns_equal_the_handbooks_own(handbook: History, oracle: Path, penjing_data: Path) -> None:
    pandas = pytest.importorskip("pandas")
    theirs = pandas.read_csv(oracle)
    ids = pandas.read_csv(penjing_data / "fraud_detection" / "transactions_2018-04-01_2018-08-31.csv.xz", usecols=[0])
    place = pandas.Series(np.arange(len(ids)), index=ids["TRANSACTION_ID"])
    rows = place[theirs["TRANSACTION_ID"]].to_numpy()
    ours = point_in_time(handbook.transactions, rows=rows)
    names = feature_names()
    assert len(names) == 15
    assert len(theirs) == 201_295
    for column, name in enumerate(names):
        np.testing.assert_allclose(ours[:, column], theirs[name], rtol=0, atol=1e-6, err_msg=name)


moments = st.integers(0, 45 * 24).map(lambda hour: hour * HOUR)


@given(
    events=st.lists(
        st.tuples(moments, st.integers(0, 2), st.integers(0, 2), st.integers(0, 30_000), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    delay=st.sampled_from([0, 7]),
)
def test_features_are_the_definition(events: list[tuple[int, int, int, int, bool]], delay: int) -> None:
    events.sort(key=lambda event: event[0])
    time, customer, terminal, cents, fraud = (np.array(column) for column in zip(*events, strict=True))
    table = Transactions(
        time=time, customer=customer, terminal=terminal, amount=cents / 100, fraud=fraud.astype(np.int8)
    )
    found = point_in_time(table, delay=delay)
    expected = np.array([by_definition(table, index, delay) for index in range(len(table))])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_chosen_rows_still_count_the_others_as_history(simulated: Transactions) -> None:
    rows = np.random.default_rng(0).permutation(len(simulated))[:500]
    np.testing.assert_array_equal(point_in_time(simulated, rows=rows), point_in_time(simulated)[rows])


def test_what_comes_later_changes_nothing(simulated: Transactions) -> None:
    half = len(simulated) // 2
    np.testing.assert_array_equal(point_in_time(simulated.take(slice(half))), point_in_time(simulated)[:half])


def test_a_fraud_is_not_known_before_the_delay_has_passed() -> None:
    days = np.array([0, 6, 7, 8]) * DAY
    table = Transactions(
        time=days, customer=np.arange(4), terminal=np.zeros(4), amount=np.ones(4), fraud=np.array([1, 0, 0, 0])
    )
    risk = point_in_time(table)[:, feature_names().index("TERMINAL_ID_RISK_30DAY_WINDOW")]
    assert risk.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_night_ends_at_seven_and_the_week_end_is_saturday_and_sunday() -> None:
    times = ["2018-07-27T23:59:59", "2018-07-28T06:59:59", "2018-07-29T07:00:00", "2018-07-30T00:00:00"]
    weekend, night = calendar(np.array(times, "datetime64[ms]").astype(np.int64))
    assert weekend.tolist() == [False, True, True, False]
    assert night.tolist() == [False, True, False, True]


@pytest.mark.parametrize("amount", [np.nan, np.inf, 2e9])
def test_amounts_that_cannot_be_counted_are_refused(amount: float) -> None:
    table = Transactions(time=np.zeros(1), customer=np.zeros(1), terminal=np.zeros(1), amount=np.array([amount]))
    with pytest.raises(DataError, match="index 0"):
        point_in_time(table)


def test_transactions_out_of_order_are_refused() -> None:
    table = Transactions(time=np.array([1, 0]), customer=np.zeros(2), terminal=np.zeros(2), amount=np.ones(2))
    with pytest.raises(DataError, match="order of time"):
        point_in_time(table)
