"""Real distributions on disk: a package, its metadata and its entry points, put on the path of a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Site:
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
        extra_files: dict[str, str] | None = None,
    ) -> None:
        """A distribution of one module."""
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
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[penjing]\n{entry_point or name} = {module}.plugin\n")

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`penjing` with these distributions on its path."""
        return subprocess.run(
            [sys.executable, "-m", "penjing.commands", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(self.folder), **self.env, **(env or {})},
            cwd=self.folder,
            check=False,
        )

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """A Python process with these distributions on its path."""
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(self.folder), **self.env},
            cwd=self.folder,
            check=False,
        )

    def plugins(self, env: dict[str, str] | None = None) -> dict[str, dict]:
        """`penjing plugins list --json`, by distribution."""
        done = self.run("plugins", "list", "--json", env=env)
        assert done.returncode == 0, done.stderr
        return {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)}


DOMAIN = """
from penjing import hookimpl
from penjing.contract import Domain, Metric

@hookimpl
def penjing_domains():
    yield Domain(
        name="{name}",
        summary="A domain for tests.",
        task="classification",
        load_data="nowhere:load",
        build_model="nowhere:build",
        metrics=(Metric(name="accuracy", function="nowhere:accuracy", direction="higher", primary=True),),
        recipes={{}},
    )
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def domain_code() -> Callable[[str], str]:
    return lambda name: DOMAIN.format(name=name)
