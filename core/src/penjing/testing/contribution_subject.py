"""What a domain, a technique and an exporter under test have in common."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from penjing.host import Contribution, PluginHost, PluginSource
from penjing.testing.kept import Kept
from penjing.testing.plugin_subject import PluginUnderTest

C = TypeVar("C")


class ContributionUnderTest(ABC, Generic[C]):
    """Something that a plugin contributes, by its name: the plugins, its own among them, and a folder for the checks.

    Args:
        name: What recipes or the command line call it.
        host: The plugins; None takes those that are installed.
    """

    kind: str
    """In words, for messages: domain, technique, exporter."""

    def __init__(self, name: str, host: PluginHost | None = None) -> None:
        self.name = name
        self._host = host
        self._kept = Kept()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__

    @property
    def host(self) -> PluginHost:
        """The plugins, found when they are first asked for."""
        if self._host is None:
            self._host = self._find_plugins()
        return self._host

    def _find_plugins(self) -> PluginHost:
        return PluginHost.discover(log_problems=False)

    @abstractmethod
    def find(self) -> Contribution[C]:
        """The contribution among those of the host, looked up anew; `contribution` keeps it.

        Raises:
            UsageError: There is none of that name.
            PluginError: Its plugin is broken, or two plugins claim the name.
        """

    @property
    def contribution(self) -> Contribution[C]:
        """What the plugin contributes, with its source."""
        return self._kept.get(f"the {self.kind}", self.find)

    @property
    def source(self) -> PluginSource:
        return self.contribution.source

    @property
    def plugin(self) -> PluginUnderTest:
        return PluginUnderTest.of_source(self.source)

    def resolve(self, import_string: str) -> Any:
        """The object that an import string names."""
        return self.host.resolve(import_string, self.source)

    @property
    def folder(self) -> Path:
        """A folder for everything that the checks write."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="penjing-check-")
        return Path(self._folder.name)
