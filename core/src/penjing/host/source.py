"""Who a contribution is from, and what is wrong with a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CORE = "penjing"
"""Distribution and entry point of the core's own contributions."""


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

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} (entry point '{self.entry_point}')"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with a plugin, at which stage, and what to do."""

    source: PluginSource
    stage: str
    """import, hooks, register, call HOOK, contribution, conflict."""
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
