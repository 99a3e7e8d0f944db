"""What a team with a fixed number of alerts a day finds: cards, transactions, money; day by day.

Each takes `(predict, split, splits)`. A split's day and kind of fraud are among its slices, its cards are its groups,
and its amounts stand among its features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing_fraud_detection.alerts import BUDGET, daily_alerts, defrauded
from penjing_fraud_detection.metrics import auc, average_precision

Predict = Callable[[Any], np.ndarray]
RESAMPLES = 2_000
COST_OF_AN_ALERT = 5.0
"""In the currency of the amounts: what it costs to look at one card."""


def card_precision(predict: Predict, split: Split, splits: Splits) -> float:
    """Share of the 100 alerted cards that were defrauded that day, mean over the days: the Handbook's CP@100."""
    return float(np.mean(_by_day(split, _scores(predict, split))[2]))


def at_budget(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """What 100 alerts a day find.

    Returns:
        `card_precision_low` and `_high`: 95 % interval of the card precision, percentile bootstrap over days.
        `alerts_a_day`. `card_recall`: share of the defrauded cards of a day that are alerted, pooled over days; a card
        counts on each day that it was defrauded and not yet blocked. `transaction_recall`: share of frauds that are
        themselves the alert. `amount_recall`: share of the money lost. `cost_a_day`: money lost to cards that are not
        alerted, and 5 for each alert; `cost_a_day_without`: money lost without any alert.
    """
    score = _scores(predict, split)
    day, cards, precisions = _by_day(split, score)
    fraud = np.asarray(split.y).reshape(-1)
    alerts = daily_alerts(day, cards, score, fraud)
    hit = defrauded(day, cards, fraud, alerts)
    pairs = {(int(d), int(c)) for d, c, h in zip(alerts.days, cards[alerts.rows], hit, strict=True) if h}
    blocked_from = {card: first for first, card in sorted(pairs, reverse=True)}
    frauds = np.flatnonzero(fraud > 0)
    open_frauds = [row for row in frauds if int(day[row]) <= blocked_from.get(int(cards[row]), int(day[row]))]
    caught = [(int(day[row]), int(cards[row])) in pairs for row in open_frauds]
    every_amount = np.asarray(split.raw)[:, _amount_column(splits)]
    amount = every_amount[np.array(open_frauds, np.int64)]
    days = len(precisions)
    resampled = np.random.default_rng(0).choice(precisions, (RESAMPLES, days)).mean(axis=1)
    cards_open = {(int(day[row]), int(cards[row])) for row in open_frauds}
    missed = float(amount[~np.array(caught, bool)].sum()) if len(amount) else 0.0
    return {
        "card_precision_low": float(np.quantile(resampled, 0.025)),
        "card_precision_high": float(np.quantile(resampled, 0.975)),
        "alerts_a_day": len(alerts.rows) / days,
        "card_recall": len(pairs) / len(cards_open) if cards_open else float("nan"),
        "transaction_recall": float(np.mean(np.isin(open_frauds, alerts.rows))) if open_frauds else float("nan"),
        "amount_recall": 1 - missed / float(amount.sum()) if len(amount) and amount.sum() else float("nan"),
        "cost_a_day": (missed + COST_OF_AN_ALERT * len(alerts.rows)) / days,
        "cost_a_day_without": float(every_amount[frauds].sum()) / days,
    }


def by_day(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """Average precision, AUC and card precision of each day of the test, as a team would have met them."""
    score = _scores(predict, split)
    day, _, precisions = _by_day(split, score)
    fraud = np.asarray(split.y).reshape(-1)
    found: dict[str, float] = {}
    for number, precision in zip(np.unique(day), precisions, strict=True):
        rows = day == number
        name = str(np.datetime64(int(number), "D"))
        found[f"{name} average_precision"] = average_precision(fraud[rows], score[rows])
        found[f"{name} auc"] = auc(fraud[rows], score[rows])
        found[f"{name} card_precision"] = float(precision)
        found[f"{name} frauds"] = float(fraud[rows].sum())
    return found


def recall_by_kind(predict: Predict, split: Split, splits: Splits) -> dict[str, float]:
    """Share of the frauds of each kind whose card is alerted on that day; kinds are known in simulated data only."""
    kind = np.asarray(split.slices["kind of fraud"])
    if set(kind) <= {"none", "fraud"}:
        return {}
    score = _scores(predict, split)
    day, cards, _ = _by_day(split, score)
    fraud = np.asarray(split.y).reshape(-1)
    alerts = daily_alerts(day, cards, score, fraud)
    alerted = {(int(d), int(c)) for d, c in zip(alerts.days, cards[alerts.rows], strict=True)}
    frauds = np.flatnonzero(fraud > 0)
    caught = np.array([(int(day[row]), int(cards[row])) in alerted for row in frauds], bool)
    return {str(name): float(caught[kind[frauds] == name].mean()) for name in np.unique(kind[frauds])}


def _scores(predict: Predict, split: Split) -> np.ndarray:
    return np.asarray(predict(split.x)).reshape(-1)


def _by_day(split: Split, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(day of each row, card of each row, card precision of each day)."""
    day = np.asarray(split.slices["day"]).astype("datetime64[D]").astype(np.int64)
    _, cards = np.unique(np.asarray(split.ids if split.groups is None else split.groups), return_inverse=True)
    fraud = np.asarray(split.y).reshape(-1)
    alerts = daily_alerts(day, cards, score, fraud)
    hit = defrauded(day, cards, fraud, alerts)
    return day, cards, np.array([hit[alerts.days == number].sum() / BUDGET for number in np.unique(day)])


def _amount_column(splits: Splits) -> int:
    names = [name.lower() for name in splits.preprocessing["features"]]
    return next((names.index(name) for name in ("tx_amount", "amount", "amt") if name in names), 0)
