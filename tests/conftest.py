"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def penjing_data() -> Path:
    """The folder of real data; a test that asks for it is skipped where the folder is missing."""
    folder = Path(os.environ.get("PENJING_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set PENJING_DATA to its folder")
    return folder
