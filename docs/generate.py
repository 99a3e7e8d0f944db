"""Write what is generated in README and documentation: `python docs/generate.py`, or with --check only say what is old.

Between <!-- plugins --> and <!-- /plugins --> stands the table of the workspace's plugins.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from penjing.commands.plugin_table import plugin_table, with_table
from penjing.host import PluginHost

ROOT = Path(__file__).resolve().parents[1]


def workspace_distributions() -> list[str]:
    """The plugins of this checkout: what else is installed does not belong into its documentation."""
    files = sorted(ROOT.glob("plugins/*/pyproject.toml"))
    return [tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"] for file in files]


def generated() -> dict[Path, str]:
    """The files with marks, as they should be."""
    table = plugin_table(PluginHost.discover(log_problems=False), workspace_distributions())
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    return {file: new for file, text in texts.items() if (new := with_table(text, table)) != text}


def main(arguments: list[str]) -> int:
    stale = generated()
    for file, text in stale.items():
        if "--check" in arguments:
            print(f"{file.relative_to(ROOT)} is old: python docs/generate.py")
        else:
            file.write_text(text, encoding="utf-8")
            print(f"{file.relative_to(ROOT)} written")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
