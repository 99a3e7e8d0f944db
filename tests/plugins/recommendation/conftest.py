"""Splits and lists that several tests share."""

from __future__ import annotations

import numpy as np
import pytest

from penjing.contract import DataRequest, Splits
from penjing_recommendation.data import load_data


@pytest.fixture(scope="session")
def splits() -> Splits:
    """The built-in sample in small."""
    return load_data(DataRequest(seed=1, options={"users": 150, "items": 120, "history": 12}))


@pytest.fixture(scope="session")
def lists() -> np.ndarray:
    """Random lists: 40 examples, 60 items, 50 of them listed. float32 of shape (40, 2, 50)."""
    generator = np.random.default_rng(4)
    numbers = np.stack([generator.permutation(60)[:50] + 1 for _ in range(40)])
    scores = -np.sort(-generator.normal(size=(40, 50)), axis=1)
    return np.stack([scores, numbers], axis=1).astype("float32")
