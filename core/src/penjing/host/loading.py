"""Load one plugin and look at its hooks before pluggy does, which would stay silent or stop at the first fault."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from penjing import __version__, hookspecs
from penjing.errors import did_you_mean, reason_of
from penjing.host.discovery import Entry
from penjing.host.problems import contract_problem
from penjing.host.source import PluginSource, Problem

PREFIX = "penjing_"
HOOKS: dict[str, Callable[..., Any]] = {
    name: function for name, function in vars(hookspecs).items() if name.startswith(PREFIX)
}
MARK = f"{hookspecs.PROJECT}_impl"
"""The attribute that `hookimpl` sets on a function."""


def import_plugin(entry: Entry) -> Any:
    """The plugin's module, or the problem that kept it from loading."""
    if entry.point is None:
        return Problem(
            source=entry.source,
            stage="metadata",
            reason=entry.fault,
            hint=f"pip install --force-reinstall {entry.source.distribution}, or uninstall it",
        )
    if entry.contract_version is not None:
        fault = contract_problem(entry.source, "the plugin", entry.contract_version)
        if fault is not None:
            return fault  # not imported: what another version of the contract means is not for this one to judge
    try:
        module = entry.point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # SystemExit too: a plugin that ends the process at import must not take penjing along.
        return Problem(
            source=entry.source,
            stage="import",
            reason=reason_of(error) + _unmet(entry),
            hint=f"pip install --upgrade {entry.source.distribution}, or uninstall it, or set "
            f"PENJING_DISABLE_PLUGINS={entry.source.entry_point}",
        )
    if module is None:
        reason = f"'{entry.source.module}' is None, which has no hooks"
        return Problem(source=entry.source, stage="import", reason=reason, hint="name a module in the entry point")
    return module


def _unmet(entry: Entry) -> str:
    """The likely cause of a failed import: the distribution asks for another penjing than this one."""
    try:
        from packaging.requirements import Requirement

        unmet = [text for text in entry.requires if not Requirement(text).specifier.contains(__version__, True)]
    except (ImportError, ValueError):
        return ""
    return f" (it needs {unmet[0]}, this is penjing {__version__})" if unmet else ""


def check_hooks(module: Any, source: PluginSource) -> list[Problem]:
    """Faults of a plugin's hook implementations that pluggy would ignore or report without saying whose they are."""
    problems = []
    try:
        names = dir(module)
    except Exception as error:
        hint = f"pip install --upgrade {source.distribution}"
        return [_hook_problem(source, f"what the plugin holds cannot be looked at: {reason_of(error)}", hint)]
    for name in names:
        try:
            # Statically, as pluggy does: a plugin may be an object, and its properties are nobody's business here.
            static = inspect.getattr_static(module, name, None)
            marked = mark_of(static)
            if marked is None:
                problems.extend(_check_unmarked(name, static, source))
            else:
                problems.extend(_check_marked(name, getattr(module, name), marked, source))
        except Exception as error:
            hint = f"pip install --upgrade {source.distribution}"
            problems.append(_hook_problem(source, f"'{name}' cannot be looked at: {reason_of(error)}", hint))
    return problems


def mark_of(static: Any) -> Mapping[str, Any] | None:
    """What `hookimpl` has left at a function or method; None where it is no implementation."""
    function = static.__func__ if isinstance(static, staticmethod | classmethod) else static
    mark = function.__dict__.get(MARK) if inspect.isfunction(function) else None
    return mark if isinstance(mark, dict) else None


def _check_unmarked(name: str, static: Any, source: PluginSource) -> list[Problem]:
    """A function that is meant as a hook but lacks the mark; a function that only begins with 'penjing_' is not."""
    if not name.startswith(PREFIX) or not inspect.isfunction(static) or static.__module__ == hookspecs.__name__:
        return []
    known = [hook.removeprefix(PREFIX) for hook in HOOKS]
    if not difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=0.75):
        return []
    reason = f"function '{name}' looks like a hook but is not marked, so it would never be called"
    return [_hook_problem(source, reason, "put @penjing.hookimpl above it")]


def _check_marked(
    name: str, function: Callable[..., Any], mark: Mapping[str, Any], source: PluginSource
) -> list[Problem]:
    hook = mark.get("specname") or name
    if hook not in HOOKS:
        if mark.get("optionalhook"):
            return []  # pluggy's word for a hook that another version of penjing has
        return [_hook_problem(source, f"there is no hook '{hook}'", did_you_mean(hook, HOOKS) or "")]
    if mark.get("wrapper") or mark.get("hookwrapper"):
        reason = f"hook '{hook}' is marked as a wrapper, and penjing calls each plugin apart from the others"
        return [_hook_problem(source, reason, "mark it with @penjing.hookimpl alone")]
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return [
            _hook_problem(source, f"hook '{hook}' is async, and penjing awaits nothing", "write 'def' without 'async'")
        ]
    return _check_arguments(hook, function, source)


def _check_arguments(hook: str, function: Callable[..., Any], source: PluginSource) -> list[Problem]:
    allowed = list(inspect.signature(HOOKS[hook]).parameters)
    problems = []
    for argument, parameter in inspect.signature(function).parameters.items():
        hint = f"its arguments are ({', '.join(allowed)}), without defaults"
        if argument == "self" and not inspect.ismethod(function):
            reason = f"hook '{hook}' is a method of a class, and the entry point names the class"
            hint = "name an instance in the entry point: package.plugin:plugin, with plugin = Plugin()"
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            reason = f"hook '{hook}' takes *{argument}, which is never passed"
        elif argument not in allowed:
            reason = f"hook '{hook}' has no argument '{argument}'"
        elif parameter.default is not parameter.empty:
            reason = f"argument '{argument}' of hook '{hook}' has a default, so it is never passed"
        elif parameter.kind is parameter.KEYWORD_ONLY:
            reason = f"argument '{argument}' of hook '{hook}' is keyword-only, so it is never passed"
        else:
            continue
        problems.append(_hook_problem(source, reason, hint))
    return problems


def _hook_problem(source: PluginSource, reason: str, hint: str) -> Problem:
    return Problem(source=source, stage="hooks", reason=reason, hint=hint)
