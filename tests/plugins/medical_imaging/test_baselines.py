"""The simple things to beat answer in the model's shape, on every kind of labels."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from penjing_medical_imaging import metrics
from penjing_medical_imaging.baselines import fit_forest, fit_logistic


def splits(task: str, size: int = 28) -> Any:
    """Images whose brightness in a corner tells class or labels."""
    generator = np.random.default_rng(0)
    x = generator.normal(0, 1, (150, size, size, 1)).astype(np.float32)
    if task == "multilabel":
        y: np.ndarray = (generator.random((150, 3)) < 0.4).astype(np.float32)
        y[:, 2] = 0  # a label that no training image has
        marks = y
    else:
        y = generator.integers(0, 2 if task == "binary" else 3, 150)
        marks = np.eye(3)[y]
    for k in range(3):
        x[:, : size // 4, k * size // 4 : (k + 1) * size // 4, 0] += 2 * marks[:, k, None, None]
    labels = ("a", "b") if task == "binary" else ("a", "b", "c")
    return SimpleNamespace(train=_Part(x=x, y=y), task=task, labels=labels)


class _Part(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.x)


@pytest.mark.parametrize("fit", [fit_logistic, fit_forest])
@pytest.mark.parametrize(("task", "outputs"), [("binary", 1), ("ordinal", 3), ("multilabel", 3)])
def test_outputs_are_probabilities_in_the_models_shape(fit: Callable[..., Any], task: str, outputs: int) -> None:
    data = splits(task)
    predicted = fit(data, 0).predict(data.train.x)
    assert predicted.shape == (150, outputs) and predicted.dtype == np.float32
    assert predicted.min() >= 0 and predicted.max() <= 1
    assert metrics.auc(data.train.y, predicted) > 0.95
    if task == "multilabel":
        assert (predicted[:, 2] == 0).all()


def test_large_images_are_brought_down() -> None:
    data = splits("binary", size=64)
    assert metrics.auc(data.train.y, fit_logistic(data, 0).predict(data.train.x)) > 0.95
