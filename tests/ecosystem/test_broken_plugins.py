"""A plugin that is broken in any way is named with distribution, version, entry point, stage and the next step, and
every other plugin works on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from broken_plugins import FOLDER, VERSION, build_wheels, names, unpack
from penjing.commands.main import VERBS
from penjing.host.validation import RESERVED_DOMAIN_NAMES

HOOK = "from penjing import hookimpl\nfrom penjing.contract import *\n"

BROKEN = {
    "fails-to-import": ("import", "RuntimeError: no such sensor"),
    "needs-a-package": ("import", "ModuleNotFoundError: No module named 'a_package_that_is_not_there'"),
    "ends-the-process": ("import", "SystemExit: 3"),
    "is-no-python": ("import", "SyntaxError"),
    "names-what-is-not-there": ("import", "has no attribute 'plugin'"),
    "raises-without-words": ("import", "WordlessError"),
    "needs-a-newer-penjing": ("import", "(it needs penjing>=7.1, this is penjing 0.1.0)"),
    "is-of-another-contract": (
        "contract",
        "the plugin is written for contract version 2, penjing 0.1.0 understands 1",
    ),
    "misspells-a-hook": ("hooks", "there is no hook 'penjing_domain'"),
    "misspells-without-the-mark": ("hooks", "'penjing_target' looks like a hook but is not marked"),
    "forgets-the-mark": ("hooks", "'penjing_domains' looks like a hook but is not marked"),
    "takes-a-wrong-argument": ("hooks", "hook 'penjing_before_step' has no argument 'stepp'"),
    "gives-a-default": ("hooks", "argument 'step' of hook 'penjing_before_step' has a default"),
    "takes-keywords-only": ("hooks", "argument 'run' of hook 'penjing_before_step' is keyword-only"),
    "wraps-the-others": ("hooks", "hook 'penjing_targets' is marked as a wrapper"),
    "is-async": ("hooks", "hook 'penjing_targets' is async, and penjing awaits nothing"),
    "names-a-class": ("hooks", "is a method of a class, and the entry point names the class"),
    "hides-what-it-holds": ("hooks", "what the plugin holds cannot be looked at: RuntimeError"),
    "raises-half-way": ("call penjing_targets", "ValueError: half-way"),
    "ends-the-process-in-a-hook": ("call penjing_targets", "SystemExit: 5"),
    "returns-no-list": ("call penjing_targets", "'int' object is not iterable"),
    "gives-one-and-no-list": ("call penjing_targets", "it gave one Target and no iterable of them: yield it"),
    "never-ends": ("call penjing_targets", "it gave more than 10,000 things: does it end?"),
    "gives-nothing-among-others": ("contribution", "hook 'penjing_targets' gave a NoneType instead of Target"),
    "has-a-number-for-a-summary": ("contribution", "the target 'numbered' has summary 3, which must be a text"),
    "gives-the-wrong-thing": ("contribution", "hook 'penjing_targets' gave a str instead of Target"),
    "has-no-name": ("contribution", "the name None, which must be a text"),
    "has-a-name-that-is-a-list": ("contribution", "the name ['a'], which must be a text"),
}
"""Those that the host finds: stage and reason."""
CONFLICTING = {"claims-a-name", "claims-the-same-name", "claims-a-name-twice", "claims-a-name-of-the-core"}
FOUND_BY_THE_KIT = {
    "is-heavy": ("check_declaring_module_is_light", '"h5py"'),
    "is-loud": ("check_declaring_module_is_quiet", "it prints: 'hello'"),
    "contributes-nothing": ("check_plugin_works_in_the_host", "none of its hooks contributes anything"),
    "says-nothing-of-itself": (
        "check_metadata_is_complete",
        "missing: description, license, the dependency on penjing",
    ),
    "fails-to-import": ("check_plugin_works_in_the_host", "stage import: RuntimeError: no such sensor"),
    "forgets-the-mark": ("check_hooks_are_well_formed", "'penjing_domains' looks like a hook but is not marked"),
}
"""Check and reason."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


