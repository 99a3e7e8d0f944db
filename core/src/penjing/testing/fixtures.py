"""pytest fixtures for plugin authors. In conftest.py: `pytest_plugins = ["penjing.testing.fixtures"]`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penjing.host import PluginHost
from penjing.testing.fake_distributions import FakeDistributions


@pytest.fixture
def isolated_host() -> Callable[..., PluginHost]:
    """Makes a plugin host of penjing's own parts and the modules or objects that are given by name, and of nothing
    that is installed: `host = isolated_host(leaks=penjing_leak_detection.plugin)`."""

    def make(**plugins: object) -> PluginHost:
        return PluginHost.from_modules({name.replace("_", "-"): module for name, module in plugins.items()})

    return make


@pytest.fixture
def fake_distributions(tmp_path: Path) -> FakeDistributions:
    """An empty folder for distributions of which new processes know by their metadata alone."""
    return FakeDistributions(tmp_path / "site")
