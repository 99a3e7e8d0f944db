"""The built-in sample of fraud detection: card transactions of simulated customers, with three kinds of fraud.

Written from the description in the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot and Bontempi 2022), chapter
3, "Transaction data simulator":

- Customers and terminals lie at random in a square. A customer has a mean amount, an amount's spread of half of it, a
  mean number of transactions a day, and uses the terminals near by, each as often.
- Transactions of a day come at a bell-shaped time around noon.
- Fraud 1: every amount above 220. Fraud 2: some terminals are compromised each day; all that passes there for 28 days
  is fraud. Fraud 3: some cards leak each day; for 14 days a third of their transactions are fraud, five times as large.

At other sizes the square and the numbers of frauds change in proportion, so that a small sample is like a large one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from penjing_datasets.errors import DatasetError

DAY_SECONDS = 86_400
SCENARIOS = ("none", "large amount", "compromised terminal", "leaked card")
"""Kinds of fraud by their number."""

_CUSTOMERS, _TERMINALS, _SIDE = 5_000, 10_000, 100.0  # the Handbook's size; rates below are for it
_RADIUS = 5.0
_COMPROMISED_TERMINALS_A_DAY, _LEAKED_CARDS_A_DAY = 2.0, 3.0
_TERMINAL_DAYS, _CARD_DAYS = 28, 14
_LARGE_AMOUNT = 220.0
_LEAKED_SHARE, _LEAKED_FACTOR = 1 / 3, 5.0


@dataclass(frozen=True, kw_only=True)
class SimulatedTransactions:
    """Transactions in the order of time, each column an array of shape (n,)."""

    time: np.ndarray
    """int64, seconds since 1970."""
    customer: np.ndarray
    """int64, from 0."""
    terminal: np.ndarray
    """int64, from 0."""
    amount: np.ndarray
    """float64, two decimals."""
    fraud: np.ndarray
    """int8, 1 for fraud."""
    scenario: np.ndarray
    """int8, a place in `SCENARIOS`."""

    def __len__(self) -> int:
        return len(self.time)

    @property
    def sha256(self) -> str:
        """Hash of all columns."""
        digest = hashlib.sha256()
        for values in vars(self).values():
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def summary(self) -> dict[str, float]:
        """Figures to hold beside those of another set."""
        days = np.unique(self.time // DAY_SECONDS)
        fraud = self.fraud > 0
        figures = {
            "transactions_per_day": len(self) / len(days),
            "transactions_per_customer_and_day": len(self) / len(days) / len(np.unique(self.customer)),
            "fraud_share": float(fraud.mean()),
            "mean_amount": float(self.amount.mean()),
            "median_amount": float(np.median(self.amount)),
            "mean_fraud_amount": float(self.amount[fraud].mean()) if fraud.any() else float("nan"),
            "share_before_7": float(np.mean(self.time % DAY_SECONDS < 7 * 3_600)),
            "fraudulent_transactions_per_day": float(fraud.sum() / len(days)),
        }
        for number, name in enumerate(SCENARIOS[1:], start=1):
            figures[f"fraud_share_{name.replace(' ', '_')}"] = float(np.mean(self.scenario == number))
        return figures


def simulate_transactions(
    *, customers: int = 1_000, terminals: int = 2_000, days: int = 100, start: str = "2018-04-01", seed: int = 0
) -> SimulatedTransactions:
    """Simulate; equal arguments give equal transactions.

    Args:
        start: The first day, ISO 8601.

    Raises:
        DatasetError: A number is below 1, or the start is no date.
    """
    for name, value in {"customers": customers, "terminals": terminals, "days": days}.items():
        if value < 1:
            raise DatasetError(f"the number of {name} cannot be {value}", where="simulate_transactions")
    try:
        first_day = int(np.datetime64(start, "D").astype(np.int64))
    except ValueError as error:
        raise DatasetError(f"'{start}' is no date", hint="write it like 2018-04-01") from error
    generator = np.random.default_rng([seed, 71])
    side = _SIDE * (terminals / _TERMINALS) ** 0.5
    near, reached = _terminals_near(
        generator.uniform(0, side, (customers, 2)), generator.uniform(0, side, (terminals, 2))
    )
    mean_amount = generator.uniform(5, 100, customers)
    rate = generator.uniform(0, 4, customers)

    counts = generator.poisson(rate[:, None], (customers, days))
    customer = np.repeat(np.arange(customers), counts.sum(axis=1))
    day = np.repeat(np.tile(np.arange(days), customers), counts.reshape(-1))
    second = np.rint(generator.normal(DAY_SECONDS / 2, 20_000, len(customer))).astype(np.int64)
    amount = generator.normal(mean_amount[customer], mean_amount[customer] / 2)
    amount = np.where(amount < 0, generator.uniform(0, 2 * mean_amount[customer]), amount)
    choice = generator.random(len(customer))
    kept = (second > 0) & (second < DAY_SECONDS) & (reached[customer] > 0)
    customer, day, second, amount, choice = (values[kept] for values in (customer, day, second, amount, choice))
    first = np.concatenate([[0], np.cumsum(reached)])[:-1]
    terminal = near[first[customer] + (choice * reached[customer]).astype(np.int64)]

    order = np.lexsort((second, day))
    customer, day, second, terminal = customer[order], day[order], second[order], terminal[order]
    amount = np.round(amount[order], 2)
    scenario = np.where(amount > _LARGE_AMOUNT, 1, 0).astype(np.int8)
    broken = _spells(terminals, days, _COMPROMISED_TERMINALS_A_DAY * terminals / _TERMINALS, _TERMINAL_DAYS, generator)
    scenario[broken[terminal, day]] = 2
    leaked = _leaked(customer, day, customers, days, generator)
    amount[leaked] = np.round(_LEAKED_FACTOR * amount[leaked], 2)
    scenario[leaked] = 3
    return SimulatedTransactions(
        time=(first_day + day) * DAY_SECONDS + second,
        customer=customer,
        terminal=terminal,
        amount=amount,
        fraud=(scenario > 0).astype(np.int8),
        scenario=scenario,
    )


def _terminals_near(homes: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(terminals that each customer reaches, customer after customer; how many each reaches)."""
    from scipy.spatial import cKDTree

    lists = cKDTree(places).query_ball_point(homes, _RADIUS, return_sorted=True)
    reached = np.array([len(found) for found in lists], np.int64)
    near = np.concatenate([np.asarray(found, np.int64) for found in lists]) if reached.sum() else np.zeros(0, np.int64)
    return near, reached


