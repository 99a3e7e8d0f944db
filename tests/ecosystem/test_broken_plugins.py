"""A plugin that is broken in any way is named with distribution, version, entry point, stage and the next step, and
every other plugin works on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from penjing.commands.main import VERBS
from penjing.host.validation import RESERVED_DOMAIN_NAMES

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
    "takes-keywords-only": (
        HOOK + "@hookimpl\ndef penjing_before_step(*, run):\n    pass\n",
        "hooks",
        "argument 'run' of hook 'penjing_before_step' is keyword-only",
    ),
    "wraps-the-others": (
        HOOK + "@hookimpl(wrapper=True)\ndef penjing_targets():\n    return (yield)\n",
        "hooks",
        "hook 'penjing_targets' is marked as a wrapper",
    ),
    "misspells-without-the-mark": (
        "def penjing_target():\n    return []\n",
        "hooks",
        "'penjing_target' looks like a hook but is not marked",
    ),
    "ends-the-process-in-a-hook": (
        HOOK + "@hookimpl\ndef penjing_targets():\n    raise SystemExit(5)\n",
        "call penjing_targets",
        "SystemExit: 5",
    ),
    "returns-no-list": (
        HOOK + "@hookimpl\ndef penjing_targets():\n    return 5\n",
        "call penjing_targets",
        "'int' object is not iterable",
    ),
    "raises-without-words": (
        "class Wordless(Exception):\n    def __str__(self):\n        raise ValueError('no')\nraise Wordless\n",
        "import",
        "Wordless",
    ),
    "has-a-name-that-is-a-list": (
        HOOK
        + "@hookimpl\ndef penjing_targets():\n    yield Target(name=['a'], summary='', flash_bytes=1, ram_bytes=1)\n",
        "contribution",
        "the name ['a'], which must be a text",
    ),
    "has-no-name": (
        HOOK
        + "@hookimpl\ndef penjing_targets():\n    yield Target(name=None, summary='', flash_bytes=1, ram_bytes=1)\n",
        "contribution",
        "the name None, which must be a text",
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
    assert "is written for contract version 99, penjing" in problem["reason"]
    assert problem["hint"] == "pip install --upgrade penjing"


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        (
            "leaks",
            {"recipes={}": "recipes={}, contract_version='1'"},
            "contract version '1', which must be a whole number",
        ),
        ("Two Words", {}, "must be lower-case words joined by '-'"),
        ("doctor", {}, "has the name of one of penjing's own commands"),
        ("leaks", {"primary=True": "primary=False"}, "has 0 primary metrics (none), and must have exactly one"),
        ("leaks", {"metrics=(Metric": "metrics=('loss', Metric"}, "has 'loss' among its metrics"),
        ("leaks", {"recipes={}": "recipes=None"}, "has recipes of type NoneType, which must be a mapping"),
        ("leaks", {'"classification"': '"guessing"'}, "has the task 'guessing'; choose one of: classification"),
        ("leaks", {"recipes={}": "recipes={}, baselines='a:b'"}, "has baselines of type str, which must be a tuple"),
        ("leaks", {"recipes={}": "recipes={}, predict_options=None"}, "'NoneType' object is not iterable"),
        (
            "leaks",
            {"recipes={}": "recipes={}, predict_options=(PredictOption(flag='stream', help=''),)"},
            "has the predict option 'stream', which must look like '--top-words' or '-k'",
        ),
        (
            "leaks",
            {"recipes={}": "recipes={}, predict_options=(PredictOption(flag='--json', help=''),)"},
            "has the predict option '--json', which is taken",
        ),
    ],
)
def test_a_domain_that_cannot_work_is_refused_and_its_fault_is_named(
    site, domain_code: Callable[[str], str], name: str, changes: dict[str, str], reason: str
) -> None:
    code = domain_code(name).replace("import Domain, Metric", "import Domain, Metric, PredictOption")
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    site.add("penjing-leaks", code)
    site.add("penjing-healthy", domain_code("healthy"))
    plugins = site.plugins()
    assert plugins["penjing-leaks"]["status"] == "broken"
    (problem,) = plugins["penjing-leaks"]["problems"]
    assert problem["stage"] == "contribution"
    assert reason in problem["reason"]
    assert plugins["penjing-healthy"]["contributes"] == {"domains": ["healthy"]}
    assert site.run("domains", "--json").returncode == 0


def test_the_reserved_domain_names_are_the_command_lines_verbs() -> None:
    assert {*VERBS, "model"} == RESERVED_DOMAIN_NAMES


def test_names_that_only_begin_like_a_hook_and_marks_with_another_name_are_fine(site) -> None:
    site.add(
        "penjing-fine",
        HOOK
        + "def penjing_home():\n    return 1\n"
        + "@hookimpl(specname='penjing_targets')\ndef boards():\n"
        + "    yield Target(name='board', summary='', flash_bytes=1, ram_bytes=1)\n"
        + "@hookimpl(optionalhook=True)\ndef penjing_of_a_later_version():\n    pass\n",
    )
    plugin = site.plugins()["penjing-fine"]
    assert (plugin["status"], plugin["problems"], plugin["contributes"]) == ("ok", [], {"targets": ["board"]})


def test_an_object_as_plugin_is_looked_at_without_running_its_properties(site) -> None:
    code = HOOK + (
        "class Plugin:\n"
        "    @property\n    def volts(self):\n        raise ZeroDivisionError\n"
        "    @hookimpl\n    def penjing_targets(self):\n"
        "        yield Target(name='board', summary='', flash_bytes=1, ram_bytes=1)\n"
        "plugin = Plugin()\n"
    )
    site.add("penjing-object", code)
    points = site.folder / "penjing_object-1.2.3.dist-info/entry_points.txt"
    points.write_text("[penjing]\nobject = penjing_object.plugin:plugin\n")
    plugin = site.plugins()["penjing-object"]
    assert (plugin["status"], plugin["contributes"]) == ("ok", {"targets": ["board"]})


@pytest.mark.parametrize(
    "content",
    [
        b"[penjing]\nno equals sign\n",
        b"[penjing]\nx = not a module\n",
        b"[penjing]\n\xff\xfe = x\n",
        b"[penjing]\nx =\n",
    ],
)
def test_damaged_entry_points_are_named_and_stop_nothing(
    site, domain_code: Callable[[str], str], content: bytes
) -> None:
    site.add("penjing-healthy", domain_code("healthy"), keywords="penjing-domain")
    site.add("penjing-torn", domain_code("torn"))
    (site.folder / "penjing_torn-1.2.3.dist-info/entry_points.txt").write_bytes(content)
    plugins = site.plugins()
    torn = plugins["penjing-torn"]
    assert (torn["status"], torn["version"], torn["problems"][0]["stage"]) == ("broken", "1.2.3", "metadata")
    assert plugins["penjing-healthy"]["status"] == "ok"
    assert "penjing-healthy" in site.run("--help").stdout


def test_another_packages_damaged_entry_points_are_not_our_business(site) -> None:
    site.add("unrelated", "")
    (site.folder / "unrelated-1.2.3.dist-info/entry_points.txt").write_text("[console_scripts]\nno equals sign\n")
    assert "unrelated" not in site.plugins()
    assert site.run("--help").returncode == 0


def test_of_two_copies_the_first_on_the_path_counts(site, domain_code: Callable[[str], str]) -> None:
    site.add("penjing-leaks", domain_code("leaks"), version="2.0.0")
    old = type(site)(site.folder.parent / "old")
    old.add("penjing-leaks", domain_code("leaks"), version="1.0.0", entry_point="former-name")
    site.env["PYTHONPATH"] = os.pathsep.join([str(site.folder), str(old.folder)])
    found = [p for p in json.loads(site.run("plugins", "list", "--json").stdout) if "leaks" in p["distribution"]]
    assert [(p["name"], p["version"], p["status"]) for p in found] == [("penjing-leaks", "2.0.0", "ok")]


def test_a_plugin_that_contributes_a_name_twice_is_told_so_once(site) -> None:
    target = "Target(name='b', summary='', flash_bytes=1, ram_bytes=1)"
    code = HOOK + f"@hookimpl\ndef penjing_targets():\n    return 2 * [{target}]\n"
    site.add("penjing-echo", code)
    plugin = site.plugins()["penjing-echo"]
    assert plugin["status"] == "conflict"
    (problem,) = plugin["problems"]
    assert "so does itself, twice" in problem["reason"] and problem["hint"].startswith("rename it")


def test_a_command_that_does_not_list_plugins_warns_of_the_broken_once(site) -> None:
    site.add("penjing-leaks", "raise RuntimeError('no such sensor')", entry_point="leaks")
    done = site.run("domains", "--json")
    assert done.returncode == 0
    json.loads(done.stdout)
    assert done.stderr.count("no such sensor") == 1
    assert "penjing-leaks 1.2.3 (entry point 'leaks'), stage import" in done.stderr
    assert site.run("plugins", "list", "--json").stderr == ""


def test_an_unknown_name_may_be_that_of_a_broken_plugins_contribution(site) -> None:
    site.add("penjing-water", "raise RuntimeError('no such sensor')", entry_point="water")
    done = site.run("leak-detection", "run")
    assert done.returncode == 2
    assert "there is no command or domain 'leak-detection'" in done.stderr
    assert "may be the one that brings it: penjing-water 1.2.3" in done.stderr


WITNESS = "import pathlib\npathlib.Path('{mark}').write_text('imported')\n"


@pytest.mark.parametrize("name", ["witness", "penjing-witness", "Penjing_Witness"])
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
