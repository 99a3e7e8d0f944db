"""Real distributions on disk: a package, its metadata and its entry points, put on the path of a new process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penjing.testing.fake_distributions import FakeDistributions

DOMAIN = """
from penjing import hookimpl
from penjing.contract import Domain, Metric

@hookimpl
def penjing_domains():
    yield Domain(
        name="{name}",
        summary="A domain for tests.",
        task="classification",
        load_data="nowhere:load",
        build_model="nowhere:build",
        metrics=(Metric(name="accuracy", function="nowhere:accuracy", direction="higher", primary=True),),
        recipes={{}},
    )
"""


@pytest.fixture
def site(tmp_path: Path) -> FakeDistributions:
    return FakeDistributions(tmp_path / "site")


@pytest.fixture
def domain_code() -> Callable[[str], str]:
    return lambda name: DOMAIN.format(name=name)
