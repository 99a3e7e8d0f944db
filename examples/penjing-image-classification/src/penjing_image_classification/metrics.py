"""Figures of merit: f(targets, outputs), where outputs are those of the model."""

from __future__ import annotations

from typing import Any

import numpy as np


def accuracy(targets: Any, outputs: Any) -> float:
    """Share of images whose largest output is the right class's."""
    return float(np.mean(np.asarray(outputs).argmax(axis=1) == np.asarray(targets)))


def recall_per_class(targets: Any, outputs: Any) -> dict[int, float]:
    """Share of each class that is recognised, by class number; penjing writes the class's name."""
    targets, decided = np.asarray(targets), np.asarray(outputs).argmax(axis=1)
    return {int(number): float(np.mean(decided[targets == number] == number)) for number in np.unique(targets)}
