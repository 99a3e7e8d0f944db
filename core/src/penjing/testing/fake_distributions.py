"""Distributions on disk: a package, its metadata and its entry points, put on the path of new processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class FakeDistributions:
    """A folder of distributions that a process finds besides those that are installed."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        name: str,
        code: str,
        *,
        version: str = "1.2.3",
        entry_point: str | None = None,
        keywords: str = "",
        requires: tuple[str, ...] = (),
        extra_files: Mapping[str, str] | None = None,
    ) -> Path:
        """A distribution of one package whose module `plugin` holds the code; returns the folder of its metadata."""
        module = name.replace("-", "_")
        package = self.folder / module
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "plugin.py").write_text(textwrap.dedent(code))
        for file, text in (extra_files or {}).items():
            (package / file).write_text(textwrap.dedent(text))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: The plugin {name}.\n"
        if keywords:
            metadata += f"Keywords: {keywords}\n"
        metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[penjing]\n{entry_point or name} = {module}.plugin\n")
        return info

    def run(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`penjing` with these distributions on its path."""
        return self._process(["-m", "penjing", *map(str, arguments)], env)

    def python(self, code: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A Python process with these distributions on its path."""
        return self._process(["-c", textwrap.dedent(code)], env)

    def plugins(self, env: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
        """`penjing plugins list --json`, by distribution."""
        done = self.run("plugins", "list", "--json", env=env)
        assert done.returncode == 0, done.stderr
        return {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)}

    def _process(self, arguments: list[str], env: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **self.env, **(env or {})},
            cwd=self.folder,
            check=False,
        )
