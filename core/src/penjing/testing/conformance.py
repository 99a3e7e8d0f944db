"""The conformance kit: which checks there are, and how they are run without a test framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penjing.host import PluginHost
from penjing.testing import (
    data_checks,
    declaration_checks,
    exporter_checks,
    metric_checks,
    model_checks,
    observer_checks,
    plugin_checks,
    run_checks,
    technique_checks,
)
from penjing.testing.checks import Check, CheckResult, checks_of, run_check
from penjing.testing.domain_subject import DomainUnderTest
from penjing.testing.exporter_subject import ExporterUnderTest
from penjing.testing.known_failures import known_failures
from penjing.testing.plugin_subject import PluginUnderTest
from penjing.testing.technique_subject import TechniqueUnderTest

PLUGIN_CHECKS = checks_of(plugin_checks, "plugin")
DECLARATION_CHECKS = checks_of(declaration_checks, "declaration")
DATA_CHECKS = checks_of(data_checks, "data")
MODEL_CHECKS = (*checks_of(model_checks, "model"), *checks_of(metric_checks, "metrics"))
RUN_CHECKS = checks_of(run_checks, "run")
DOMAIN_CHECKS = (*PLUGIN_CHECKS, *DECLARATION_CHECKS, *DATA_CHECKS, *MODEL_CHECKS, *RUN_CHECKS)
TECHNIQUE_CHECKS = (*PLUGIN_CHECKS, *checks_of(technique_checks, "technique"))
EXPORTER_CHECKS = (*PLUGIN_CHECKS, *checks_of(exporter_checks, "exporter"))
OBSERVER_CHECKS = (*PLUGIN_CHECKS, *checks_of(observer_checks, "observer"))

STAGES = tuple(
    dict.fromkeys(
        check.stage
        for checks in (DOMAIN_CHECKS, TECHNIQUE_CHECKS, EXPORTER_CHECKS, OBSERVER_CHECKS)
        for check in checks
    )
)

Subject = DomainUnderTest | TechniqueUnderTest | ExporterUnderTest | PluginUnderTest


def checks_for(subject: Subject) -> tuple[Check, ...]:
    """The checks of a kind of contribution; of a plugin by itself, those of an observer."""
    if isinstance(subject, DomainUnderTest):
        return DOMAIN_CHECKS
    if isinstance(subject, TechniqueUnderTest):
        return TECHNIQUE_CHECKS
    return EXPORTER_CHECKS if isinstance(subject, ExporterUnderTest) else OBSERVER_CHECKS


def check_subject(subject: Subject, expected_failures: Mapping[str, str] | None = None) -> Iterator[CheckResult]:
    """Run all checks of a subject; results come as they are ready.

    Args:
        expected_failures: Known failures by check, each with its reason, besides those that the plugin declares in its
            conformance.toml. One that holds all the same is reported as "unexpected pass", which is not ok.

    Raises:
        UsageError: A known failure is no check, or has no reason.
    """
    checks = checks_for(subject)
    known = known_failures(subject, checks, expected_failures)
    for check in checks:
        yield run_check(check, subject, known.get(check.name))


def check_domain(
    domain: Any, *, expected_failures: Mapping[str, str] | None = None, **arguments: Any
) -> list[CheckResult]:
    """Run the kit on a domain.

    Args:
        domain: The name of an installed domain, a `Domain`, or a `DomainUnderTest`.
        expected_failures: Known failures by check, each with its reason.
        arguments: As for `DomainUnderTest`: recipe, overrides, data, seed, perfect_outputs, host.

    Example:
        ```python
        from penjing.testing import check_domain
        for result in check_domain("leak-detection", overrides=["reference.epochs=2"]):
            print(result.check, result.outcome, result.reason)
        ```
    """
    subject = domain if isinstance(domain, DomainUnderTest) else DomainUnderTest(domain, **arguments)
    return list(check_subject(subject, expected_failures))


def check_technique(
    technique: str | TechniqueUnderTest, *, expected_failures: Mapping[str, str] | None = None, **arguments: Any
) -> list[CheckResult]:
    """Run the kit on a technique.

    Args:
        technique: The name of an installed technique, or a `TechniqueUnderTest`.
        expected_failures: Known failures by check, each with its reason.
        arguments: As for `TechniqueUnderTest`: settings, host.
    """
    subject = technique if isinstance(technique, TechniqueUnderTest) else TechniqueUnderTest(technique, **arguments)
    return list(check_subject(subject, expected_failures))


def check_plugin(plugin: PluginUnderTest) -> list[CheckResult]:
    """Run the checks of a plugin by itself, which take seconds: nothing is loaded, built or trained.

    What the plugin declares as a known failure of anything that it contributes is one here.

    Raises:
        UsageError: Its conformance.toml cannot be used.
    """
    known: dict[str, str] = {}
    for subject in _subjects(plugin):
        known.update(known_failures(subject, checks_for(subject)))
    return [run_check(check, plugin, known.get(check.name)) for check in PLUGIN_CHECKS]


def subjects_of(name: str, overrides: tuple[str, ...] = (), recipe: str | None = None) -> list[Subject]:
    """Everything of an installed plugin that the kit has checks for; of every one in a distribution of that name.

    Raises:
        UsageError: There is no such plugin.
    """
    plugins = PluginUnderTest.all_named(name)
    return [subject for plugin in plugins for subject in _subjects(plugin, overrides, recipe)]


def deprecations_of(name: str) -> list[str]:
    """What the plugins of that name use of the contract that goes with its next version, a sentence each."""
    sources = [plugin.entry.source for plugin in PluginUnderTest.all_named(name)]
    statuses = PluginHost.discover(log_problems=False).plugins
    return [sentence for status in statuses if status.source in sources for sentence in status.deprecations]


def _subjects(plugin: PluginUnderTest, overrides: tuple[str, ...] = (), recipe: str | None = None) -> list[Subject]:
    host = PluginHost.discover(log_problems=False)
    (status,) = [status for status in host.plugins if status.source == plugin.entry.source]
    contributes = status.contributes
    subjects: list[Subject] = [
        DomainUnderTest(domain, recipe=recipe, overrides=overrides, host=host)
        for domain in contributes.get("domains", ())
    ]
    subjects += [TechniqueUnderTest(technique, host=host) for technique in contributes.get("techniques", ())]
    subjects += [ExporterUnderTest(exporter, host=host) for exporter in contributes.get("exporters", ())]
    if not subjects or contributes.get("observers"):
        subjects.append(plugin)
    return subjects
