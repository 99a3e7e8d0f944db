"""Prequential evaluation: train, wait for the delay, test; then move on in time and do all of it again.

Source: Gama, Sebastiao and Rodrigues 2013, "On evaluating stream learning algorithms"; the Fraud Detection Handbook
(Le Borgne et al. 2022), chapter 5, "Validation strategies". One week's figures depend much on which frauds fall into
it; the spread over several weeks says by how much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.contract import FittedBaseline, Splits
from penjing_fraud_detection.alert_metrics import card_precision
from penjing_fraud_detection.data import DEFAULTS, splits_of_history
from penjing_fraud_detection.metrics import auc, average_precision
from penjing_fraud_detection.reading import History

Fit = Callable[[Splits, int], FittedBaseline]


@dataclass(frozen=True, kw_only=True)
class Period:
    """One model, trained from one day on."""

    train_start: str
    model: str
    average_precision: float
    auc: float
    card_precision: float


def evaluate_over_time(
    history: History,
    models: Mapping[str, Fit],
    starts: Sequence[str],
    *,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[Period]:
    """Fit every model anew for each start, on its training days alone, and test it after the delay.

    Args:
        history: What `read_table` gave.
        models: `f(splits, seed) -> FittedBaseline` by name, such as `baseline.fit_boosting`.
        starts: First training days, like 2018-07-25.
        options: Of the recipe's `[data]` table.

    Raises:
        DataError: A period does not lie within the data, or a part of it has no fraud.
    """
    found = []
    for start in starts:
        chosen = {**DEFAULTS, **(options or {}), "train_start": start}
        splits = splits_of_history(history, source=f"training from {start}", options=chosen, synthetic=False)
        for name, fit in models.items():
            fitted = fit(splits, seed)
            outputs = fitted.predict(splits.test.x)
            found.append(
                Period(
                    train_start=start,
                    model=name,
                    average_precision=average_precision(splits.test.y, outputs),
                    auc=auc(splits.test.y, outputs),
                    card_precision=card_precision(fitted.predict, splits.test, splits).value,
                )
            )
    return found


def summary(periods: Sequence[Period]) -> dict[str, dict[str, tuple[float, float]]]:
    """(mean, standard deviation over the periods) of each figure, by model."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for model in dict.fromkeys(period.model for period in periods):
        rows = [period for period in periods if period.model == model]
        found[model] = {}
        for figure in ("average_precision", "auc", "card_precision"):
            values = np.array([getattr(period, figure) for period in rows])
            spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            found[model][figure] = (float(values.mean()), spread)
    return found