def test_every_broken_plugin_is_tried_here_and_stands_in_its_readme() -> None:
    assert names() == {*BROKEN, *CONFLICTING, *FOUND_BY_THE_KIT}
    rows = re.findall(r"^\| `([a-z-]+)` \|", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(names())


@pytest.mark.parametrize("name", BROKEN)
def test_the_guilty_plugin_is_named_and_the_others_work_on(
    site, wheels: dict[str, Path], domain_code: Callable[[str], str], name: str
) -> None:
    stage, reason = BROKEN[name]
    unpack(wheels[name], site)
    site.add("penjing-healthy", domain_code("healthy"), entry_point="healthy")
    plugins = site.plugins()
    guilty = plugins[f"penjing-{name}"]
    assert (guilty["status"], guilty["version"], guilty["name"]) == ("broken", VERSION, name)
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
    assert f"plugin penjing-{name}: {VERSION}, broken at stage {stage}" in doctor.stdout
    assert "try:" in doctor.stdout
    assert "Traceback" not in doctor.stdout + doctor.stderr


@pytest.mark.parametrize("name", FOUND_BY_THE_KIT)
def test_the_kit_names_what_is_wrong_with_a_plugins_source(run_penjing, name: str) -> None:
    done = run_penjing("plugins", "check", FOLDER / name, "--stage", "plugin", "--json")
    assert done.returncode == 1, done.stderr
    failed = {check["check"]: check for check in json.loads(done.stdout)["checks"] if check["outcome"] == "failed"}
    check, reason = FOUND_BY_THE_KIT[name]
    assert reason in failed[check]["reason"] and failed[check]["remedy"]
    if name not in BROKEN:
        assert list(failed) == [check]


def test_using_a_broken_plugin_says_what_is_wrong_with_it(site) -> None:
    site.add("penjing-leaks", "raise RuntimeError('no such sensor')", entry_point="leaks", keywords="penjing-domain")
    done = site.run("leaks", "run")
    assert done.returncode == 2
    assert "penjing-leaks 1.2.3 (entry point 'leaks'), stage import" in done.stderr
    assert "no such sensor" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_plugins_with_one_name_both_lose_it_and_all_else_works(
    site, wheels: dict[str, Path], domain_code: Callable[[str], str]
) -> None:
    first, second = "penjing-claims-a-name", "penjing-claims-the-same-name"
    for name in (first, second):
        unpack(wheels[name.removeprefix("penjing-")], site)
    site.add("penjing-healthy", domain_code("healthy"), entry_point="healthy")
    plugins = site.plugins()
    for name, other in ((first, second), (second, first)):
        assert plugins[name]["status"] == "conflict"
        assert other in plugins[name]["problems"][0]["reason"]
    assert plugins["penjing-healthy"]["status"] == "ok"
    done = site.run("leaks", "run")
    assert done.returncode == 2
    assert f"{first} {VERSION}" in done.stderr and f"{second} {VERSION}" in done.stderr
    # With one of them disabled the name is free again.
    domains = json.loads(site.run("domains", "--json", env={"PENJING_DISABLE_PLUGINS": second}).stdout)
    assert "leaks" in [domain["name"] for domain in domains]


def test_the_cores_own_parts_win_over_a_plugin_that_takes_their_name(site, wheels: dict[str, Path]) -> None:
    unpack(wheels["claims-a-name-of-the-core"], site)
    plugins = site.plugins()
    assert plugins["penjing"]["status"] == "ok"
    assert "quantize" in plugins["penjing"]["contributes"]["techniques"]
    assert plugins["penjing-claims-a-name-of-the-core"]["status"] == "conflict"


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
        ("leaks", {'"A domain for tests."': "None"}, "has summary None, which must be a text"),
        (
            "leaks",
            {"recipes={}": "recipes={}, augment=print"},
            "has augment <built-in function print>, which must be a",
        ),
        (
            "leaks",
            {"recipes={}": "recipes={}, slices='label'"},
            "has slices of type str, which must be a tuple of texts",
        ),
        ("leaks", {"recipes={}": "recipes={}, slices=('label', 3)"}, "has 3 among its slices, which must be texts"),
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


def test_a_plugin_that_contributes_a_name_twice_is_told_so_once(site, wheels: dict[str, Path]) -> None:
    unpack(wheels["claims-a-name-twice"], site)
    plugin = site.plugins()["penjing-claims-a-name-twice"]
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
    for order in (("b", "a"), ("a", "b")):
        folder = site.folder / "".join(order)
        other = type(site)(folder)
        for name in order:
            other.add(f"penjing-{name}", domain_code(name))
            os.utime(folder / f"penjing_{name}")
        orders.append(list(other.plugins()))
    assert orders[0] == orders[1]
