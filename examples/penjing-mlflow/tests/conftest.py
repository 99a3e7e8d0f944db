from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["penjing.testing.fixtures"]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file store of its own for each test. MLflow wants to be asked for one: it prefers a database."""
    folder = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", folder.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return folder
