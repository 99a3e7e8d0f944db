"""The split in time: the Handbook's counts, and which cards are left out."""

from __future__ import annotations

import numpy as np
import pytest

from penjing_fraud_detection.features import DAY, Transactions
from penjing_fraud_detection.reading import History
from penjing_fraud_detection.splitting import Periods, day_number, rows_under_test, training_rows

HANDBOOK = Periods(train_start=day_number("2018-07-25"), train_days=7, delay_days=7, test_days=7)


def test_the_handbooks_split_counts_as_published(handbook: History) -> None:
    transactions = handbook.transactions
    train, test = training_rows(transactions, HANDBOOK), rows_under_test(transactions, HANDBOOK)
    assert (len(train), transactions.fraud[train].sum()) == (67_240, 598)
    assert (len(test), transactions.fraud[test].sum()) == (58_264, 385)


def test_validation_is_before_training_by_the_delay() -> None:
    before = HANDBOOK.before
    assert before.test_start == day_number("2018-07-11")
    assert before.end == HANDBOOK.train_start - HANDBOOK.delay_days


@pytest.mark.parametrize(
    ("fraud_day", "test_day", "is_kept"),
    [
        (0, 14, False),  # in training: known when the test begins
        (6, 14, False),  # the last day of training, eight days before
        (7, 14, True),  # seven days before: not known yet
        (7, 15, False),  # a day later it is
        (13, 20, True),
    ],
)
def test_a_card_leaves_the_test_when_its_fraud_is_known(fraud_day: int, test_day: int, is_kept: bool) -> None:
    periods = Periods(train_start=0, train_days=7, delay_days=7, test_days=7)
    table = Transactions(
        time=np.array([fraud_day, test_day]) * DAY,
        customer=np.array([5, 5]),
        terminal=np.zeros(2),
        amount=np.ones(2),
        fraud=np.array([1, 0]),
    )
    assert (1 in rows_under_test(table, periods)) == is_kept
