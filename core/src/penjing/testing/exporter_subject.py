"""An exporter under test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from penjing.contract import Exporter
from penjing.errors import UsageError, did_you_mean
from penjing.host import Contribution, PluginHost
from penjing.testing.contribution_subject import ContributionUnderTest
from penjing.testing.toy_task import toy_run

ExportFunction = Callable[[Any, Path], Sequence[Path]]


class ExporterUnderTest(ContributionUnderTest[Exporter]):
    """An exporter for `check_subject` and `parametrize_with_checks`, on the bundle of a small run.

    Args:
        exporter: The name of an installed exporter.
        host: The plugins; None takes those that are installed.
    """

    kind = "exporter"

    def __init__(self, exporter: str, *, host: PluginHost | None = None) -> None:
        super().__init__(exporter, host)

    def find(self) -> Contribution[Exporter]:
        found = self.host.exporters.get(self.name)
        if found is None:
            raise UsageError(f"there is no exporter '{self.name}'", hint=did_you_mean(self.name, self.host.exporters))
        return found

    @property
    def exporter(self) -> Exporter:
        return self.contribution.value

    @property
    def function(self) -> ExportFunction:
        found: ExportFunction = self._kept.get("the function", lambda: self.resolve(self.exporter.export))
        return found

    @property
    def run(self) -> Any:
        """A small finished run."""
        return self._kept.get("the small run", lambda: toy_run(self.folder / "run"))

    def bundle_content(self) -> dict[str, bytes]:
        """Every file of the bundle."""
        folder: Path = self.run.bundle
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }

    def export(self, name: str) -> tuple[Path, list[Path]]:
        """The folder, and what the exporter says that it has written."""
        from penjing.runtime import load_bundle

        folder = self.folder / name
        folder.mkdir()
        return folder, [Path(path) for path in self.function(load_bundle(self.run.bundle), folder)]
