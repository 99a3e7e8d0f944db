"""Who a contribution is from, and what is wrong with a plugin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

CORE = "penjing"
"""Distribution and entry point of the core's own contributions."""

FAILURES = (Exception, SystemExit)
"""What a plugin's code may raise without taking penjing along. KeyboardInterrupt is the user's."""


@dataclass(frozen=True, kw_only=True)
class PluginSource:
    """A plugin: one entry point of one distribution."""

    distribution: str
    version: str
    entry_point: str
    module: str = ""

    @property
    def is_core(self) -> bool:
        return self.distribution == CORE

    def is_named_in(self, names: Iterable[str]) -> bool:
        """Whether one of the names is that of the entry point or the distribution; '-', '_' and '.' are the same
        there, as for pip."""
        own = {_normal(self.entry_point), _normal(self.distribution)}
        return any(_normal(name) in own for name in names)

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} (entry point '{self.entry_point}')"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with a plugin, at which stage, and what to do."""

    source: PluginSource
    stage: str
    """metadata, contract, import, hooks, register, call HOOK, contribution, conflict."""
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.source}, stage {self.stage}: {self.reason}. Try: {self.hint}"


@dataclass(frozen=True, kw_only=True)
class PluginStatus:
    """A line of `penjing plugins list`."""

    source: PluginSource
    status: Literal["ok", "broken", "disabled", "conflict"]
    summary: str = ""
    contributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names by kind: domains, techniques, exporters, targets, health checks, observers."""
    problems: tuple[Problem, ...] = ()
    deprecations: tuple[str, ...] = ()
    """What it uses of the contract that goes with the next version; it works as long."""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
