"""What goes with the next version of the contract warns for one release, names the plugin, and works as long."""

from __future__ import annotations

import inspect
import json
import warnings
from typing import Any

import pytest

from penjing import contract, hookimpl
from penjing.host import PluginHost, deprecations
from penjing.host.loading import HOOKS


class Writer:
    @hookimpl
    def penjing_exporters(self):
        yield contract.Exporter(name="zip", summary="One zip file.", export="nowhere:write")


class Watcher:
    @hookimpl(specname="penjing_before_step")
    def seen(self, run, step):
        return None


class Seller:
    @hookimpl
    def penjing_domains(self):
        yield contract.Domain(
            name="leaks",
            summary="Leaks.",
            task="binary",
            load_data="nowhere:load",
            build_model="nowhere:build",
            metrics=(contract.Metric(name="auc", function="nowhere:auc", direction="higher", primary=True),),
            recipes={},
            intended_use="to find leaks",
        )


@pytest.mark.parametrize(
    ("table", "key", "plugin", "said"),
    [
        ("HOOKS", "penjing_exporters", Writer(), "the hook 'penjing_exporters' goes"),
        (
            "ARGUMENTS",
            ("penjing_before_step", "step"),
            Watcher(),
            "the argument 'step' of the hook 'penjing_before_step' goes",
        ),
        ("FIELDS", ("Domain", "intended_use"), Seller(), "the field 'intended_use' of Domain 'leaks' goes"),
    ],
)
def test_what_is_to_go_warns_with_the_plugins_name_and_works(
    monkeypatch: pytest.MonkeyPatch, table: str, key: Any, plugin: object, said: str
) -> None:
    monkeypatch.setitem(getattr(deprecations, table), key, "write the other thing")
    with pytest.warns(DeprecationWarning) as caught:
        host = PluginHost.from_modules({"old": plugin, "new": object()})
    sentence = f"{said} with version {contract.CONTRACT_VERSION + 1} of the contract: write the other thing"
    assert [str(each.message) for each in caught] == [f"plugin test-old 0 (entry point 'old'): {sentence}"]
    status = {each.source.entry_point: each for each in host.plugins}
    assert status["old"].deprecations == (sentence,) and status["old"].status == "ok"
    assert status["old"].contributes and status["new"].deprecations == ()


def test_a_field_that_has_its_default_is_not_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data_license", "slices", "budget"):
        monkeypatch.setitem(deprecations.FIELDS, ("Domain", name), "leave it out")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        assert "leaks" in PluginHost.from_modules({"leaks": Seller()}).domains


def test_the_commands_say_it_and_only_tests_are_warned(site) -> None:
    """An author's other users are not disturbed: Python hides the warning from them."""
    site.add(
        "penjing-old", inspect.getsource(Writer).replace("class Writer:", IMPORTS + "if True:").replace("self", "")
    )
    command = "from penjing.host import deprecations\nfrom penjing.commands.main import main\n"
    command += "deprecations.HOOKS['penjing_exporters'] = 'write the other thing'\nmain({!r})"
    sentence = "the hook 'penjing_exporters' goes with version 2 of the contract: write the other thing"
    for arguments, said in (
        (["plugins", "list"], f"penjing-old 1.2.3 (entry point 'penjing-old'): {sentence}"),
        (["plugins", "info", "penjing-old"], f"  deprecated: {sentence}"),
        (["plugins", "check", "penjing-old", "--stage", "plugin"], f"deprecated: {sentence}"),
    ):
        done = site.python(command.format(arguments))
        assert said in done.stdout.splitlines(), done.stdout + done.stderr
        assert "DeprecationWarning" not in done.stderr
    listed = json.loads(site.python(command.format(["plugins", "list", "--json"])).stdout)
    found = {plugin["distribution"]: plugin["deprecations"] for plugin in listed}
    assert found["penjing-old"] == [sentence] and found["penjing-fraud-detection"] == []
    shown = site.python(command.format(["plugins", "list", "--json"]), env={"PYTHONWARNINGS": "default"})
    assert "DeprecationWarning: plugin penjing-old 1.2.3" in shown.stderr


IMPORTS = "from penjing import contract, hookimpl\n\n"


def test_what_is_said_to_go_is_there_still() -> None:
    """An entry that outlives its release would warn of nothing."""
    assert set(deprecations.HOOKS) <= set(HOOKS)
    assert all(argument in inspect.signature(HOOKS[hook]).parameters for hook, argument in deprecations.ARGUMENTS)
    assert all(name in vars(contract)[kind].__dataclass_fields__ for kind, name in deprecations.FIELDS)
