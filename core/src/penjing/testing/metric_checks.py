"""Checks of a domain's metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import Estimate, Metric
from penjing.testing.arrays import head, unchanged
from penjing.testing.checks import ConformanceError, NotApplicableError
from penjing.testing.domain_subject import DomainUnderTest

EXAMPLES = 400
_SURE = 0.999
"""A probability that is as good as certain, and still has a logarithm."""


def check_metrics_have_their_direction(subject: DomainUnderTest) -> None:
    """Perfect outputs score better than wrong ones, in the direction that the metric states.

    Turn `direction` round, or the metric's sign. Where the kit cannot know what a perfect output is, give
    perfect_outputs=f(targets, outputs) to DomainUnderTest.
    """
    targets, outputs = _sample_outputs(subject)
    perfect = perfect_outputs(subject, targets, outputs)
    wrong = _wrong_outputs(perfect, targets)
    told = []
    for metric in _single_figures(subject, targets, outputs):
        function = subject.resolve(metric.function)
        best, worst = (_figure(function(targets, given)) for given in (perfect, wrong))
        if not math.isfinite(best):
            told.append(f"{metric.name} of perfect outputs is {best}")
        elif not (best > worst if metric.direction == "higher" else best < worst):
            told.append(
                f"{metric.name} is {best:.4g} for perfect outputs, {worst:.4g} for wrong ones, "
                f"and {metric.direction} is said to be better"
            )
    if told:
        raise ConformanceError("\n".join(told))


def check_primary_metric_is_one_figure(subject: DomainUnderTest) -> None:
    """The primary metric is over examples and gives one finite number.

    Budget, verdict and intervals speak of it: return a float, and make further figures metrics of their own.
    """
    (primary,) = [metric for metric in subject.domain.metrics if metric.primary]
    if primary.kind != "examples":
        raise ConformanceError(f"'{primary.name}' is of kind '{primary.kind}'")
    targets, outputs = _sample_outputs(subject)
    value = subject.resolve(primary.function)(targets, outputs)
    if isinstance(value, Mapping) or not math.isfinite(float(value)):
        raise ConformanceError(f"'{primary.name}' gives {value!r}")


def check_metrics_change_nothing(subject: DomainUnderTest) -> None:
    """A metric does not change the targets and outputs that it is given.

    Work on a copy: np.array(outputs), not np.asarray.
    """
    targets, outputs = _sample_outputs(subject)
    for metric in subject.domain.metrics:
        if metric.kind == "examples":
            function = subject.resolve(metric.function)
            with unchanged(f"the metric '{metric.name}'", targets, outputs):
                function(targets, outputs)


def perfect_outputs(subject: DomainUnderTest, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """What a model that knows the targets would give, in the form of its outputs."""
    if subject.perfect_outputs is not None:
        return np.asarray(subject.perfect_outputs(targets, outputs))
    y = np.asarray(targets)
    sure, unsure = (_SURE, 1 - _SURE) if _are_probabilities(outputs) else (8.0, -8.0)
    if outputs.ndim == 2 and outputs.shape[1] > 1 and y.ndim == 1 and y.dtype.kind in "iu":
        if y.max() < outputs.shape[1]:
            rest = (1 - _SURE) / (outputs.shape[1] - 1) if _are_probabilities(outputs) else unsure
            perfect = np.full(outputs.shape, rest, np.float32)
            perfect[np.arange(len(y)), y] = sure
            return perfect
    elif y.size == outputs.size:
        y = y.reshape(outputs.shape)
        if set(np.unique(y)) <= {0, 1} and subject.domain.task not in ("regression", "forecast"):
            return np.where(y > 0, sure, unsure).astype(np.float32)
        return y.astype(np.float32)
    raise NotApplicableError(
        f"what is perfect for targets of shape {y.shape} and outputs of shape {outputs.shape} cannot be told: "
        "give perfect_outputs= to DomainUnderTest"
    )


def _wrong_outputs(perfect: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Outputs that are wrong everywhere, in the same range."""
    if perfect.ndim == 2 and perfect.shape[1] > 1 and np.asarray(targets).ndim == 1:
        return np.roll(perfect, 1, axis=1)
    low, high = float(np.nanmin(perfect)), float(np.nanmax(perfect))
    if len(np.unique(perfect)) == 2:
        return (low + high - perfect).astype(np.float32)
    spread = float(np.nanstd(perfect)) or 1.0
    return (np.roll(perfect, 1, axis=0) + 2 * spread).astype(np.float32)


def _sample_outputs(subject: DomainUnderTest) -> tuple[Any, np.ndarray]:
    """Targets of validation examples, and outputs of the untrained model for them."""
    from penjing.compression.workbench import predict

    part = subject.splits.validation
    count = min(EXAMPLES, len(part))
    targets = np.array(np.asarray(part.y)[:count])
    return targets, predict(subject.model, head(part.x, count))


def _single_figures(subject: DomainUnderTest, targets: Any, outputs: np.ndarray) -> list[Metric]:
    """Metrics over examples that give one number."""
    found = []
    for metric in subject.domain.metrics:
        if metric.kind == "examples":
            value = subject.resolve(metric.function)(targets, outputs)
            if not isinstance(value, Mapping):
                found.append(metric)
    return found


def _figure(value: Any) -> float:
    return float(value.value if isinstance(value, Estimate) else value)


def _are_probabilities(outputs: np.ndarray) -> bool:
    if outputs.min() < 0 or outputs.max() > 1:
        return False
    return outputs.ndim < 2 or outputs.shape[-1] == 1 or bool(np.allclose(outputs.sum(-1), 1, atol=1e-3))
