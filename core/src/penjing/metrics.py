"""Metrics for models that come without a domain. Each takes (targets, outputs) as numpy arrays and returns a float."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from penjing.contract import Metric, Task
from penjing.errors import UsageError, did_you_mean

MetricFunction = Callable[..., float]


def accuracy(targets: Any, outputs: Any, threshold: float = 0.5) -> float:
    """Share of right decisions.

    Args:
        targets: Class numbers of shape (n,), or one-hot rows of shape (n, classes); for maps (pixels, time steps) class
            numbers of shape (n, *places), or one-hot (n, *places, classes).
        outputs: Scores of shape (n, classes), or one score a row, (n,) or (n, 1), which is cut at the threshold; for
            maps (n, *places, classes): every place is a decision.
        threshold: 0.5 for probabilities, 0 for logits.
    """
    targets, outputs = place_by_place(targets, outputs)
    return float(np.mean(decisions(outputs, threshold) == class_numbers(targets)))


def balanced_accuracy(targets: Any, outputs: Any, threshold: float = 0.5) -> float:
    """Mean over the classes of the share of each that is recognised. Arguments as of `accuracy`."""
    targets, outputs = place_by_place(targets, outputs)
    truth, decided = class_numbers(targets), decisions(outputs, threshold)
    return float(np.mean([np.mean(decided[truth == c] == c) for c in np.unique(truth)]))


def label_accuracy(targets: Any, outputs: Any, threshold: float = 0.5) -> float:
    """Share of right decisions over all examples and labels, where each example can have several labels.

    Args:
        targets: 0 or 1, of shape (n, labels).
        outputs: Scores of that shape, each cut at the threshold.
        threshold: 0.5 for probabilities, 0 for logits.
    """
    return float(np.mean((np.asarray(outputs) > threshold) == (np.asarray(targets) > 0.5)))


def auc(targets: Any, outputs: Any) -> float:
    """Area under the receiver operating characteristic, for two classes; NaN where only one occurs.

    Computed from ranks (Mann and Whitney 1947), ties counted half.
    """
    positive = class_numbers(targets) == 1
    scores = np.asarray(outputs, np.float64)
    scores = scores[:, 1] if scores.ndim == 2 and scores.shape[1] == 2 else scores.reshape(-1)
    count = int(positive.sum())
    if count in (0, len(positive)):
        return float("nan")
    _unique, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    rest = len(positive) - count
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * rest))


def mean_absolute_error(targets: Any, outputs: Any) -> float:
    """Mean of |output - target|, in the target's unit."""
    return float(np.mean(np.abs(_difference(targets, outputs))))


def root_mean_squared_error(targets: Any, outputs: Any) -> float:
    """Root of the mean of (output - target)^2, in the target's unit."""
    return float(np.sqrt(np.mean(np.square(_difference(targets, outputs)))))


def place_by_place(targets: Any, outputs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Targets and outputs of maps with each place as an example of its own; all others as they are."""
    targets, outputs = np.asarray(targets), np.asarray(outputs)
    if outputs.ndim < 3:
        return targets, outputs
    one_hot = targets.shape == outputs.shape and outputs.shape[-1] > 1
    return targets.reshape(-1, outputs.shape[-1]) if one_hot else targets.reshape(-1), outputs.reshape(
        -1, outputs.shape[-1]
    )


def class_numbers(targets: Any) -> np.ndarray:
    """Targets as class numbers of shape (n,): one-hot rows become their largest entry."""
    targets = np.asarray(targets)
    if targets.ndim == 2 and targets.shape[1] > 1:
        return targets.argmax(axis=1)
    return targets.reshape(-1).astype(np.int64)


def decisions(outputs: Any, threshold: float = 0.5) -> np.ndarray:
    """Outputs as decisions of shape (n,), of maps (n, *places): the largest score, or for a single score whether it
    exceeds the threshold."""
    outputs = np.asarray(outputs)
    if outputs.ndim >= 2 and outputs.shape[-1] > 1:
        return outputs.argmax(axis=-1)
    return (outputs.reshape(-1) > threshold).astype(np.int64)


def _difference(targets: Any, outputs: Any) -> np.ndarray:
    outputs = np.asarray(outputs, np.float64)
    return outputs - np.asarray(targets, np.float64).reshape(outputs.shape)


_DIRECTION = {"mean_absolute_error": "lower", "root_mean_squared_error": "lower"}
FUNCTIONS: dict[str, MetricFunction] = {
    function.__name__: function
    for function in (
        accuracy,
        balanced_accuracy,
        label_accuracy,
        auc,
        mean_absolute_error,
        root_mean_squared_error,
    )
}


def named_metric(name: str) -> Metric:
    """The metric of that name, as a domain would declare it.

    Raises:
        UsageError: There is no such metric.
    """
    if name not in FUNCTIONS:
        raise UsageError(f"unknown metric '{name}'", hint=did_you_mean(name, FUNCTIONS))
    return Metric(
        name=name,
        function=f"{__name__}:{name}",
        direction=_DIRECTION.get(name, "higher"),  # type: ignore[arg-type]
        primary=True,
    )


def usual_metric(task: Task) -> Metric:
    """The metric of a task when the user names none."""
    if task == "multilabel":
        return named_metric("label_accuracy")
    return named_metric("accuracy" if task in ("classification", "binary", "ordinal") else "mean_absolute_error")


def metric_function(name: str, threshold: float) -> MetricFunction:
    """The function of a built-in metric, with decisions cut at a threshold where it makes any."""
    function = FUNCTIONS[name]
    if "threshold" not in inspect.signature(function).parameters:
        return function
    return partial(function, threshold=threshold)
