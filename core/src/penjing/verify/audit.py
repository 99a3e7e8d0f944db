"""What compression damaged, slice by slice: the primary metric of both models, and whether a loss is beyond chance.

Many slices tested at once find damage by accident; Holm's correction (Holm 1979, "A simple sequentially rejective
multiple test procedure") keeps the chance of any false alarm below 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.verify.statistics import Interval, MetricFunction, paired_difference

SMALLEST_SLICE = 20
"""Examples below which a slice is shown but not judged."""
RESAMPLES_A_SLICE = 40
"""Twice what the first hurdle needs at least."""


@dataclass(frozen=True, kw_only=True)
class SliceAudit:
    """One value of one slice column."""

    slice: str
    value: str
    n: int
    reference: float
    compressed: float
    difference: Interval | None
    """compressed - reference; None for a slice that is too small."""
    verdict: str
    """'no damage seen', 'damaged', or 'too few to judge'."""


def audit_slices(
    metric: MetricFunction,
    targets: Any,
    reference: Any,
    compressed: Any,
    slices: Mapping[str, Any],
    *,
    higher_is_better: bool,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[SliceAudit, ...]:
    """Audit every value of every slice column.

    With many slices Holm's first hurdle is low (0.05 / slices), and a chance is no smaller than 1 / (resamples + 1). A
    slice that loses in every resample is drawn again, often enough that the hurdle can be passed.

    Args:
        metric: (targets, outputs) -> float.
        targets: Shape (n, ...); `reference` and `compressed` are the outputs of both models.
        slices: Columns of shape (n,) by name.
    """
    targets = np.asarray(targets)
    reference, compressed = np.asarray(reference), np.asarray(compressed)
    rows: list[tuple[SliceAudit, float | None]] = []
    judged = sum(
        int(np.count_nonzero(np.unique(np.asarray(column).astype(str), return_counts=True)[1] >= SMALLEST_SLICE))
        for column in slices.values()
    )
    many = RESAMPLES_A_SLICE * judged
    for name, column in slices.items():
        column = np.asarray(column).astype(str)
        for value in np.unique(column):
            chosen = np.flatnonzero(column == value)
            small = len(chosen) < SMALLEST_SLICE
            difference, chance = None, None
            if not small:
                outputs = (targets[chosen], reference[chosen], compressed[chosen])
                difference, chance = _difference(metric, *outputs, higher_is_better, resamples, seed)
                if many > resamples and chance <= 1 / resamples:
                    difference, chance = _difference(metric, *outputs, higher_is_better, many, seed)
            row = SliceAudit(
                slice=name,
                value=str(value),
                n=len(chosen),
                reference=float(metric(targets[chosen], reference[chosen])),
                compressed=float(metric(targets[chosen], compressed[chosen])),
                difference=difference,
                verdict="too few to judge" if small else "no damage seen",
            )
            rows.append((row, chance))
    return _with_verdicts(rows)


def _difference(
    metric: MetricFunction,
    targets: np.ndarray,
    reference: np.ndarray,
    compressed: np.ndarray,
    higher_is_better: bool,
    resamples: int,
    seed: int,
) -> tuple[Interval, float]:
    drawn: list[float] = []

    def recorded(t: Any, o: Any) -> float:
        drawn.append(metric(t, o))
        return drawn[-1]

    prepare = getattr(metric, "prepare", None)
    if prepare is not None:

        def prepared(t: Any, o: Any) -> Any:
            by_count = prepare(t, o)

            def recorded_count(counts: Any) -> float:
                drawn.append(by_count(counts))
                return drawn[-1]

            return recorded_count

        recorded.prepare = prepared  # type: ignore[attr-defined]
    interval = paired_difference(recorded, targets, reference, compressed, resamples=resamples, seed=seed)
    # paired_difference asks for the compressed model first, then for the reference, resample by resample.
    values = np.array(drawn[: 2 * resamples]).reshape(-1, 2)
    loss = values[:, 1] - values[:, 0] if higher_is_better else values[:, 0] - values[:, 1]
    loss = loss[np.isfinite(loss)]
    # One-sided: how often a resample shows no loss at all.
    chance = (1 + int(np.count_nonzero(loss <= 0))) / (1 + len(loss))
    return interval, chance


def _with_verdicts(rows: list[tuple[SliceAudit, float | None]]) -> tuple[SliceAudit, ...]:
    judged = sorted((chance, index) for index, (_, chance) in enumerate(rows) if chance is not None)
    damaged: set[int] = set()
    for rank, (chance, index) in enumerate(judged):
        if chance > 0.05 / (len(judged) - rank):
            break
        damaged.add(index)
    return tuple(
        SliceAudit(**{**vars(row), "verdict": "damaged"}) if index in damaged else row
        for index, (row, _) in enumerate(rows)
    )
