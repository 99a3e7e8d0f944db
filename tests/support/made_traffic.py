"""Small networks of sensors that several tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import Splits
from penjing_traffic_forecasting.data import DEFAULTS, splits_of_series
from penjing_traffic_forecasting.reading import OPTIONS, read_series
from penjing_traffic_forecasting.series import SensorSeries

MONDAY = 1_704_067_200
"""2024-01-01 00:00, in seconds since 1970."""


def made_series(steps: int = 2_000, sensors: int = 5, seed: int = 0, **changes: Any) -> SensorSeries:
    """Speeds with a daily rhythm and slow noise, from a Monday on, every 5 minutes; or other values."""
    if "values" in changes:
        sensors = changes["values"].shape[1]
    generator = np.random.default_rng(seed)
    day = 2 * np.pi * np.arange(steps)[:, None] / 288
    noise = np.zeros((steps, sensors))
    for step in range(1, steps):
        noise[step] = 0.9 * noise[step - 1] + generator.normal(0, 1, sensors)
    values = (50 + 10 * np.cos(day + np.arange(sensors)) + noise).astype(np.float32)
    fields: dict[str, Any] = {
        "values": values,
        "sensors": tuple(f"s{number}" for number in range(sensors)),
        "step_seconds": 300,
        "start": MONDAY,
        "quantity": "speed (mph)",
        "source": "made",
        "sha256": "0",
    }
    return SensorSeries(**{**fields, **changes})


def made_splits(series: SensorSeries | None = None, **options: Any) -> Splits:
    return splits_of_series(series or made_series(), {**DEFAULTS, **options})


def read(path: Path, **options: Any) -> SensorSeries:
    return read_series(path, {**OPTIONS, **options})
