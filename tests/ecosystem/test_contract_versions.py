"""A plugin for another contract is told apart before it is imported, and says what to upgrade; calls can be traced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penjing import hookimpl
from penjing.host import PluginHost


@pytest.mark.parametrize(
    ("keyword", "upgrade"),
    [
        ("penjing-contract-2", "pip install --upgrade penjing"),
        ("penjing-contract-0", "pip install --upgrade penjing-leaks"),
    ],
)
def test_a_plugin_for_another_contract_is_not_imported_and_says_what_to_upgrade(
    site, keyword: str, upgrade: str
) -> None:
    site.add(
        "penjing-leaks", "raise RuntimeError('imported')", keywords=f"penjing-domain,{keyword}", entry_point="leaks"
    )
    (problem,) = site.plugins()["penjing-leaks"]["problems"]
    number = keyword[-1]
    assert problem["stage"] == "contract"
    assert f"the plugin is written for contract version {number}, penjing 0.1.0 understands 1" == problem["reason"]
    assert problem["hint"] == upgrade
    done = site.run("leaks", "run")
    assert done.returncode == 2 and "penjing-leaks 1.2.3 (entry point 'leaks'), stage contract" in done.stderr
    assert "imported" not in done.stderr


def test_a_plugin_for_this_contract_says_so_in_its_keywords(site, domain_code) -> None:
    site.add("penjing-leaks", domain_code("leaks"), keywords="penjing-domain, penjing-contract-1", entry_point="leaks")
    assert site.plugins()["penjing-leaks"]["status"] == "ok"


def test_an_import_that_fails_for_want_of_a_newer_penjing_says_so(site) -> None:
    code = "from penjing.contract import SomethingOfTheFuture"
    site.add(
        "penjing-leaks", code, requires=("penjing[compress]>=7.1", "penjing-datasets>=9", "penjing>=7; extra == 'x'")
    )
    (problem,) = site.plugins()["penjing-leaks"]["problems"]
    assert problem["stage"] == "import"
    assert "cannot import name 'SomethingOfTheFuture'" in problem["reason"]
    assert "(it needs penjing[compress]>=7.1, this is penjing 0.1.0)" in problem["reason"]


def test_a_trace_says_who_was_asked_what_and_what_came_of_it(site, domain_code) -> None:
    site.add("penjing-leaks", domain_code("leaks"), entry_point="leaks")
    site.add(
        "penjing-wrecker",
        """
        from penjing import Recipe, hookimpl

        @hookimpl
        def penjing_targets():
            raise RuntimeError("no board")

        @hookimpl
        def penjing_default_recipe(domain):
            return Recipe(name="tiny") if domain.name == "leaks" else None
        """,
    )
    done = site.run("plugins", "trace", "leaks", "--json")
    assert done.returncode == 0, done.stderr
    calls = [call for call in json.loads(done.stdout) if call["plugin"] in ("penjing-leaks", "penjing-wrecker")]
    assert [(call["hook"], call["entry_point"], call["ok"], call["answer"]) for call in calls] == [
        ("import", "leaks", True, "penjing_leaks.plugin"),
        ("import", "penjing-wrecker", True, "penjing_wrecker.plugin"),
        ("penjing_domains", "leaks", True, "Domain 'leaks'"),
        ("penjing_targets", "penjing-wrecker", False, "RuntimeError: no board"),
        ("penjing_default_recipe", "penjing-wrecker", True, "Recipe 'tiny'"),
    ]
    assert all(call["ms"] >= 0 for call in calls)
    shown = site.run("plugins", "trace").stdout
    assert "FAILED: RuntimeError: no board" in shown and "Domain 'leaks'" in shown
    unknown = site.run("plugins", "trace", "leak")
    assert unknown.returncode == 2 and "did you mean 'leaks'?" in unknown.stderr


def test_calls_during_a_run_are_logged_for_those_who_debug(site) -> None:
    site.add("penjing-quiet", "", entry_point="quiet")
    assert "hook penjing_techniques of penjing 0.1.0" in site.run("--debug", "plugins", "list").stderr


def test_a_host_keeps_its_calls_apart_from_those_of_another(tmp_path: Path) -> None:
    class Watcher:
        @hookimpl
        def penjing_before_step(self, run):
            return None

    first, second = PluginHost.from_modules({"watcher": Watcher()}), PluginHost.from_modules({})
    known = len(first.calls)
    first.notify("penjing_before_step", run=None, step=None)
    assert [call.hook for call in first.calls[known:]] == ["penjing_before_step"]
    assert "penjing_before_step" not in {call.hook for call in second.calls}
