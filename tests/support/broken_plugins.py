"""The plugins of examples/broken-plugins as wheels, and how a test installs one."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from penjing.testing.fake_distributions import FakeDistributions
from written_pages import CHECKOUT

FOLDER = CHECKOUT / "examples/broken-plugins"
VERSION = "4.5.6"
"""Of every one of them."""

# The hook of PEP 517 that pip calls, in one process for all: thirty times pip would take minutes.
_BUILD = """
import os, sys
from hatchling.build import build_wheel
target, *folders = sys.argv[1:]
for folder in folders:
    os.chdir(folder)
    build_wheel(target)
"""


def names() -> set[str]:
    """The folders, which are the names of the entry points too."""
    return {path.parent.name for path in FOLDER.glob("*/pyproject.toml")}


def build_wheels(target: Path) -> dict[str, Path]:
    """A wheel of each, by name."""
    folders = sorted(names())
    command = [sys.executable, "-c", _BUILD, str(target), *(str(FOLDER / name) for name in folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: next(target.glob(f"penjing_{name.replace('-', '_')}-{VERSION}-*.whl")) for name in folders}


def unpack(wheel: Path, site: FakeDistributions) -> None:
    """What installing a wheel of pure Python comes to."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site.folder)
