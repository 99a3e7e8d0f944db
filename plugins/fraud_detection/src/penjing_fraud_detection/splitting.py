"""Which transactions are for training, for choosing and for the test: in the order of time, with a delay between.

Source: the Fraud Detection Handbook (Le Borgne et al. 2022), chapter 3, "Defining a training and test set". A bank
knows of a fraud some days later, so the test begins that many days after the training ends. A card whose fraud is known
by then is blocked: it is not in the test any more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penjing.errors import DataError
from penjing_fraud_detection.features import DAY, Transactions


@dataclass(frozen=True, kw_only=True)
class Periods:
    """Days of the parts, all whole days."""

    train_start: int
    """First day of training, counted from 1970-01-01."""
    train_days: int
    delay_days: int
    test_days: int

    @property
    def test_start(self) -> int:
        """First day of the test."""
        return self.train_start + self.train_days + self.delay_days

    @property
    def end(self) -> int:
        """The day after the last of the test."""
        return self.test_start + self.test_days

    @property
    def before(self) -> Periods:
        """The same parts, moved so far back that their test ends where a delay before the training begins."""
        back = self.end - (self.train_start - self.delay_days)
        return Periods(
            train_start=self.train_start - back,
            train_days=self.train_days,
            delay_days=self.delay_days,
            test_days=self.test_days,
        )


def training_rows(transactions: Transactions, periods: Periods) -> np.ndarray:
    """Rows of the training days."""
    first = periods.train_start
    return _between(transactions.time // DAY, first, first + periods.train_days)


def rows_under_test(transactions: Transactions, periods: Periods) -> np.ndarray:
    """Rows of the test days, of cards not known by then to be defrauded.

    On each day a card is known when it had a fraud since the training began and longer ago than the delay.

    Raises:
        DataError: It is not known which transactions were fraud.
    """
    if transactions.fraud is None:
        raise DataError("without known frauds there is no test part", where="splitting")
    day = transactions.time // DAY
    rows = _between(day, periods.test_start, periods.end)
    customers, number = np.unique(transactions.customer, return_inverse=True)
    first_fraud = np.full(len(customers), np.iinfo(np.int64).max)
    frauds = np.flatnonzero((transactions.fraud > 0) & (day >= periods.train_start))
    np.minimum.at(first_fraud, number[frauds], day[frauds])
    known = first_fraud[number[rows]] < day[rows] - periods.delay_days
    return rows[~known]


def _between(day: np.ndarray, first: int, last: int) -> np.ndarray:
    return np.flatnonzero((day >= first) & (day < last))


def day_number(text: str) -> int:
    """'2018-07-25' as days since 1970-01-01.

    Raises:
        DataError: It is no date.
    """
    try:
        return int(np.datetime64(text, "D").astype(np.int64))
    except ValueError as error:
        raise DataError(f"'{text}' is no date", where="[data]", hint="write it like 2018-07-25") from error
