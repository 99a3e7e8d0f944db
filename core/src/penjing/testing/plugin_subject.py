"""A plugin under test: an entry point, whatever it contributes."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from penjing.errors import UsageError, did_you_mean
from penjing.host.discovery import Entry, entries
from penjing.host.source import PluginSource


class HasPlugin(Protocol):
    """Whatever a plugin contributes knows its plugin."""

    @property
    def plugin(self) -> PluginUnderTest: ...


class PluginUnderTest:
    """An entry point of the group 'penjing', by its name or that of its distribution."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def __str__(self) -> str:
        return self.entry.source.distribution

    @classmethod
    def named(cls, name: str) -> PluginUnderTest:
        """The plugin of that name; the first, where a distribution of that name has several.

        Raises:
            UsageError: There is none.
        """
        return cls.all_named(name)[0]

    @classmethod
    def all_named(cls, name: str) -> list[PluginUnderTest]:
        """Every plugin whose entry point or distribution has that name.

        Raises:
            UsageError: There is none.
        """
        known = entries()
        found = [entry for entry in known if entry.source.is_named_in([name])]
        if not found:
            names = [n for e in known for n in (e.source.distribution, e.source.entry_point)]
            raise UsageError(f"there is no plugin '{name}'", hint=did_you_mean(name, names))
        return [cls(entry) for entry in found]

    @classmethod
    def of_source(cls, source: PluginSource) -> PluginUnderTest:
        """The plugin that a contribution comes from."""
        found = [entry for entry in entries() if entry.source == source]
        return cls(found[0] if found else Entry(source=source, point=None, summary="", is_domain=False))

    @property
    def plugin(self) -> PluginUnderTest:
        return self

    @property
    def module_name(self) -> str | None:
        """The module that the entry point names; None where the plugin is not installed."""
        return None if self.entry.point is None else self.entry.point.module

    @property
    def module(self) -> Any:
        """The declaring module, imported."""
        assert self.module_name is not None
        return importlib.import_module(self.module_name)
