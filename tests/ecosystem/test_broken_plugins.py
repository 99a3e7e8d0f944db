"""A plugin that is broken in any way is named with distribution, version, entry point, stage and the next step, and
every other plugin works on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

HOOK = "from penjing import hookimpl\nfrom penjing.contract import *\n"

BROKEN = {
    "fails-to-import": ("raise RuntimeError('no such sensor')", "import", "RuntimeError: no such sensor"),
    "needs-a-package": ("import a_package_that_is_not_there", "import", "ModuleNotFoundError"),
    "ends-the-process": ("raise SystemExit(3)", "import", "SystemExit: 3"),
    "is-no-python": ("def broken(:\n", "import", "SyntaxError"),
    "misspells-a-hook": (
        HOOK + "@hookimpl\ndef penjing_domain():\n    return []\n",
        "hooks",
        "there is no hook 'penjing_domain'",
    ),
    "forgets-the-mark": (
        "def penjing_domains():\n    return []\n",
        "hooks",
        "'penjing_domains' looks like a hook but is not marked",
    ),
    "takes-a-wrong-argument": (
        HOOK + "@hookimpl\ndef penjing_before_step(run, stepp):\n    pass\n",
        "hooks",
        "hook 'penjing_before_step' has no argument 'stepp'",
    ),
    "gives-a-default": (
        HOOK + "@hookimpl\ndef penjing_before_step(run, step=None):\n    pass\n",
        "hooks",
        "argument 'step' of hook 'penjing_before_step' has a default",
    ),
    "raises-half-way": (
        HOOK
        + "@hookimpl\ndef penjing_targets():\n"
        + "    yield Target(name='half', summary='', flash_bytes=1, ram_bytes=1)\n"
        + "    raise ValueError('half-way')\n",
        "call penjing_targets",
        "ValueError: half-way",
    ),
    "gives-the-wrong-thing": (
        HOOK + "@hookimpl\ndef penjing_targets():\n    return ['a board']\n",
        "contribution",
        "hook 'penjing_targets' gave a str instead of Target",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_guilty_plugin_is_named_and_the_others_work_on(site, domain_code: Callable[[str], str], name: str) -> None:
    code, stage, reason = BROKEN[name]
    site.add(f"penjing-{name}", code, version="4.5.6", entry_point=name)
    site.add("penjing-healthy", domain_code("healthy"), entry_point="healthy")
    plugins = site.plugins()
    guilty = plugins[f"penjing-{name}"]
    assert (guilty["status"], guilty["version"], guilty["name"]) == ("broken", "4.5.6", name)
    (problem,) = guilty["problems"]
    assert problem["stage"] == stage
    assert reason in problem["reason"]
    assert problem["hint"]
    assert plugins["penjing-healthy"]["status"] == "ok"
    assert plugins["penjing-healthy"]["contributes"] == {"domains": ["healthy"]}
    assert "quantize" in plugins["penjing"]["contributes"]["techniques"]
    # The same in words, for a person.
    doctor = site.run("doctor")
    assert doctor.returncode == 1
    assert f"plugin penjing-{name}: 4.5.6, broken at stage {stage}" in doctor.stdout
    assert "try:" in doctor.stdout
    assert "Traceback" not in doctor.stdout + doctor.stderr


def test_using_a_broken_plugin_says_what_is_wrong_with_it(site) -> None:
    site.add("penjing-leaks", "raise RuntimeError('no such sensor')", entry_point="leaks", keywords="penjing-domain")
    done = site.run("leaks", "run")
    assert done.returncode == 2
    assert "penjing-leaks 1.2.3 (entry point 'leaks'), stage import" in done.stderr
    assert "no such sensor" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_plugins_with_one_name_both_lose_it_and_all_else_works(site, domain_code: Callable[[str], str]) -> None:
    site.add("penjing-first", domain_code("leaks"), entry_point="first")
    site.add("penjing-second", domain_code("leaks"), entry_point="second")
    site.add("penjing-healthy", domain_code("healthy"), entry_point="healthy")
    plugins = site.plugins()
    for name, other in (("penjing-first", "penjing-second"), ("penjing-second", "penjing-first")):
        assert plugins[name]["status"] == "conflict"
        assert other in plugins[name]["problems"][0]["reason"]
    assert plugins["penjing-healthy"]["status"] == "ok"
    done = site.run("leaks", "run")
    assert done.returncode == 2
    assert "penjing-first 1.2.3" in done.stderr and "penjing-second 1.2.3" in done.stderr
    # With one of them disabled the name is free again.
    names = json.loads(site.run("domains", "--json", env={"PENJING_DISABLE_PLUGINS": "penjing-second"}).stdout)
    assert "leaks" in [domain["name"] for domain in names]


def test_the_cores_own_parts_win_over_a_plugin_that_takes_their_name(site) -> None:
    code = HOOK + (
        "@hookimpl\ndef penjing_techniques():\n"
        "    yield Technique(name='quantize', summary='', settings='x:y', apply='x:y')\n"
    )
    site.add("penjing-usurper", code)
    plugins = site.plugins()
    assert plugins["penjing"]["status"] == "ok"
    assert "quantize" in plugins["penjing"]["contributes"]["techniques"]
    assert plugins["penjing-usurper"]["status"] == "conflict"


def test_a_plugin_for_another_contract_version_gets_a_precise_message(site, domain_code: Callable[[str], str]) -> None:
    site.add("penjing-future", domain_code("future").replace("recipes={}", "recipes={}, contract_version=99"))
    (problem,) = site.plugins()["penjing-future"]["problems"]
    assert "contract version 99, this penjing has 1" in problem["reason"]
    assert problem["hint"] == "pip install --upgrade penjing"


WITNESS = "import pathlib\npathlib.Path('{mark}').write_text('imported')\n"


@pytest.mark.parametrize("name", ["witness", "penjing-witness"])
def test_a_disabled_plugin_is_not_imported(site, name: str) -> None:
    mark = site.folder / "mark"
    site.add("penjing-witness", WITNESS.format(mark=mark), entry_point="witness")
    plugins = site.plugins(env={"PENJING_DISABLE_PLUGINS": f"other, {name}"})
    assert plugins["penjing-witness"]["status"] == "disabled"
    assert not mark.exists()
    site.plugins()
    assert mark.exists()


def test_no_plugins_loads_only_the_core(site) -> None:
    mark = site.folder / "mark"
    site.add("penjing-witness", WITNESS.format(mark=mark), entry_point="witness", keywords="penjing-domain")
    done = site.run("--no-plugins", "plugins", "list", "--json")
    assert [plugin["distribution"] for plugin in json.loads(done.stdout)] == ["penjing"]
    assert "witness" not in site.run("--no-plugins", "--help").stdout
    assert not mark.exists()


def test_a_distribution_with_damaged_metadata_stops_nothing(site, domain_code: Callable[[str], str]) -> None:
    site.add("penjing-healthy", domain_code("healthy"))
    site.add("penjing-torn", domain_code("torn"))
    (site.folder / "penjing_torn-1.2.3.dist-info/METADATA").unlink()
    done = site.run("plugins", "list", "--json")
    assert done.returncode == 0
    assert {"penjing-healthy"} <= {plugin["distribution"] for plugin in json.loads(done.stdout)}


def test_the_order_of_installation_changes_nothing(site, domain_code: Callable[[str], str]) -> None:
    orders = []
    for names in (("b", "a"), ("a", "b")):
        folder = site.folder / "".join(names)
        other = type(site)(folder)
        for name in names:
            other.add(f"penjing-{name}", domain_code(name))
            os.utime(folder / f"penjing_{name}")
        orders.append(list(other.plugins()))
    assert orders[0] == orders[1]
