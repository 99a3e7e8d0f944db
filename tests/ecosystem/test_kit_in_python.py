"""The kit as a plugin's author uses it from Python: lists of results, and fixtures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penjing import hookimpl
from penjing.contract import Domain, Metric
from penjing.errors import UsageError
from penjing.host import PluginHost
from penjing.testing import CheckResult, check_domain, check_technique
from penjing.testing.fake_distributions import FakeDistributions
from penjing.testing.fixtures import fake_distributions, isolated_host

__all__ = ["fake_distributions", "isolated_host"]  # pytest finds them here

DOMAIN = Domain(
    name="leaks",
    summary="Leaks.",
    task="binary",
    load_data="test_kit_in_python:load",
    build_model="test_kit_in_python:build",
    metrics=(Metric(name="auc", function="test_kit_in_python:auc", direction="higher", primary=True),),
    recipes={"default": "nowhere:default.toml"},
)


def outcomes(results: list[CheckResult]) -> dict[str, str]:
    return {result.check: result.outcome for result in results}


def test_a_domain_that_is_nowhere_fails_once_and_what_needs_it_is_skipped() -> None:
    results = check_domain("nobody-has-this")
    first, *others = results
    assert first.outcome == "failed" and "there is no domain 'nobody-has-this'" in first.reason and first.remedy
    assert {result.outcome for result in others} == {"skipped"} and len(others) > 30


def test_known_failures_of_the_caller_are_strict() -> None:
    """A domain object without code behind its names: its declaration can be looked at, and nothing else."""
    found = outcomes(check_domain(DOMAIN))
    name, fine = "check_import_strings_resolve", "check_budget_can_be_read"
    assert found[name] == "failed" and found[fine] == "passed"
    known = outcomes(check_domain(DOMAIN, expected_failures={name: "not written yet", fine: "by mistake"}))
    assert known[name] == "expected failure" and known[fine] == "unexpected pass"
    with pytest.raises(UsageError, match=f"the known failure '{name}' has no reason"):
        check_domain(DOMAIN, expected_failures={name: " "})
    with pytest.raises(UsageError, match="there is no check 'check_imports'"):
        check_technique("quantize", expected_failures={"check_imports": "why"})


def test_a_technique_that_is_nowhere_is_said_to_be() -> None:
    first, *others = check_technique("quantise")
    assert first.outcome == "failed" and "did you mean 'quantize'?" in first.reason
    assert {result.outcome for result in others} == {"skipped"}


def test_an_isolated_host_has_what_it_is_given_and_nothing_that_is_installed(
    isolated_host: Callable[..., PluginHost],
) -> None:
    class Shop:
        @hookimpl
        def penjing_domains(self) -> list[Domain]:
            return [DOMAIN]

    host = isolated_host(leak_shop=Shop())
    assert list(host.domains) == ["leaks"] and "quantize" in host.techniques
    assert host.domain("leaks").source.entry_point == "leak-shop"
    assert isolated_host().domains == {}


def test_fake_distributions_are_found_by_new_processes(fake_distributions: FakeDistributions) -> None:
    fake_distributions.add("penjing-leaks", "raise RuntimeError('no such sensor')", entry_point="leaks", version="4")
    plugin = fake_distributions.plugins()["penjing-leaks"]
    assert (plugin["version"], plugin["status"]) == ("4", "broken")
    assert "no such sensor" in plugin["problems"][0]["reason"]
    assert "penjing-leaks" not in [status.source.distribution for status in PluginHost.discover().plugins]
