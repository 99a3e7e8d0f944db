"""Problems of plugins, in words: what a hook or a contribution did wrong, and the next step."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from penjing import __version__, contract
from penjing.errors import reason_of
from penjing.host.source import CORE, FAILURES, PluginSource, Problem
from penjing.host.validation import contribution_fault

MOST_ITEMS = 10_000
"""More than any plugin contributes; a generator that never ends has more."""


def all_of(given: Any, expected: type[Any]) -> list[Any]:
    """Everything that a hook gave; nothing where it gave None.

    Raises:
        TypeError: It gave one thing, or something that is no iterable.
        ValueError: It gives without end.
    """
    if isinstance(given, expected):
        raise TypeError(f"it gave one {expected.__name__} and no iterable of them: yield it, or return it in a list")
    if given is None:
        return []
    items = list(itertools.islice(given, MOST_ITEMS + 1))
    if len(items) > MOST_ITEMS:
        raise ValueError(f"it gave more than {MOST_ITEMS:,} things: does it end?")
    return items


def call_problem(source: PluginSource, hook: str, error: BaseException) -> Problem:
    hint = f"pip install --upgrade {source.distribution}, or set PENJING_DISABLE_PLUGINS={source.entry_point}"
    return Problem(source=source, stage=f"call {hook}", reason=reason_of(error), hint=hint)


def described(given: Any) -> str:
    """What a hook gave, in a few words: the kind, and the name where it has one."""
    if given is None:
        return "nothing"
    name = getattr(given, "name", None) or getattr(given, "title", None)
    return f"{type(given).__name__} '{name}'" if isinstance(name, str) else type(given).__name__


def wrong_type_problem(source: PluginSource, hook: str, item: Any, expected: str, hint: str) -> Problem:
    reason = f"hook '{hook}' gave a {type(item).__name__} instead of {expected}"
    return Problem(source=source, stage="contribution", reason=reason, hint=hint)


def contribution_problem(source: PluginSource, item: Any) -> Problem | None:
    """Why a contribution cannot be used; None when it can."""
    kind = type(item).__name__
    try:
        fault = contribution_fault(item)
        reason = f"the {kind.lower()} {item.name!r} {fault}"
    except FAILURES as error:
        # Fields of unforeseen types: whatever they are, they are not what the contract says.
        fault = reason = f"a {kind.lower()} cannot be looked at: {reason_of(error)}"
    if fault is not None:
        return Problem(source=source, stage="contribution", reason=reason, hint=f"see penjing.contract.{kind}")
    theirs = getattr(item, "contract_version", contract.CONTRACT_VERSION)
    return contract_problem(source, f"domain '{item.name}'", theirs)


def twin_problem(source: PluginSource, twin: PluginSource) -> Problem:
    reason = f"'{source.module}' is what {twin} names already"
    return Problem(source=source, stage="register", reason=reason, hint="leave one of the two entry points out")


def section_problem(source: PluginSource, fault: str) -> Problem:
    hint = "see penjing.contract.ReportSection"
    return Problem(source=source, stage="contribution", reason=f"a section of the report {fault}", hint=hint)


def contract_problem(source: PluginSource, what: str, theirs: int) -> Problem | None:
    """Why something that is written for a version of the contract cannot be used with this one; None when it can."""
    newest, oldest = contract.CONTRACT_VERSION, contract.OLDEST_CONTRACT_VERSION
    if oldest <= theirs <= newest:
        return None
    understood = str(newest) if oldest == newest else f"{oldest} to {newest}"
    return Problem(
        source=source,
        stage="contract",
        reason=f"{what} is written for contract version {theirs}, penjing {__version__} understands {understood}",
        hint=f"pip install --upgrade {CORE if theirs > newest else source.distribution}",
    )


def conflict_problem(source: PluginSource, kind: str, name: str, claimants: Sequence[PluginSource]) -> Problem:
    others = " and ".join(str(other) for other in claimants if other != source) or "itself, twice"
    remedy = "rename it" if len(claimants) == 1 or any(other.is_core for other in claimants) else "uninstall one"
    return Problem(
        source=source,
        stage="conflict",
        reason=f"it contributes '{name}' ({kind.replace('_', ' ')}), and so does {others}",
        hint=f"{remedy}, or set PENJING_DISABLE_PLUGINS={source.distribution}",
    )
