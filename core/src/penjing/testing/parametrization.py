"""`parametrize_with_checks`: every check of every subject a test of its own. Needs pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from penjing.contract import Domain
from penjing.testing.checks import Check
from penjing.testing.conformance import Subject, checks_for
from penjing.testing.domain_subject import DomainUnderTest
from penjing.testing.known_failures import known_failures

KnownFailures = Mapping[str, str] | Callable[[Any], Mapping[str, str]]


def parametrize_with_checks(
    subjects: Iterable[str | Domain | Subject],
    expected_failures: KnownFailures | None = None,
    *,
    stages: Iterable[str] | None = None,
    marks: Callable[[Any, Check], Iterable[Any]] | None = None,
) -> Any:
    """Parametrize a test over subjects and their checks; it takes the arguments `subject` and `check`.

    Args:
        subjects: Names of domains, `Domain` objects, or DomainUnderTest, TechniqueUnderTest, ExporterUnderTest,
            PluginUnderTest. The run of a domain is made once and shared by its checks.
        expected_failures: Known failures by check, each with its reason, or a function of the subject that gives
            them; besides those that the plugin declares in its conformance.toml, which others who check it see as
            well. They are strict: one that holds again fails, until it is taken off the list.
        stages: Only these parts of the kit: plugin, declaration, data, model, metrics, run, technique, exporter,
            observer.
        marks: Further pytest marks, by subject and check.

    Raises:
        UsageError: A known failure is no check, or has no reason.

    Example:
        ```python
        from penjing.testing import parametrize_with_checks

        @parametrize_with_checks(["leak-detection"], {"check_arena_is_within_the_budget": "no TFLM on this board"})
        def test_conformance(subject, check):
            check(subject)
        ```
    """
    import pytest

    wanted = None if stages is None else set(stages)
    parameters = []
    for given in subjects:
        subject = DomainUnderTest(given) if isinstance(given, str | Domain) else given
        checks = checks_for(subject)
        listed = expected_failures(subject) if callable(expected_failures) else expected_failures
        known = known_failures(subject, checks, listed)
        for check in checks:
            if wanted is not None and check.stage not in wanted:
                continue
            found = list(marks(subject, check)) if marks else []
            if check.name in known:
                found.append(pytest.mark.xfail(reason=known[check.name], strict=True))
            parameters.append(pytest.param(subject, _Reported(check), marks=found, id=f"{subject}-{check.name}"))
    return pytest.mark.parametrize(("subject", "check"), parameters)


class _Reported:
    """A check whose NotApplicableError is a skipped test, and whose failure ends with what to do."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __repr__(self) -> str:
        return self.check.name

    def __call__(self, subject: Any) -> None:
        import pytest

        from penjing.testing.checks import run_check

        result = run_check(self.check, subject)
        if result.outcome == "skipped":
            pytest.skip(result.reason)
        if result.outcome == "failed":
            pytest.fail(
                f"{result.statement}\n  found: {result.reason}\n  try:   {result.remedy}",
                pytrace=False,
            )
