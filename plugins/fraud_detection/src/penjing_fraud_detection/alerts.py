"""Alerts of a day: a team can look at so many cards, and takes those with the highest scores. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BUDGET = 100
"""Cards that a team can look at in a day, as in the Handbook."""


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """What was looked at."""

    rows: np.ndarray
    """Row of the alerted cards' highest transaction, day after day, highest first within a day."""
    days: np.ndarray
    """Day of each."""


def daily_alerts(
    day: np.ndarray,
    card: np.ndarray,
    score: np.ndarray,
    fraud: np.ndarray | None = None,
    *,
    budget: int = BUDGET,
    threshold: float = -np.inf,
) -> Alerts:
    """The cards with the highest scores of each day.

    Source: the Fraud Detection Handbook (Le Borgne et al. 2022), chapter 4, "Precision top-k metrics". A card counts
    with its highest transaction of the day. Where frauds are given, a card that was alerted on a day with a fraud is
    blocked from the next day on.

    Args:
        day: Any number of the day, shape (n,), ascending.
        card: A number of the card, shape (n,).
        score: Shape (n,), higher is more suspect. Of equal scores the earlier row comes first.
        fraud: 0/1 of shape (n,), or None.
        budget: Cards a day.
        threshold: Lower scores give no alert.
    """
    _, number = np.unique(card, return_inverse=True)
    blocked = np.zeros(int(number.max()) + 1 if len(number) else 0, bool)
    rows: list[np.ndarray] = []
    for start, end in _runs(day):
        today = np.arange(start, end)
        today = today[~blocked[number[today]] & (score[today] >= threshold)]
        falling = today[np.argsort(-score[today], kind="stable")]
        _, first = np.unique(number[falling], return_index=True)
        taken = falling[np.sort(first)][:budget]
        rows.append(taken)
        if fraud is not None:
            whole = np.arange(start, end)
            defrauded = np.unique(number[whole][fraud[whole] > 0])
            blocked[np.intersect1d(number[taken], defrauded)] = True
    found = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return Alerts(rows=found, days=day[found])


def defrauded(day: np.ndarray, card: np.ndarray, fraud: np.ndarray, alerts: Alerts) -> np.ndarray:
    """bool for each alert: the card had a fraud on that day, by whichever transaction."""
    pairs = {(int(d), int(c)) for d, c, f in zip(day, card, fraud, strict=True) if f}
    return np.array([(int(day[row]), int(card[row])) in pairs for row in alerts.rows], bool)


def _runs(day: np.ndarray) -> list[tuple[int, int]]:
    """(first, last + 1) of the rows of each day."""
    if not len(day):
        return []
    edges = np.flatnonzero(np.diff(day)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(day)], strict=True))
