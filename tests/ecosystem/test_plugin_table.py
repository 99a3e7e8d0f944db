"""The table of plugins says what the plugins declare, and is up to date wherever it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from penjing import hookimpl
from penjing.commands.plugin_table import END, START, plugin_table, with_table
from penjing.contract import Domain, Metric, Target
from penjing.host import PluginHost

CHECKOUT = Path(__file__).resolve().parents[2]


def host() -> PluginHost:
    class Leaks:
        @hookimpl
        def penjing_domains(self):
            metric = Metric(name="auc", function="a:b", direction="higher", primary=True)
            yield Domain(
                name="leaks",
                summary="Water | heard.",
                task="binary",
                load_data="a:b",
                build_model="a:c",
                metrics=(metric,),
                recipes={},
                budget={"flash": "8KB", "drop": "0.01"},
                split_by="pump",
            )

    class Board:
        @hookimpl
        def penjing_targets(self):
            yield Target(name="board", summary="", flash_bytes=1, ram_bytes=1)

    return PluginHost.from_modules({"leaks": Leaks(), "board": Board()})


def test_a_row_says_what_a_domain_declares_and_other_plugins_follow() -> None:
    domains, _, others = plugin_table(host()).partition("\n\n")
    assert domains.splitlines()[2] == (
        "| `leaks` | Water \\| heard. | auc | flash 8KB, drop 0.01 | pump | `pip install test-leaks` |"
    )
    assert others.splitlines()[2] == "| `test-board` |  | targets |"
    assert "board" not in plugin_table(host(), ["test-leaks"])


def test_the_table_stands_between_its_marks_and_nothing_else_changes() -> None:
    text = f"before\n{START}\nold\n{END}\nafter"
    assert with_table(text, "new") == f"before\n{START}\n\nnew\n\n{END}\nafter"
    assert with_table(with_table(text, "new"), "new") == with_table(text, "new")
    for unmarked in ("no marks", f"only {START} the first"):
        assert with_table(unmarked, "new") == unmarked


def test_no_table_of_the_documentation_is_old() -> None:
    marked = [file for file in CHECKOUT.glob("docs/*.md") if START in file.read_text(encoding="utf-8")]
    assert marked
    command = [sys.executable, str(CHECKOUT / "docs/generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
