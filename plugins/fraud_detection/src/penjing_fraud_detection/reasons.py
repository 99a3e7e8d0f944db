"""Why a transaction stands out, in words: how much of its score comes from which of its features.

For transactions: Shapley values over six groups of features, exactly (Shapley 1953; Strumbelj and Kononenko 2010).
The game's value of a set of groups is the file's own output, in log-odds, where those groups have the transaction's
features and the others the training part's medians. All 2^6 sets are computed, none is sampled, so the values add up to
the difference between the transaction's log-odds and those of the median transaction, up to rounding of the sum.

For a flat table, whose columns are too many for that: the output minus the output with one column at its median. This
is exact by its own definition and does not add up to anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing_fraud_detection.inputs import Inputs

Predict = Callable[[np.ndarray], Any]


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One part of an explanation."""

    group: str
    log_odds: float
    """What it adds to the log-odds."""
    words: str


def groups_of(inputs: Inputs) -> dict[str, tuple[int, ...]]:
    """Columns of the features by group."""
    if inputs.kind == "table":
        return {name: (index,) for index, name in enumerate(inputs.features)}
    rules: dict[str, Callable[[str], bool]] = {
        "amount": lambda name: name == "TX_AMOUNT",
        "moment": lambda name: name.startswith("TX_DURING"),
        "card's frequency": lambda name: name.startswith("CUSTOMER_ID_NB"),
        "card's usual amount": lambda name: name.startswith("CUSTOMER_ID_AVG"),
        "terminal's traffic": lambda name: name.startswith("TERMINAL_ID_NB"),
        "terminal's frauds": lambda name: name.startswith("TERMINAL_ID_RISK"),
    }
    return {
        group: tuple(index for index, name in enumerate(inputs.features) if rule(name)) for group, rule in rules.items()
    }


def contributions(features: np.ndarray, inputs: Inputs, predict: Predict) -> dict[str, float]:
    """What each group adds to the log-odds of one transaction, by the method that this module
    names for the kind of inputs.

    Args:
        features: float64 of shape (features,).
        predict: Inputs of shape (n, inputs) -> log-odds of shape (n, 1).
    """
    groups = groups_of(inputs)
    if inputs.kind == "table":
        rows = np.tile(features, (len(features) + 1, 1))
        for index in range(len(features)):
            rows[index + 1, index] = inputs.median[index]
        outputs = np.asarray(predict(inputs.of(rows)), np.float64).reshape(-1)
        return dict(zip(groups, (outputs[0] - outputs[1:]).tolist(), strict=True))
    count = len(groups)
    present = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 > 0
    rows = np.tile(np.array(inputs.median), (2**count, 1))
    for number, columns in enumerate(groups.values()):
        rows[np.ix_(present[:, number], columns)] = features[list(columns)]
    value = np.asarray(predict(inputs.of(rows)), np.float64).reshape(-1)
    size = present.sum(axis=1)
    found = {}
    for number, group in enumerate(groups):
        without = np.flatnonzero(~present[:, number])
        weight = np.array([1 / (count * math.comb(count - 1, int(size[index]))) for index in without])
        found[group] = float(np.sum(weight * (value[without + (1 << number)] - value[without])))
    return found


def reasons(features: np.ndarray, inputs: Inputs, predict: Predict, *, most: int = 3) -> list[Reason]:
    """The groups that raise the log-odds most, with words, largest first; none that lowers them."""
    added = contributions(features, inputs, predict)
    by_name = dict(zip(inputs.features, features.tolist(), strict=True))
    median = dict(zip(inputs.features, inputs.median, strict=True))
    raising = sorted((item for item in added.items() if item[1] > 0), key=lambda item: -item[1])[:most]
    return [
        Reason(group=group, log_odds=value, words=_words(group, by_name, median, inputs)) for group, value in raising
    ]


def _words(group: str, features: Mapping[str, float], median: Mapping[str, float], inputs: Inputs) -> str:
    if inputs.kind == "table":
        return f"{group} is {features[group]:.4g}, the median {median[group]:.4g}"
    longest = max(inputs.windows)
    if group == "amount":
        return f"the amount is {features['TX_AMOUNT']:,.2f}, the median {median['TX_AMOUNT']:,.2f}"
    if group == "moment":
        return _moment(features)
    if group == "card's usual amount":
        usual = features[f"CUSTOMER_ID_AVG_AMOUNT_{longest}DAY_WINDOW"]
        return f"the card's mean amount in {longest} days is {usual:,.2f}, this one included"
    if group == "card's frequency":
        return f"the card paid {_counts('CUSTOMER_ID_NB_TX', features, inputs.windows)}"
    if group == "terminal's traffic":
        visits = _counts("TERMINAL_ID_NB_TX", features, inputs.windows)
        return f"the terminal, up to {inputs.delay} days ago, had {visits}"
    counts = {days: features[f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"] for days in inputs.windows}
    frauds = {days: round(features[f"TERMINAL_ID_RISK_{days}DAY_WINDOW"] * counts[days]) for days in inputs.windows}
    if not any(frauds.values()):
        return f"the terminal had no known fraud up to {inputs.delay} days ago"
    # The shortest window that holds them all says most clearly how dense they are.
    days = min(days for days in inputs.windows if frauds[days] == max(frauds.values()))
    return (
        f"{frauds[days]} of the terminal's {counts[days]:.0f} transactions in {days} d, up to {inputs.delay} d ago, "
        "were fraud"
    )


def _moment(features: Mapping[str, float]) -> str:
    when = "at night (0:00 to 6:59)" if features["TX_DURING_NIGHT"] else "by day"
    return f"it was {when}, {'on a week-end' if features['TX_DURING_WEEKEND'] else 'on a weekday'}"


def _counts(prefix: str, features: Mapping[str, float], windows: Sequence[int]) -> str:
    each = [f"{features[f'{prefix}_{days}DAY_WINDOW']:.0f} in {days} d" for days in windows]
    return f"{', '.join(each)} (transactions)"