def _spells(count: int, days: int, rate: float, length: int, generator: np.random.Generator) -> np.ndarray:
    """bool of shape (count, days): who is under a spell on which day. `rate` begin each day, `length` days each."""
    marked = np.zeros((count, days), bool)
    for day, chosen in _begun(count, days, rate, generator):
        marked[chosen, day : day + length] = True
    return marked


def _leaked(
    customer: np.ndarray, day: np.ndarray, customers: int, days: int, generator: np.random.Generator
) -> np.ndarray:
    """Rows that were paid with a leaked card by someone else."""
    order = np.argsort(customer, kind="stable")  # days stay in order
    bounds = np.searchsorted(customer[order], np.arange(customers + 1))
    taken: list[np.ndarray] = []
    for begin, chosen in _begun(customers, days, _LEAKED_CARDS_A_DAY * customers / _CUSTOMERS, generator):
        for card in chosen:
            rows = order[bounds[card] : bounds[card + 1]]
            rows = rows[slice(*np.searchsorted(day[rows], [begin, begin + _CARD_DAYS]))]
            taken.append(generator.choice(rows, int(len(rows) * _LEAKED_SHARE), replace=False))
    return np.unique(np.concatenate(taken)) if taken else np.zeros(0, np.int64)


def _begun(count: int, days: int, rate: float, generator: np.random.Generator) -> list[tuple[int, np.ndarray]]:
    """(day, who is drawn on it). A rate that is no whole number is reached on average."""
    found = []
    for day in range(days):
        number = min(count, int(rate) + int(generator.random() < rate % 1))
        found.append((day, generator.choice(count, number, replace=False)))
    return found
