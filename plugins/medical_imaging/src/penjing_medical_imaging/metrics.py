"""Figures of merit over examples, as MedMNIST defines them where it does.

Targets are class numbers of shape (n,), or zeros and ones of shape (n, labels) where an image may have several. Outputs
are probabilities: (n, 1) for two classes, (n, classes), or (n, labels).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import Estimate
from penjing_medical_imaging.delong import delong

BINS = 15


def is_multilabel(targets: Any) -> bool:
    """Whether an image may have several labels."""
    targets = np.asarray(targets)
    return targets.ndim == 2 and targets.shape[1] > 1


def columns(targets: Any, outputs: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """(is positive, score) for each question that has a ROC curve: one for two classes, else each class against the
    rest, or each label."""
    targets, outputs = np.asarray(targets), np.asarray(outputs, np.float64)
    outputs = outputs.reshape(len(outputs), -1)
    if is_multilabel(targets):
        return [(targets[:, k] > 0.5, outputs[:, k]) for k in range(targets.shape[1])]
    numbers = targets.reshape(-1).astype(int)
    if outputs.shape[1] <= 2:
        return [(numbers == 1, outputs[:, -1])]
    return [(numbers == k, outputs[:, k]) for k in range(outputs.shape[1])]


def auc(targets: Any, outputs: Any) -> float:
    """Area under the ROC curve: of two classes; the mean over the classes, each against the rest; or over the labels.

    A class that has no example, or nothing but examples, has no curve and is left out of the mean. NaN where none has.
    Source: MedMNIST v2; area by ranks (Mann and Whitney 1947), ties counted half.
    """
    return _prepared(targets, outputs)(np.ones(len(np.asarray(targets)), np.int64))


def _prepared(targets: Any, outputs: Any) -> Callable[[Any], float]:
    """The area as a function of how often each example counts; scores are sorted once."""
    prepared = []
    for positive, score in columns(targets, outputs):
        order = np.argsort(score, kind="stable")
        ordered = score[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        prepared.append((order, positive[order], starts))

    def by_count(counts: Any) -> float:
        areas = []
        for order, positive, starts in prepared:
            weight = np.asarray(counts)[order].astype(np.float64)
            up = np.add.reduceat(weight * positive, starts)
            down = np.add.reduceat(weight * ~positive, starts)
            whole = up.sum() * down.sum()
            if whole:
                areas.append(float((up * (np.cumsum(down) - down / 2)).sum() / whole))
        return float(np.mean(areas)) if areas else float("nan")

    return by_count


auc.prepare = _prepared  # type: ignore[attr-defined]


def accuracy(targets: Any, outputs: Any) -> float:
    """Share of right decisions: the likeliest class, for two classes a probability above 0.5. Where an image may have
    several labels, the mean over the labels of the share that is right at 0.5. Source: MedMNIST v2."""
    targets = np.asarray(targets)
    if is_multilabel(targets):
        return float(np.mean((np.asarray(outputs) > 0.5) == (targets > 0.5)))
    return float(np.mean(decided(outputs) == targets.reshape(-1)))


def balanced_accuracy(targets: Any, outputs: Any) -> float:
    """Mean over the classes that occur of the share of each that is recognised; over labels, the mean of those of
    having and not having each."""
    targets = np.asarray(targets)
    if is_multilabel(targets):
        right = (np.asarray(outputs) > 0.5) == (targets > 0.5)
        shares = [
            right[targets[:, k] == v, k].mean() for k in range(targets.shape[1]) for v in np.unique(targets[:, k])
        ]
        return float(np.mean(shares))
    numbers, found = targets.reshape(-1), decided(outputs)
    return float(np.mean([np.mean(found[numbers == c] == c) for c in np.unique(numbers)]))


def decided(outputs: Any) -> np.ndarray:
    """Decided class of each example, shape (n,)."""
    outputs = np.asarray(outputs)
    outputs = outputs.reshape(len(outputs), -1)
    return outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0.5).astype(np.int64)


def auc_delong(targets: Any, outputs: Any) -> dict[Any, Estimate]:
    """The area with its 95 % interval by DeLong: of the finding for two classes, else of each class against the rest,
    or of each label. A class that has fewer than two examples, or two others, is left out."""
    questions = columns(targets, outputs)
    found: dict[Any, Estimate] = {}
    for number, (positive, score) in enumerate(questions):
        if 2 <= positive.sum() <= len(positive) - 2:
            compared = delong(positive, score)
            low, high = compared.interval()
            found[number if len(questions) > 1 else 1] = Estimate(
                value=float(compared.areas[0]), low=low, high=high, method="DeLong, logit, 95 %", n=len(positive)
            )
    return found


def calibration(targets: Any, outputs: Any) -> dict[str, float]:
    """How far probabilities are from what happened.

    Returns:
        "ece": expected calibration error over `BINS` bins of equal width (Guo et al. 2017): of the decision's
        probability for classes, of each label's for labels. "brier": mean squared error of the probabilities, summed
        over the classes where there are more than two (Brier 1950), the mean over the labels for labels.
    """
    targets = np.asarray(targets)
    p = np.clip(np.asarray(outputs, np.float64).reshape(len(targets), -1), 0, 1)
    if is_multilabel(targets) or p.shape[1] == 1:
        truth = targets.reshape(p.shape).astype(np.float64)
        return {"ece": expected_error(p.reshape(-1), truth.reshape(-1)), "brier": float(np.mean(np.square(p - truth)))}
    truth = np.eye(p.shape[1])[targets.reshape(-1).astype(int)]
    right = (p.argmax(axis=1) == targets.reshape(-1)).astype(np.float64)
    return {"ece": expected_error(p.max(axis=1), right), "brier": float(np.square(p - truth).sum(axis=1).mean())}


def expected_error(probability: np.ndarray, happened: np.ndarray) -> float:
    """Mean over bins of equal width of |mean probability - share that happened|, weighted by the bins' examples."""
    return float(sum(count * abs(p - share) for p, share, count in reliability(probability, happened))) / len(happened)


def reliability(probability: np.ndarray, happened: np.ndarray) -> list[tuple[float, float, int]]:
    """(mean probability, share that happened, examples) of each bin that has any."""
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    return [
        (float(probability[place == b].mean()), float(happened[place == b].mean()), int((place == b).sum()))
        for b in np.unique(place)
    ]


def quadratic_kappa(targets: Any, decisions: Any, classes: int) -> float:
    """Agreement beyond chance of ordered grades, errors weighed by their squared distance (Cohen 1968)."""
    table = np.zeros((classes, classes))
    np.add.at(table, (np.asarray(targets).reshape(-1).astype(int), np.asarray(decisions).astype(int)), 1)
    weight = np.square(np.arange(classes)[:, None] - np.arange(classes)[None])
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    chance = (weight * expected).sum()
    return float(1 - (weight * table).sum() / chance) if chance else float("nan")
