"""Every domain of the workspace and every technique of the engine passes the conformance kit, but for what the domains
declare as known failures in their own conformance.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penjing.compression.catalogue import TECHNIQUES
from penjing.testing import Check, DomainUnderTest, ExporterUnderTest, TechniqueUnderTest, parametrize_with_checks

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
QUICK_STAGES = {"plugin", "declaration", "data"}


def workspace_domains() -> Iterator[str]:
    """The domains whose source lies in this checkout."""
    for file in sorted(PLUGINS.glob("*/pyproject.toml")):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        if "penjing-domain" in project.get("keywords", ()):
            yield from project["entry-points"]["penjing"]


def slow_ones(subject: Any, check: Check) -> Iterable[Any]:
    """What trains or builds networks: half a minute a domain, a minute a technique with its pairs."""
    static = check.name.startswith(("check_settings", "check_import_strings", "check_search_space"))
    if check.stage not in QUICK_STAGES and not static:
        yield pytest.mark.slow


def test_the_workspace_has_domains() -> None:
    assert set(workspace_domains()) == {
        "fraud-detection",
        "keyword-spotting",
        "medical-imaging",
        "recommendation",
        "traffic-forecasting",
    }


@parametrize_with_checks([DomainUnderTest(name) for name in workspace_domains()], marks=slow_ones)
def test_domain(subject: DomainUnderTest, check: Any) -> None:
    check(subject)


@parametrize_with_checks([TechniqueUnderTest(technique.name) for technique in TECHNIQUES], marks=slow_ones)
def test_technique(subject: TechniqueUnderTest, check: Any) -> None:
    check(subject)


@parametrize_with_checks([ExporterUnderTest("c-array")], marks=slow_ones)
def test_exporter(subject: ExporterUnderTest, check: Any) -> None:
    check(subject)
