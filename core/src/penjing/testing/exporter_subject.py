"""An exporter under test."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from penjing.contract import Exporter
from penjing.errors import UsageError, did_you_mean
from penjing.host import Contribution, PluginHost
from penjing.testing.plugin_subject import PluginUnderTest
from penjing.testing.toy_task import toy_run


class ExporterUnderTest:
    """An installed exporter, by its name."""

    def __init__(self, exporter: str, *, host: PluginHost | None = None) -> None:
        self.name = exporter
        self._host = host

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__

    @functools.cached_property
    def host(self) -> PluginHost:
        return self._host or PluginHost.discover(log_problems=False)

    @property
    def contribution(self) -> Contribution[Exporter]:
        found = self.host.exporters.get(self.name)
        if found is None:
            raise UsageError(f"there is no exporter '{self.name}'", hint=did_you_mean(self.name, self.host.exporters))
        return found

    @property
    def exporter(self) -> Exporter:
        return self.contribution.value

    @property
    def plugin(self) -> PluginUnderTest:
        return PluginUnderTest.of_source(self.contribution.source)

    @functools.cached_property
    def function(self) -> Callable[[Any, Path], Sequence[Path]]:
        found: Callable[[Any, Path], Sequence[Path]] = self.host.resolve(self.exporter.export, self.contribution.source)
        return found

    @functools.cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="penjing-check-")

    @functools.cached_property
    def run(self) -> Any:
        """A small finished run."""
        return toy_run(Path(self._folder.name) / "run")

    def bundle_content(self) -> dict[str, bytes]:
        """Every file of the bundle."""
        folder: Path = self.run.bundle
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }

    def export(self, name: str) -> tuple[Path, list[Path]]:
        """The folder, and what the exporter says that it has written."""
        from penjing.runtime import load_bundle

        folder = Path(self._folder.name) / name
        folder.mkdir()
        return folder, [Path(path) for path in self.function(load_bundle(self.run.bundle), folder)]
