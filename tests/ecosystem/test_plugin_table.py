"""The table of plugins says what the plugins declare."""

from __future__ import annotations

from penjing import hookimpl
from penjing.commands.plugin_table import plugin_table
from penjing.contract import Domain, Metric, Target
from penjing.host import PluginHost


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
