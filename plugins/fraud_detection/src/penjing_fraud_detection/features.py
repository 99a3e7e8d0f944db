"""What was known of a transaction when it was made: 14 features of its moment, its card and its terminal.

Source: the definition of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot and Bontempi 2022), chapter 3,
"Baseline feature transformation". A card's windows end with the transaction itself. Whether a transaction was fraud is
known only some days later, so a terminal's windows end that many days before.

Everything is counted in whole numbers, milliseconds and millionths of an amount, so that `point_in_time` over a table
and `penjing_fraud_detection.state` one by one give the very same numbers. Numpy only: this runs on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.errors import DataError

DAY = 86_400_000
"""Milliseconds."""
AMOUNT_UNITS = 1_000_000
"""Amounts are counted in millionths."""
LARGEST_AMOUNT = 1e9
"""So that thousands of such amounts in one window still fit into 64 bits."""

WINDOWS = (1, 7, 30)
"""Days, as in the Handbook."""
DELAY = 7
"""Days until it is known whether a transaction was fraud."""


def feature_names(windows: Sequence[int] = WINDOWS) -> tuple[str, ...]:
    """Names of the columns of `point_in_time`, the Handbook's; the amount comes first."""
    return (
        "TX_AMOUNT",
        "TX_DURING_WEEKEND",
        "TX_DURING_NIGHT",
        *(
            name
            for days in windows
            for name in (f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW", f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW")
        ),
        *(
            name
            for days in windows
            for name in (f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW", f"TERMINAL_ID_RISK_{days}DAY_WINDOW")
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Transactions:
    """Transactions in the order of time, each column an array of shape (n,)."""

    time: np.ndarray
    """int64, milliseconds since 1970 in the file's own time zone, ascending."""
    customer: np.ndarray
    """int64, a number for each card or customer."""
    terminal: np.ndarray
    """int64, a number for each terminal."""
    amount: np.ndarray
    """float64, in the file's currency."""
    fraud: np.ndarray | None = None
    """int8, 1 for fraud; None where it is not known."""
    row: np.ndarray | None = None
    """int64, the row of the file, counted from 1 without the header."""
    scenario: np.ndarray | None = None
    """int8, the kind of fraud, 0 for none; None where it is not known."""

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: Any) -> Transactions:
        """Some of the rows."""
        return Transactions(**{name: None if value is None else value[rows] for name, value in vars(self).items()})


def calendar(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(on a Saturday or Sunday, between 0:00 and 6:59), bool of shape (n,). Source: the Handbook."""
    weekday = (time // DAY + 3) % 7  # 1970 began on a Thursday, day 3 of a week that begins on Monday
    return weekday >= 5, time % DAY < 7 * DAY // 24


def amount_units(amount: np.ndarray) -> np.ndarray:
    """Amounts as whole numbers of millionths, int64 of shape (n,).

    Raises:
        DataError: An amount is not finite, or too large to be counted.
    """
    wrong = ~(np.abs(amount) <= LARGEST_AMOUNT)
    if wrong.any():
        raise DataError(
            f"{np.count_nonzero(wrong):,} amounts are not finite or beyond {LARGEST_AMOUNT:g}",
            where=f"first at index {int(np.argmax(wrong))}",
        )
    return np.rint(amount * AMOUNT_UNITS).astype(np.int64)


def point_in_time(
    transactions: Transactions, *, windows: Sequence[int] = WINDOWS, delay: int = DELAY, rows: Any = None
) -> np.ndarray:
    """Features of transactions, from these and the earlier ones in the table.

    Args:
        transactions: In the order of time; of two at the same moment the one that stands first came first. Unknown
            frauds count as none.
        windows: Days of each window.
        delay: Days until it is known whether a transaction was fraud.
        rows: Which rows are wanted; None gives all. The others still count as history.

    Returns:
        float64 of shape (n, 3 + 4 * windows), columns as `feature_names`. A terminal's risk is the share of frauds
        among its transactions in the window, 0 where there is none.

    Raises:
        DataError: The times are not in order, or an amount cannot be counted.
    """
    time = transactions.time
    if len(time) > 1 and (np.diff(time) < 0).any():
        raise DataError("the transactions are not in the order of time", where="point_in_time")
    chosen = np.arange(len(time)) if rows is None else np.arange(len(time))[rows]
    result = np.empty((len(chosen), 3 + 4 * len(windows)), np.float64)
    weekend, night = calendar(time[chosen])
    result[:, 0], result[:, 1], result[:, 2] = transactions.amount[chosen], weekend, night

    column = 3
    cards = _Timeline(transactions.customer, time, amount_units(transactions.amount), max(windows) * DAY, chosen)
    for days in windows:
        count, total = cards.until_itself(days * DAY)
        result[:, column] = count
        result[:, column + 1] = total / AMOUNT_UNITS / count
        column += 2
    frauds = np.zeros(len(time), np.int64) if transactions.fraud is None else transactions.fraud.astype(np.int64)
    terminals = _Timeline(transactions.terminal, time, frauds, (max(windows) + delay) * DAY, chosen)
    for days in windows:
        count, total = terminals.between((days + delay) * DAY, delay * DAY)
        result[:, column] = count
        result[:, column + 1] = np.divide(total, count, out=np.zeros(len(count)), where=count > 0)
        column += 2
    return result


class _Timeline:
    """Transactions side by side, owner after owner, each owner's in the order of time.

    One ascending key, owner * span + time, stands for both, so that the bounds of all windows are found by one binary
    search each, and sums are differences of one running total.
    """

    def __init__(
        self, owner: np.ndarray, time: np.ndarray, value: np.ndarray, longest: int, chosen: np.ndarray
    ) -> None:
        _, numbers = np.unique(owner, return_inverse=True)
        start = int(time[0]) if len(time) else 0
        self._margin = longest + 1  # a window never reaches into the stretch of the owner before
        span = (int(time[-1]) - start if len(time) else 0) + self._margin + 1
        if len(time) and (int(numbers.max()) + 1) * span > np.iinfo(np.int64).max:
            raise DataError(
                "there are too many owners over too long a time to be counted at once",
                why=f"{int(numbers.max()) + 1:,} cards or terminals over {span / DAY:,.0f} days",
                hint="give fewer months at a time",
            )
        key = numbers * span + (time - start) + self._margin
        order = np.argsort(key, kind="stable")
        self._key = key[order]
        self._total = np.concatenate([[0], np.cumsum(value[order])])
        position = np.empty(len(key), np.int64)
        position[order] = np.arange(len(key))
        # Asked in the order of the key, neighbouring searches touch the same memory.
        asked = np.argsort(position[chosen])
        self._back = np.empty(len(chosen), np.int64)
        self._back[asked] = np.arange(len(chosen))
        self._position = position[chosen][asked]

    def until_itself(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """(count, sum) over (t - window, t], no further than the transaction itself."""
        return self._sums(self._after(window), self._position + 1)

    def between(self, longest: int, shortest: int) -> tuple[np.ndarray, np.ndarray]:
        """(count, sum) over (t - longest, t - shortest]."""
        return self._sums(self._after(longest), self._after(shortest))

    def _after(self, age: int) -> np.ndarray:
        """The first place in the timeline that is younger than `age`."""
        return np.searchsorted(self._key, self._key[self._position] - age, side="right")

    def _sums(self, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (last - first)[self._back], (self._total[last] - self._total[first])[self._back]
