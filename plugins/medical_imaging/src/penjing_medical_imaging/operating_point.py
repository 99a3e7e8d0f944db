"""Decisions: the threshold that is chosen on the validation part, and what it does on the test part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import Estimate, Split, Splits
from penjing_medical_imaging.metrics import columns, decided, quadratic_kappa

RULES = ("youden", "sensitivity", "specificity")


def choose_threshold(positive: Any, scores: Any, rule: str = "youden", target: float = 0.95) -> float:
    """A threshold; scores above it are positive.

    Args:
        positive: bool of shape (n,).
        scores: Shape (n,).
        rule: "youden": of the thresholds whose sensitivity + specificity - 1 (Youden 1950) is within one standard error
            of the best, the highest: the validation part cannot tell them apart, and the highest has the fewest false
            alarms. "sensitivity" and "specificity": the highest, or lowest, threshold that reaches
            `target`.

    Returns:
        The middle between two neighbouring scores. 0.5 where one kind is missing.
    """
    positive, scores = np.asarray(positive, bool).reshape(-1), np.asarray(scores, np.float64).reshape(-1)
    count, rest = int(positive.sum()), int((~positive).sum())
    if not count or not rest:
        return 0.5
    values = np.unique(scores)
    cuts = np.concatenate([[values[0] - 1e-6], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-6]])
    sensitivity = 1 - np.searchsorted(np.sort(scores[positive]), cuts, side="right") / count
    specificity = np.searchsorted(np.sort(scores[~positive]), cuts, side="right") / rest
    if rule == "sensitivity":
        return float(cuts[np.flatnonzero(sensitivity >= target - 1e-12)[-1]])
    if rule == "specificity":
        return float(cuts[np.flatnonzero(specificity >= target - 1e-12)[0]])
    index = sensitivity + specificity - 1
    best = int(index.argmax())
    # Agresti and Coull's two added successes and failures keep the error of a perfect share above 0.
    error = np.sqrt(sum(_variance(share[best], n) for share, n in ((sensitivity, count), (specificity, rest))))
    return float(cuts[np.flatnonzero(index >= index[best] - error)[-1]])


def _variance(share: float, n: int) -> float:
    adjusted = (share * n + 2) / (n + 4)
    return adjusted * (1 - adjusted) / (n + 4)


def rates(positive: Any, decided_positive: Any) -> tuple[float, float]:
    """(sensitivity, specificity); NaN for a kind that does not occur."""
    positive, found = np.asarray(positive, bool), np.asarray(decided_positive, bool)
    with np.errstate(invalid="ignore"):
        sensitivity = found[positive].mean() if positive.any() else np.nan
        specificity = (~found[~positive]).mean() if (~positive).any() else np.nan
    return float(sensitivity), float(specificity)


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """(positive, negative) predictive value at a prevalence, by Bayes; NaN where nothing is decided so."""
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    right, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return (
        true / (true + false) if true + false else float("nan"),
        right / (right + missed) if right + missed else float("nan"),
    )


def operating_point(predict: Callable[[Any], np.ndarray], split: Split, splits: Splits) -> dict[str, float]:
    """Threshold from the validation part; sensitivity, specificity and predictive values on the given part.

    A finished bundle that is evaluated on other data keeps the threshold that it states: choosing it anew would be
    fitting it to that data.

    Returns:
        For two classes "threshold", "sensitivity", "specificity", "accuracy", "balanced accuracy", "ppv" and "npv" at
        the stated "prevalence", and sensitivity and specificity on the validation part. For labels the same of each,
        with its name before it (without npv and accuracies). For several classes, where the likeliest is decided,
        sensitivity, specificity and ppv of each.
    """
    prevalence = float(splits.extra["prevalence"])
    test = columns(split.y, predict(split.x))
    found: dict[str, float] = {"prevalence": prevalence}
    if splits.task not in ("binary", "multilabel"):
        outputs = predict(split.x)
        choice = decided(outputs)
        for number, label in enumerate(splits.labels):
            found |= _named(f"{label} ", rates(np.asarray(split.y) == number, choice == number), prevalence)
        return found
    validation = columns(splits.validation.y, predict(splits.validation.x))
    for number, ((truth, score), (known, seen)) in enumerate(zip(test, validation, strict=True)):
        start = "" if splits.task == "binary" else f"{splits.labels[number]} "
        stated = splits.extra.get("measured", {}).get(f"operating_point[{start}threshold]")
        threshold = choose_threshold(known, seen) if stated is None else float(stated)
        sensitivity, specificity = rates(truth, score > threshold)
        found[f"{start}threshold"] = threshold
        found |= _named(start, (sensitivity, specificity), prevalence)
        if not start:
            found["accuracy"] = float(np.mean((score > threshold) == truth))
            found["balanced accuracy"] = (sensitivity + specificity) / 2
            found["validation sensitivity"], found["validation specificity"] = rates(known, seen > threshold)
    return found


def _named(start: str, found: tuple[float, float], prevalence: float) -> dict[str, float]:
    ppv, npv = predictive_values(*found, prevalence)
    values = {f"{start}sensitivity": found[0], f"{start}specificity": found[1], f"{start}ppv": ppv}
    return values if start else {**values, "npv": npv}


def ordinal_agreement(predict: Callable[[Any], np.ndarray], split: Split, splits: Splits) -> dict[str, Any]:
    """For ordered grades: "quadratic kappa" with a 95 % bootstrap interval, and the mean distance in grades; else
    nothing."""
    if splits.task != "ordinal":
        return {}
    truth, choice, count = np.asarray(split.y).astype(int), decided(predict(split.x)), len(splits.labels)
    generator = np.random.default_rng(0)
    drawn = [
        quadratic_kappa(truth[rows], choice[rows], count)
        for rows in (generator.integers(0, len(truth), len(truth)) for _ in range(1000))
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return {
        "quadratic kappa": Estimate(
            value=quadratic_kappa(truth, choice, count),
            low=float(low),
            high=float(high),
            method="bootstrap of examples, percentile, 1,000 resamples, 95 %",
            n=len(truth),
        ),
        "mean distance in grades": float(np.abs(truth - choice).mean()),
    }
