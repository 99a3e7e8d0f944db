"""The plugin host: what all plugins contribute, each contribution stamped with its source."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Generic, TypeVar

import pluggy

from penjing import contract, hookspecs
from penjing.errors import PluginError, UsageError, did_you_mean, reason_of
from penjing.host.deprecations import deprecated_fields, deprecated_hooks, warn_of
from penjing.host.discovery import Entry, disabled_names, entries
from penjing.host.import_strings import import_for
from penjing.host.loading import check_hooks, import_plugin
from penjing.host.problems import (
    all_of,
    call_problem,
    conflict_problem,
    contribution_problem,
    described,
    section_problem,
    twin_problem,
    wrong_type_problem,
)
from penjing.host.source import CORE, FAILURES, PluginSource, PluginStatus, Problem
from penjing.host.tracing import CallLog, HookCall
from penjing.host.validation import wrong_field

log = logging.getLogger("penjing")

T = TypeVar("T")

KINDS: dict[str, tuple[str, type[Any]]] = {
    "domains": ("penjing_domains", contract.Domain),
    "techniques": ("penjing_techniques", contract.Technique),
    "exporters": ("penjing_exporters", contract.Exporter),
    "targets": ("penjing_targets", contract.Target),
    "health_checks": ("penjing_health_checks", contract.HealthCheck),
}
OBSERVERS = ("penjing_before_step", "penjing_after_step", "penjing_run_finished", "penjing_report_sections")


@dataclass(frozen=True)
class Contribution(Generic[T]):
    """Something that a plugin contributes, and who that is."""

    value: T
    source: PluginSource


@dataclass
class _Plugin:
    source: PluginSource
    summary: str
    module: Any = None
    disabled: bool = False
    problems: list[Problem] = field(default_factory=list)
    deprecations: list[str] = field(default_factory=list)
    contributes: dict[str, list[str]] = field(default_factory=dict)
    conflicts: bool = False


class PluginHost:
    """All plugins, loaded. Build it with `discover` or, for tests, `from_modules`."""

    def __init__(self, plugins: Sequence[_Plugin], calls: CallLog | None = None) -> None:
        self._log = calls or CallLog()
        self._plugins = list(plugins)
        self._conflicts: dict[tuple[str, str], list[PluginSource]] = {}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        for plugin in self._plugins:
            if plugin.module is not None:
                self._register(plugin)
        self._contributions = {kind: self._collect(kind, hook, expected) for kind, (hook, expected) in KINDS.items()}
        for plugin in self._plugins:
            if plugin.source.is_core:
                plugin.deprecations.clear()  # it goes along with what it deprecates
            for sentence in plugin.deprecations:
                warn_of(plugin.source, sentence)

    @classmethod
    def discover(
        cls, disable: Iterable[str] = (), no_plugins: bool = False, *, log_problems: bool = True
    ) -> PluginHost:
        """Load every installed plugin that is not disabled.

        Args:
            disable: Names of distributions or entry points, besides those in PENJING_DISABLE_PLUGINS.
            no_plugins: Load the core's own contributions only.
            log_problems: Log a warning for each plugin that is broken; for callers that do not list them anyhow.
        """
        disabled = disabled_names(disable)
        plugins = []
        calls = CallLog()
        for entry in entries():
            is_core = entry.source.is_core
            if no_plugins and not is_core:
                continue
            if entry.source.is_named_in(disabled) and not is_core:
                plugins.append(_Plugin(entry.source, entry.summary, disabled=True))
                continue
            with calls.timed(entry.source, "import") as answer:
                plugins.append(_load(entry))
                problems = [f"FAILED, stage {problem.stage}: {problem.reason}" for problem in plugins[-1].problems]
                answer.extend(problems or [entry.source.module])
        host = cls(plugins, calls)
        if log_problems:
            for problem in host.problems:
                log.warning("plugin %s", problem)
        return host

    @classmethod
    def from_modules(cls, modules: Mapping[str, ModuleType | object]) -> PluginHost:
        """A host of the core and the given plugin modules (by entry-point name) and nothing that is installed."""
        core = importlib.import_module("penjing.builtins")
        sources = {CORE: core, **modules}
        plugins = []
        for name, module in sources.items():
            distribution = CORE if name == CORE else f"test-{name}"
            source = PluginSource(distribution=distribution, version="0", entry_point=name)
            plugin = _Plugin(source, "", module=module)
            plugin.problems.extend(check_hooks(module, source))
            plugins.append(plugin)
        return cls(plugins)

    # ------------------------------------------------------------------------------------------ contributions

    @property
    def domains(self) -> Mapping[str, Contribution[contract.Domain]]:
        return self._contributions["domains"]

    @property
    def techniques(self) -> Mapping[str, Contribution[contract.Technique]]:
        return self._contributions["techniques"]

    @property
    def exporters(self) -> Mapping[str, Contribution[contract.Exporter]]:
        return self._contributions["exporters"]

    @property
    def targets(self) -> Mapping[str, Contribution[contract.Target]]:
        return self._contributions["targets"]

    @property
    def health_checks(self) -> Mapping[str, Contribution[contract.HealthCheck]]:
        return self._contributions["health_checks"]

    def domain(self, name: str) -> Contribution[contract.Domain]:
        """The domain of that name.

        Raises:
            PluginError: Its plugin is broken, or two plugins claim the name.
            UsageError: There is no such domain.
        """
        return self._find("domains", name)

    def technique(self, name: str) -> Contribution[contract.Technique]:
        """The technique of that name; errors as for `domain`."""
        return self._find("techniques", name)

    def _find(self, kind: str, name: str) -> Contribution[Any]:
        found = self._contributions[kind].get(name)
        if found is not None:
            return found
        singular = kind.rstrip("s").replace("_", " ")
        claimants = self._conflicts.get((kind, name))
        if claimants:
            raise PluginError(
                f"two plugins contribute the {singular} '{name}'",
                where=" and ".join(map(str, claimants)),
                why="neither gets the name, since a result must not depend on the order of installation",
                hint=f"uninstall one, or set PENJING_DISABLE_PLUGINS={claimants[-1].distribution}",
            )
        for plugin in self._plugins:
            if not plugin.source.is_named_in([name]):
                continue
            if plugin.problems:
                problem = plugin.problems[0]
                raise PluginError(
                    f"the plugin of '{name}' does not work",
                    where=f"{problem.source}, stage {problem.stage}",
                    why=problem.reason,
                    hint=problem.hint,
                )
            if plugin.disabled:
                raise PluginError(
                    f"the plugin of '{name}' is disabled",
                    where=str(plugin.source),
                    hint="take it out of PENJING_DISABLE_PLUGINS",
                )
        broken = sorted({str(problem.source) for problem in self.problems})
        raise UsageError(
            f"there is no {singular} '{name}'",
            why=f"a plugin that does not work may be the one that brings it: {', '.join(broken)}" if broken else None,
            hint=did_you_mean(name, self._contributions[kind]),
        )

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong with any plugin."""
        return tuple(problem for plugin in self._plugins for problem in plugin.problems)

    @property
    def plugins(self) -> tuple[PluginStatus, ...]:
        """Every plugin with its status, in a stable order."""
        return tuple(
            PluginStatus(
                source=plugin.source,
                status="disabled"
                if plugin.disabled
                else "conflict"
                if plugin.conflicts
                else "broken"
                if plugin.problems
                else "ok",
                summary=plugin.summary,
                contributes={kind: tuple(names) for kind, names in plugin.contributes.items()},
                problems=tuple(plugin.problems),
                deprecations=tuple(plugin.deprecations),
            )
            for plugin in self._plugins
        )

    # --------------------------------------------------------------------------------------------- hook calls

    @property
    def calls(self) -> tuple[HookCall, ...]:
        """Every call so far, in order: imports, then hooks."""
        return tuple(self._log.calls)

    def default_recipe(self, domain: contract.Domain, budget: Mapping[str, Any]) -> tuple[Any, PluginSource] | None:
        """The first recipe that a plugin proposes, in the stable order of plugins, and who it was."""
        for plugin, implementation in self._implementations("penjing_default_recipe"):
            arguments = {"domain": domain, "budget": budget}
            recipe = self._call(plugin, "penjing_default_recipe", implementation, arguments)
            if recipe is None:
                continue
            if all(hasattr(recipe, part) for part in ("name", "steps", "to_toml")):
                return recipe, plugin.source
            problem = wrong_type_problem(
                plugin.source, "penjing_default_recipe", recipe, "Recipe", "return penjing.Recipe"
            )
            self._note(plugin, problem)
        return None

    def report_sections(
        self, run: contract.RunInfo, evaluation: contract.Evaluation
    ) -> list[Contribution[contract.ReportSection]]:
        """Sections of all plugins; one whose hook fails contributes none."""
        sections = []
        for plugin, implementation in self._implementations("penjing_report_sections"):
            known = len(plugin.problems)
            arguments = {"run": run, "evaluation": evaluation}
            hook = "penjing_report_sections"
            for section in self._items(plugin, hook, implementation, arguments, contract.ReportSection):
                fault = wrong_field(section)
                if fault is None:
                    sections.append(Contribution(section, plugin.source))
                else:
                    plugin.problems.append(section_problem(plugin.source, fault))
            for problem in plugin.problems[known:]:
                log.warning("plugin %s", problem)
        return sections

    def notify(self, hook: str, **frozen: Any) -> None:
        """Tell observers. What one of them raises is logged with its name and stops nothing."""
        for plugin, implementation in self._implementations(hook):
            self._call(plugin, hook, implementation, frozen)

    def resolve(self, import_string: str, source: PluginSource) -> Any:
        """Import "package.module:attribute" on behalf of a plugin.

        Raises:
            PluginError: The string is malformed, or the import fails; names the plugin.
        """
        return import_for(import_string, source)

    # ------------------------------------------------------------------------------------------------ details

    def _register(self, plugin: _Plugin) -> None:
        if any(problem.stage == "hooks" for problem in plugin.problems):
            # A hook that is misspelled or takes wrong arguments is the author's mistake; running the rest of the
            # plugin would hide it.
            plugin.module = None
            return
        twin = next((p for p in self._plugins if p is not plugin and p.module is plugin.module), None)
        if twin is not None and self._manager.is_registered(plugin.module):
            plugin.module = None
            plugin.problems.append(twin_problem(plugin.source, twin.source))
            return
        try:
            self._manager.register(plugin.module, name=f"{plugin.source}")
        except FAILURES as error:
            plugin.module = None
            plugin.problems.append(
                Problem(
                    source=plugin.source,
                    stage="register",
                    reason=reason_of(error),
                    hint=f"pip install --upgrade {plugin.source.distribution}",
                )
            )
            return
        plugin.deprecations.extend(deprecated_hooks(plugin.module))
        callers = [caller.name for caller in self._manager.get_hookcallers(plugin.module) or ()]
        observed = [hook for hook in OBSERVERS if hook in callers]
        if observed:
            plugin.contributes["observers"] = observed
        if "penjing_default_recipe" in callers:
            plugin.contributes["default_recipe"] = ["penjing_default_recipe"]

    def _implementations(self, hook: str) -> list[tuple[_Plugin, Any]]:
        by_module = {id(plugin.module): plugin for plugin in self._plugins if plugin.module is not None}
        found = [
            (by_module[id(implementation.plugin)], implementation)
            for implementation in getattr(self._manager.hook, hook).get_hookimpls()
        ]
        order = {id(plugin): index for index, plugin in enumerate(self._plugins)}
        return sorted(found, key=lambda pair: order[id(pair[0])])

    def _call(self, plugin: _Plugin, hook: str, implementation: Any, arguments: Mapping[str, Any]) -> Any:
        """Call one implementation with the arguments that it asks for; None when it fails."""
        try:
            with self._log.timed(plugin.source, hook) as answer:
                given = implementation.function(*(arguments[name] for name in implementation.argnames))
                answer.append(described(given))
            return given
        except FAILURES as error:
            self._note(plugin, call_problem(plugin.source, hook, error))
            return None

    def _items(
        self, plugin: _Plugin, hook: str, implementation: Any, arguments: Mapping[str, Any], expected: type[Any]
    ) -> list[Any]:
        """Everything that an implementation yields, or nothing at all when it fails half-way: no half results."""
        try:
            with self._log.timed(plugin.source, hook) as answer:
                given = implementation.function(*(arguments[name] for name in implementation.argnames))
                items = all_of(given, expected)
                answer.append(", ".join(map(described, items)) or "nothing")
        except FAILURES as error:
            plugin.problems.append(call_problem(plugin.source, hook, error))
            return []
        wrong = [item for item in items if not isinstance(item, expected)]
        if wrong:
            hint = f"yield penjing.contract.{expected.__name__}(...)"
            plugin.problems.append(wrong_type_problem(plugin.source, hook, wrong[0], expected.__name__, hint))
        return [item for item in items if isinstance(item, expected)]

    def _note(self, plugin: _Plugin, problem: Problem) -> None:
        """A problem that shows itself while a run is under way: said at once, kept once."""
        if problem not in plugin.problems:
            plugin.problems.append(problem)
        log.warning("plugin %s", problem)

    def _collect(self, kind: str, hook: str, expected: type[Any]) -> dict[str, Contribution[Any]]:
        claims: dict[str, list[tuple[_Plugin, Any]]] = {}
        for plugin, implementation in self._implementations(hook):
            for item in self._items(plugin, hook, implementation, {}, expected):
                problem = contribution_problem(plugin.source, item)
                if problem is not None:
                    plugin.problems.append(problem)
                    continue
                plugin.deprecations.extend(deprecated_fields(item))
                claims.setdefault(item.name, []).append((plugin, item))
        collected = {}
        for name, claimants in claims.items():
            core = [claim for claim in claimants if claim[0].source.is_core]
            winner = core[0] if core else claimants[0] if len(claimants) == 1 else None
            for plugin, item in claimants:
                if winner is not None and plugin is winner[0]:
                    plugin.contributes.setdefault(kind, []).append(name)
                    collected[name] = Contribution(item, plugin.source)
                    break
            sources = list(dict.fromkeys(plugin.source for plugin, _ in claimants))
            losers = [p for p in self._plugins if p.source in sources and (winner is None or p is not winner[0])]
            if losers:
                if winner is None:
                    self._conflicts[kind, name] = sources
                for plugin in losers:
                    plugin.conflicts = True
                    plugin.problems.append(conflict_problem(plugin.source, kind, name, sources))
        return dict(sorted(collected.items()))


def _load(entry: Entry) -> _Plugin:
    plugin = _Plugin(entry.source, entry.summary)
    module = import_plugin(entry)
    if isinstance(module, Problem):
        plugin.problems.append(module)
        return plugin
    plugin.module = module
    plugin.problems.extend(check_hooks(module, entry.source))
    return plugin
