"""What a team with a fixed number of alerts a day finds: cards, transactions, money; day by day.

Each takes `(predict, split, splits)`. A split's day and kind of fraud are among its slices, its cards likewise,
and its amounts stand among its features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import Estimate, Split, Splits
from penjing_fraud_detection.alerts import BUDGET, daily_alerts, defrauded
from penjing_fraud_detection.metrics import average_precision

Predict = Callable[[Any], np.ndarray]
RESAMPLES = 2_000
COST_OF_AN_ALERT = 5.0
"""In the currency of the amounts: what it costs to look at one card."""


def card_precision(predict: Predict, split: Split, splits: Splits) -> Estimate:
    """Share of the 100 alerted cards that were defrauded that day, mean over the days: the Handbook's CP@100. The
    interval is a percentile bootstrap over days."""
    precisions = _by_day(split, _scores(predict, split))[2]
    days = len(precisions)
    resampled = np.random.default_rng(0).choice(precisions, (RESAMPLES, days)).mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(
        value=float(np.mean(precisions)),
        low=float(low),
        high=float(high),
        method=f"bootstrap of {days} days, percentile, {RESAMPLES:,} resamples, 95%",
        n=days,
    )


def at_budget(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """What 100 alerts a day find.

    Returns:
        `alerts_a_day`. `card_recall`: share of the defrauded cards of a day that are alerted, pooled over days; a card
        counts on each day that it was defrauded and not yet blocked. `transaction_recall`: share of frauds that are
        themselves the alert. `amount_recall`: share of the money lost. `cost_a_day`: money lost to cards that are not
        alerted, and 5 for each alert; `cost_a_day_without`: money lost without any alert.
    """
    score = _scores(predict, split)
    day, cards, precisions = _by_day(split, score)
    found = _Found(day, cards, split, score)
    alerts, frauds, open_frauds, caught = found.alerts, found.frauds, found.open_frauds, found.caught
    every_amount = _amounts(split, splits)
    amount = every_amount[open_frauds]
    days = len(precisions)
    cards_open = {(int(day[row]), int(cards[row])) for row in open_frauds}
    missed = float(amount[~caught].sum())
    return {
        "alerts_a_day": len(alerts.rows) / days,
        "card_recall": len(found.pairs) / len(cards_open) if cards_open else float("nan"),
        "transaction_recall": float(np.mean(np.isin(open_frauds, alerts.rows))) if len(open_frauds) else float("nan"),
        "amount_recall": 1 - missed / float(amount.sum()) if len(amount) and amount.sum() else float("nan"),
        "cost_a_day": (missed + COST_OF_AN_ALERT * len(alerts.rows)) / days,
        "cost_a_day_without": float(every_amount[frauds].sum()) / days,
    }


def by_day(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """Average precision and card precision of each day of the test, as a team would have met them."""
    score = _scores(predict, split)
    day, _, precisions = _by_day(split, score)
    fraud = np.asarray(split.y).reshape(-1)
    found: dict[str, float] = {}
    for number, precision in zip(np.unique(day), precisions, strict=True):
        rows = day == number
        name = str(np.datetime64(int(number), "D"))
        found[f"{name} average_precision"] = average_precision(fraud[rows], score[rows])
        found[f"{name} card_precision"] = float(precision)
    return found


def recall_by_kind(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """Share of the frauds of each kind whose card is alerted on that day, or blocked before, which prevents them and
    leaves them out; kinds are known in simulated data only."""
    kind = np.asarray(split.slices["kind of fraud"])
    if set(kind) <= {"none", "fraud"}:
        return {}
    score = _scores(predict, split)
    day, cards, _ = _by_day(split, score)
    found = _Found(day, cards, split, score)
    kinds = kind[found.open_frauds]
    return {str(name): float(found.caught[kinds == name].mean()) for name in np.unique(kinds)}


class _Found:
    """Which frauds of a part are caught. A card that was caught is blocked from the next day on: what it would have
    lost then is prevented, and stands in no count."""

    def __init__(self, day: np.ndarray, cards: np.ndarray, split: Split, score: np.ndarray) -> None:
        fraud = np.asarray(split.y).reshape(-1)
        self.alerts = daily_alerts(day, cards, score, fraud)
        hit = defrauded(day, cards, fraud, self.alerts)
        self.pairs = {
            (int(d), int(c)) for d, c, h in zip(self.alerts.days, cards[self.alerts.rows], hit, strict=True) if h
        }
        """(day, card) that were caught."""
        blocked_on = {card: caught_on for caught_on, card in sorted(self.pairs, reverse=True)}
        self.frauds = np.flatnonzero(fraud > 0)
        still = [int(day[row]) <= blocked_on.get(int(cards[row]), int(day[row])) for row in self.frauds]
        self.open_frauds = self.frauds[np.array(still, bool)]
        self.caught = np.array([(int(day[row]), int(cards[row])) in self.pairs for row in self.open_frauds], bool)


def _scores(predict: Predict, split: Split) -> np.ndarray:
    return np.asarray(predict(split.x)).reshape(-1)


def _by_day(split: Split, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(day of each row, card of each row, card precision of each day)."""
    day = np.asarray(split.slices["day"]).astype("datetime64[D]").astype(np.int64)
    _, cards = np.unique(np.asarray(split.slices.get("card number", split.ids)), return_inverse=True)
    fraud = np.asarray(split.y).reshape(-1)
    alerts = daily_alerts(day, cards, score, fraud)
    hit = defrauded(day, cards, fraud, alerts)
    return day, cards, np.array([hit[alerts.days == number].sum() / BUDGET for number in np.unique(day)])


def _amounts(split: Split, splits: Splits) -> np.ndarray:
    """Amount of each row, shape (n,); NaN where no feature is one."""
    names = [name.lower() for name in splits.preprocessing["features"]]
    column = next((names.index(name) for name in ("tx_amount", "amount", "amt") if name in names), None)
    return np.full(len(split), np.nan) if column is None else np.asarray(split.raw)[:, column]


def precision_at_recall(targets: Any, outputs: Any) -> dict[str, float]:
    """Precision at the threshold that first finds 10, 20, ... 90 % of the frauds."""
    fraud, score = np.asarray(targets).reshape(-1), np.asarray(outputs).reshape(-1)
    falling = np.sort(score[fraud > 0])[::-1]
    found = {}
    for tenths in range(1, 10):
        threshold = falling[int(np.ceil(len(falling) * tenths / 10)) - 1]
        found[f"{10 * tenths} %"] = float(fraud[score >= threshold].mean())
    return found
