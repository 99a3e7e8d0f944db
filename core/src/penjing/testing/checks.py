"""What a check of the conformance kit is, and how one is run. No test framework is needed."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from penjing.errors import PenjingError, UsageError, did_you_mean

PREFIX = "check_"


class ConformanceError(AssertionError):
    """What a check found wrong: one sentence, and the place where it is known."""


class NotApplicableError(Exception):
    """The check says nothing about this plugin; the text says why."""


class BlockedError(Exception):
    """The check needs something that failed already, in a check of its own."""


@dataclass(frozen=True)
class Check:
    """One named thing that must hold.

    The first line of its docstring says what, the rest what to do where it does not.
    """

    name: str
    function: Callable[[Any], None]
    stage: str
    """The part of the kit: declaration, data, model, run, technique."""

    @property
    def statement(self) -> str:
        return _paragraphs(self.function)[0]

    @property
    def remedy(self) -> str:
        return " ".join(_paragraphs(self.function)[1:])

    def __call__(self, subject: Any) -> None:
        self.function(subject)


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What came of a check."""

    check: str
    stage: str
    subject: str
    outcome: Literal["passed", "failed", "skipped", "expected failure", "unexpected pass"]
    statement: str
    reason: str = ""
    """Why it failed or was skipped."""
    remedy: str = ""
    """What to do, where it failed."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """An unexpected pass is not: a known failure that is gone must be taken off the list."""
        return self.outcome in ("passed", "skipped", "expected failure")


def checks_of(module: ModuleType, stage: str) -> tuple[Check, ...]:
    """The checks that a module defines, in the order in which they stand there."""
    found = [
        function
        for name, function in vars(module).items()
        if name.startswith(PREFIX) and inspect.isfunction(function) and function.__module__ == module.__name__
    ]
    return tuple(Check(function.__name__, function, stage) for function in found)


def run_check(check: Check, subject: Any, expected_failure: str | None = None) -> CheckResult:
    """Run one check; whatever it raises becomes a result, except what the user asks for (KeyboardInterrupt)."""
    began = time.monotonic()
    outcome: Any = "passed"
    reason = ""
    try:
        check(subject)
    except (NotApplicableError, BlockedError) as error:
        outcome, reason = "skipped", str(error)
    except ConformanceError as error:
        outcome, reason = "failed", str(error)
    except PenjingError as error:
        outcome, reason = "failed", str(error)
    except (Exception, SystemExit) as error:
        outcome, reason = "failed", f"{type(error).__name__}: {error}\n  where: {_place(error)}"
    if expected_failure is not None:
        if outcome == "failed":
            outcome, reason = "expected failure", expected_failure
        elif outcome == "passed":
            outcome = "unexpected pass"
            reason = f"it is listed as a known failure ({expected_failure}) and holds: take it off the list"
    return CheckResult(
        check=check.name,
        stage=check.stage,
        subject=str(subject),
        outcome=outcome,
        statement=check.statement,
        reason=reason,
        remedy=check.remedy if outcome == "failed" else "",
        seconds=round(time.monotonic() - began, 3),
    )


def require_reasons(
    expected_failures: dict[str, str], names: Iterable[str], where: str = "expected_failures"
) -> dict[str, str]:
    """The known failures, each of which must be a check and have a reason.

    Args:
        where: Where they are listed, for messages.

    Raises:
        UsageError: One is no check, or has no reason.
    """
    names = list(names)
    for name, reason in expected_failures.items():
        if name not in names:
            raise UsageError(f"there is no check '{name}'", where=where, hint=did_you_mean(name, names))
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(
                f"the known failure '{name}' has no reason",
                where=where,
                hint="say in a sentence why it fails and until when",
            )
    return expected_failures


def _paragraphs(function: Callable[..., Any]) -> list[str]:
    text = inspect.getdoc(function) or function.__name__
    return [" ".join(part.split()) for part in text.split("\n\n")]


def _place(error: BaseException) -> str:
    """The innermost line of the traceback: mostly the plugin's own."""
    trace = error.__traceback__
    place = "unknown"
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place
