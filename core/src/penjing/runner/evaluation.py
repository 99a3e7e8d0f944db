"""Read the test part, once: every metric of reference, compressed file and baseline, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.contract import Estimate, Metric, Split, Splits
from penjing.errors import as_plugin_error
from penjing.metrics import class_numbers, decisions, place_by_place
from penjing.verify.audit import SliceAudit, audit_slices
from penjing.verify.statistics import Interval, bootstrap_interval, paired_difference

Predict = Callable[[Any], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures of one model on the test part."""

    metrics: Mapping[str, float | None]
    """None where a metric is not defined on this data."""
    intervals: Mapping[str, Interval]
    resampled: frozenset[str]
    """Metrics whose interval is a bootstrap over the examples."""
    outputs: np.ndarray


def score(
    metrics: tuple[Metric, ...],
    functions: Mapping[str, Callable[..., Any]],
    split: Split,
    splits: Splits,
    predict: Predict,
    *,
    seed: int,
    outputs: np.ndarray | None = None,
) -> Scores:
    """All metrics of a model.

    Args:
        outputs: What `predict` gives for `split.x`, if it is known already.

    Raises:
        PluginError: A metric failed.
    """
    outputs = predict(split.x) if outputs is None else outputs
    values: dict[str, float | None] = {}
    intervals: dict[str, Interval] = {}
    resampled: set[str] = set()
    for metric in metrics:
        function = functions[metric.name]
        with as_plugin_error(f"the metric '{metric.name}' failed", metric.function):
            system = metric.kind == "system"
            found = function(predict, split, splits) if system else function(split.y, outputs)
        if isinstance(found, Mapping):
            entries = {f"{metric.name}[{_key(key, splits.labels)}]": value for key, value in found.items()}
        else:
            entries = {metric.name: found}
        for name, value in entries.items():
            if isinstance(value, Estimate):
                values[name] = _number(value.value)
                intervals[name] = Interval(
                    estimate=value.value, low=value.low, high=value.high, method=value.method, n=value.n
                )
            else:
                values[name] = _number(value)
        if metric.kind == "examples" and metric.name in values and metric.name not in intervals:
            intervals[metric.name] = bootstrap_interval(function, split.y, outputs, groups=split.groups, seed=seed)
            resampled.add(metric.name)
    return Scores(metrics=values, intervals=intervals, resampled=frozenset(resampled), outputs=outputs)


def differences(
    metrics: tuple[Metric, ...],
    functions: Mapping[str, Callable[..., Any]],
    split: Split,
    reference: Scores,
    compressed: Scores,
    *,
    seed: int,
) -> dict[str, Interval]:
    """Compressed minus reference with a paired interval, for every metric over examples that is one plain number."""
    return {
        metric.name: paired_difference(
            functions[metric.name],
            split.y,
            reference.outputs,
            compressed.outputs,
            groups=split.groups,
            seed=seed,
        )
        for metric in metrics
        if metric.name in compressed.resampled
    }


def audit(
    primary: Metric,
    function: Callable[..., float],
    split: Split,
    columns: tuple[str, ...],
    reference: Scores,
    compressed: Scores,
    *,
    seed: int,
) -> tuple[SliceAudit, ...]:
    """The primary metric per slice."""
    slices = {name: split.slices[name] for name in columns if name in split.slices}
    return audit_slices(
        function,
        split.y,
        reference.outputs,
        compressed.outputs,
        slices,
        higher_is_better=primary.direction == "higher",
        seed=seed,
    )


def confusion(targets: Any, outputs: Any, classes: int, threshold: float = 0.5) -> list[list[int]]:
    """Counts by (true class, decided class)."""
    table = np.zeros((classes, classes), int)
    targets, outputs = place_by_place(targets, outputs)
    np.add.at(table, (class_numbers(targets), decisions(outputs, threshold)), 1)
    return table.tolist()


def _key(key: Any, labels: tuple[str, ...]) -> str:
    """A class number becomes its label; any other key stays."""
    return labels[key] if isinstance(key, int) and key < len(labels) else str(key)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
