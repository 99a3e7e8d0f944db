"""The conformance kit for plugin authors.

- `parametrize_with_checks(subjects, expected_failures)`: every check of every subject a pytest test of its own;
- `check_domain`, `check_technique`, `check_subject`: the same as a list of results, without pytest;
- `DomainUnderTest`, `TechniqueUnderTest`, `ExporterUnderTest`, `PluginUnderTest`: what can be checked, and how quickly;
- `penjing.testing.fixtures`: pytest fixtures, an isolated plugin host and distributions on disk;
- `penjing plugins check NAME` runs the same checks;
- `conformance.toml` beside a plugin's declaring module names its known failures, with reasons.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penjing.testing.checks import Check, CheckResult, ConformanceError, NotApplicableError
    from penjing.testing.conformance import check_domain, check_subject, check_technique, checks_for
    from penjing.testing.domain_subject import DomainUnderTest
    from penjing.testing.exporter_subject import ExporterUnderTest
    from penjing.testing.parametrization import parametrize_with_checks
    from penjing.testing.plugin_subject import PluginUnderTest
    from penjing.testing.technique_subject import TechniqueUnderTest

_HOMES = {
    "Check": "checks",
    "ConformanceError": "checks",
    "CheckResult": "checks",
    "DomainUnderTest": "domain_subject",
    "ExporterUnderTest": "exporter_subject",
    "NotApplicableError": "checks",
    "PluginUnderTest": "plugin_subject",
    "TechniqueUnderTest": "technique_subject",
    "check_domain": "conformance",
    "check_subject": "conformance",
    "check_technique": "conformance",
    "checks_for": "conformance",
    "parametrize_with_checks": "parametrization",
}

__all__ = [
    "Check",
    "CheckResult",
    "ConformanceError",
    "DomainUnderTest",
    "ExporterUnderTest",
    "NotApplicableError",
    "PluginUnderTest",
    "TechniqueUnderTest",
    "check_domain",
    "check_subject",
    "check_technique",
    "checks_for",
    "parametrize_with_checks",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'penjing.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"penjing.testing.{home}"), name)
