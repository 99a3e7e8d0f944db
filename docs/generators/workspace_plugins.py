"""The table of the plugins that lie in this checkout."""

from __future__ import annotations

import tomllib
from pathlib import Path

from penjing.commands.plugin_table import plugin_table
from penjing.host import PluginHost

ROOT = Path(__file__).resolve().parents[2]


def distributions() -> list[str]:
    """Their names: what else is installed does not belong into the documentation."""
    files = sorted(ROOT.glob("plugins/*/pyproject.toml"))
    return [tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"] for file in files]


def table() -> str:
    """What they declare."""
    return plugin_table(PluginHost.discover(log_problems=False), distributions())
