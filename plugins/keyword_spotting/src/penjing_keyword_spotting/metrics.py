"""Metrics over clips."""

from __future__ import annotations

from typing import Any

import numpy as np


def accuracy(targets: Any, outputs: Any) -> float:
    """Share of clips whose largest output is the right class."""
    return float(np.mean(np.argmax(outputs, axis=1) == np.asarray(targets)))


def balanced_accuracy(targets: Any, outputs: Any) -> float:
    """Mean of the recall of each class that occurs."""
    return float(np.mean(list(_recalls(targets, outputs).values())))


def recall_per_class(targets: Any, outputs: Any) -> dict[int, float]:
    """Recall of each class that occurs, by class number."""
    return _recalls(targets, outputs)


def _recalls(targets: Any, outputs: Any) -> dict[int, float]:
    truth, decided = np.asarray(targets), np.argmax(outputs, axis=1)
    return {int(c): float(np.mean(decided[truth == c] == c)) for c in np.unique(truth)}
