"""Load one plugin and look at its hooks before pluggy does, which would stay silent or stop at the first fault."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from penjing import hookspecs
from penjing.errors import did_you_mean
from penjing.host.discovery import Entry
from penjing.host.source import PluginSource, Problem

HOOKS: dict[str, Callable[..., Any]] = {
    name: function for name, function in vars(hookspecs).items() if name.startswith("penjing_")
}
MARK = f"{hookspecs.PROJECT}_impl"
"""The attribute that `hookimpl` sets on a function."""


def import_plugin(entry: Entry) -> Any:
    """The plugin's module, or the problem that kept it from loading."""
    try:
        return entry.point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # SystemExit too: a plugin that ends the process at import must not take penjing along.
        return Problem(
            source=entry.source,
            stage="import",
            reason=f"{type(error).__name__}: {error}",
            hint=f"pip install --upgrade {entry.source.distribution}, or uninstall it, or set "
            f"PENJING_DISABLE_PLUGINS={entry.source.entry_point}",
        )


def check_hooks(module: Any, source: PluginSource) -> list[Problem]:
    """Faults of a plugin's hook implementations that pluggy would ignore or report without saying whose they are."""
    problems = []
    for name in dir(module):
        function = getattr(module, name, None)
        if not callable(function):
            continue
        marked = getattr(function, MARK, None) is not None
        if not marked:
            if name.startswith("penjing_") and getattr(function, "__module__", "") != hookspecs.__name__:
                reason = f"function '{name}' looks like a hook but is not marked, so it would never be called"
                problems.append(_hook_problem(source, reason, "put @penjing.hookimpl above it"))
            continue
        if name not in HOOKS:
            hint = did_you_mean(name, HOOKS) or "see the hooks reference"
            problems.append(_hook_problem(source, f"there is no hook '{name}'", hint))
            continue
        problems.extend(_check_arguments(name, function, source))
    return problems


def _check_arguments(name: str, function: Callable[..., Any], source: PluginSource) -> list[Problem]:
    allowed = list(inspect.signature(HOOKS[name]).parameters)
    problems = []
    for argument, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            reason = f"hook '{name}' takes *{argument}, which is never passed"
        elif argument not in allowed:
            reason = f"hook '{name}' has no argument '{argument}'"
        elif parameter.default is not parameter.empty:
            reason = f"argument '{argument}' of hook '{name}' has a default, so it is never passed"
        else:
            continue
        hint = f"its arguments are ({', '.join(allowed)}), without defaults"
        problems.append(_hook_problem(source, reason, hint))
    return problems


def _hook_problem(source: PluginSource, reason: str, hint: str) -> Problem:
    return Problem(source=source, stage="hooks", reason=reason, hint=hint)
