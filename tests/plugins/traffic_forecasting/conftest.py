"""Fixtures of traffic forecasting's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def los_loop(penjing_data: Path) -> Path:
    folder = penjing_data / "traffic_forecasting" / "los_loop"
    if not folder.is_dir():
        pytest.skip(f"no traffic_forecasting/los_loop in {penjing_data}")
    return folder
