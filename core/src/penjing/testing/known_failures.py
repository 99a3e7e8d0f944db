"""Known failures of the kit that a plugin declares in its own distribution, so that everybody who checks it sees them.

They stand in a file beside the declaring module:

    [known-failures.leak-detection]
    check_arena_is_within_the_budget = "the board of this domain has no TFLM; until issue 7"

The table names what the plugin contributes: a domain, a technique, an exporter; or the distribution, where the plugin
by itself is checked, as one that observes. They are strict: a known failure that holds again is a failure.
"""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from penjing.errors import UsageError, did_you_mean
from penjing.host import PluginHost
from penjing.testing.checks import Check, require_reasons
from penjing.testing.contribution_subject import ContributionUnderTest
from penjing.testing.plugin_subject import HasPlugin, PluginUnderTest

FILE = "conformance.toml"
TABLE = "known-failures"


def known_failures(
    subject: HasPlugin, checks: Iterable[Check], given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Reasons by check: those that the subject's plugin declares, and over them those that are given.

    Raises:
        UsageError: The plugin's file cannot be used, a known failure is no check, or has no reason.
    """
    names = [check.name for check in checks]
    declared, place = _declared(subject)
    require_reasons(declared, names, place)
    return {**declared, **require_reasons(dict(given or {}), names)}


def _declared(subject: HasPlugin) -> tuple[dict[str, str], str]:
    """What the plugin says of this subject, and where."""
    plugin = _plugin_of(subject)
    text, place = _read(plugin)
    if plugin is None or text is None:
        return {}, place
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("the file is no TOML", where=place, why=str(error)) from error
    tables = document.get(TABLE, {})
    if set(document) - {TABLE} or not _is_tables(tables):
        raise UsageError(
            "the file holds something else than known failures",
            where=place,
            hint=f'[{TABLE}.NAME], and below it: check_something = "the reason"',
        )
    contributed = _contributed(plugin)
    for name in tables:
        if name not in contributed:
            raise UsageError(
                f"the plugin contributes no '{name}'", where=f"{place}, [{TABLE}]", hint=did_you_mean(name, contributed)
            )
    found: dict[str, str] = tables.get(str(subject), {})
    return found, f"{place}, [{TABLE}.{subject}]"


def _plugin_of(subject: HasPlugin) -> PluginUnderTest | None:
    """None where there is no such contribution: each of its checks will say so."""
    if not isinstance(subject, ContributionUnderTest):
        return subject.plugin
    try:
        return PluginUnderTest.of_source(subject.find().source)
    except Exception:
        return None


def _read(plugin: PluginUnderTest | None) -> tuple[str | None, str]:
    """The text of the file, None where there is none, and its place."""
    package, _, _ = (plugin.module_name or "" if plugin else "").rpartition(".")
    if not package:
        return None, FILE
    try:
        file = importlib.resources.files(package).joinpath(FILE)
        return (file.read_text("utf-8") if file.is_file() else None), str(file)
    except UnicodeDecodeError as error:
        raise UsageError("the file is no text", where=f"{package}, {FILE}", why=str(error)) from error
    except (Exception, SystemExit):
        return None, FILE  # a package that cannot be imported, which a check of its own says


def _is_tables(tables: Any) -> bool:
    return isinstance(tables, dict) and all(
        isinstance(table, dict) and all(isinstance(reason, str) for reason in table.values())
        for table in tables.values()
    )


def _contributed(plugin: PluginUnderTest) -> list[str]:
    """Names that a table may have."""
    source = plugin.entry.source
    statuses = [status for status in PluginHost.discover(log_problems=False).plugins if status.source == source]
    names = [name for status in statuses for found in status.contributes.values() for name in found]
    return [source.distribution, *names]
