"""Each check of a technique fails for one that is wrong in what it looks at; the command says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penjing.host import PluginHost
from penjing.scaffold import new_plugin
from penjing.testing import CheckResult, TechniqueUnderTest, checks_for
from penjing.testing.checks import run_check
from penjing.testing.source_tree import visible

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The technique of the template, importable as long as these tests run."""
    made = new_plugin("drop-weights", kind="technique", directory=tmp_path_factory.mktemp("drop") / "source")
    with visible(made.folder):
        yield made.folder


@pytest.fixture
def outcome(source: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], CheckResult]:
    """The result of one check of the technique as it is now."""

    def of(name: str) -> CheckResult:
        from penjing_drop_weights import plugin

        subject = TechniqueUnderTest("drop-weights", host=PluginHost.from_modules({"drop-weights": plugin}))
        # Every pair would take a minute; training is what breaks a promise that nobody holds.
        monkeypatch.setattr(subject, "successors", lambda: ["finetune"])
        (check,) = [check for check in checks_for(subject) if check.name == name]
        return run_check(check, subject)

    return of


def test_settings_that_take_anything_are_found(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    from penjing_drop_weights import settings
    from pydantic import BaseModel

    class Loose(BaseModel):
        threshold: float = 0.1

    assert outcome("check_settings_refuse_unknown_keys").outcome == "passed"
    monkeypatch.setattr(settings, "Settings", Loose)
    assert "taken without a word" in outcome("check_settings_refuse_unknown_keys").reason
    assert outcome("check_settings_explain_themselves").reason == "no description: threshold"


def test_a_search_space_beyond_the_settings_is_found(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    from penjing_drop_weights import technique

    check = "check_search_space_is_valid"
    assert outcome(check).outcome == "passed"
    monkeypatch.setattr(technique, "search_space", lambda: {"threshold": [0.1, 7.0]})
    assert "threshold = 7.0" in outcome(check).reason
    monkeypatch.setattr(technique, "search_space", lambda: {"treshold": [0.1]})
    assert "there is no setting 'treshold'" in outcome(check).reason


def test_an_import_string_that_leads_nowhere_is_found(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    from penjing_drop_weights import technique

    monkeypatch.delattr(technique, "explain")
    assert "explain: 'penjing_drop_weights.technique:explain' cannot be imported" in (
        outcome("check_import_strings_resolve").reason
    )


@slow
def test_an_explanation_that_does_it_already_is_found(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    from penjing_drop_weights import technique

    right = technique.explain

    def wrong(model: Any, settings: Any) -> Any:
        model.trainable_variables[0].assign(model.trainable_variables[0] * 0)
        return right(model, settings)

    assert outcome("check_explain_changes_nothing").outcome == "passed"
    monkeypatch.setattr(technique, "explain", wrong)
    assert outcome("check_explain_changes_nothing").reason == "the model has other weights afterwards"


@slow
def test_a_step_that_draws_from_elsewhere_is_found(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    from penjing_drop_weights import technique

    right = technique.apply

    def wrong(context: Any, settings: Any) -> Any:
        bias = next(v for v in context.model.trainable_variables if v.path.endswith("bias"))
        bias.assign(np.random.default_rng().normal(size=bias.shape))
        return right(context, settings)

    assert outcome("check_same_seed_gives_the_same_file").outcome == "passed"
    monkeypatch.setattr(technique, "apply", wrong)
    assert outcome("check_same_seed_gives_the_same_file").reason == "the two files differ"


@slow
def test_a_promise_that_nobody_holds_or_checks_is_found(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    from penjing_drop_weights.promise import ZeroWeights

    survive, notice = "check_promises_survive_every_legal_successor", "check_promises_notice_what_breaks_them"
    assert outcome(survive).outcome == outcome(notice).outcome == "passed"
    monkeypatch.setattr(ZeroWeights, "hold", lambda self, model: None)
    found = outcome(survive)
    assert found.outcome == "failed" and "drop-weights > finetune" in found.reason and found.remedy
    monkeypatch.undo()
    monkeypatch.setattr(ZeroWeights, "check_file", lambda self, content: [])
    assert "check_file finds nothing wrong with the file before the step" in outcome(notice).reason


def test_the_command_fails_with_a_remedy_and_refuses_what_is_not_there(run_penjing, tmp_path: Path) -> None:
    made = new_plugin("loud-lines", kind="observer", directory=tmp_path / "loud")
    plugin = made.folder / "src/penjing_loud_lines/plugin.py"
    plugin.write_text(plugin.read_text() + "\nprint('hello')\n")
    done = run_penjing("plugins", "check", made.folder, "--stage", "plugin")
    assert done.returncode == 1
    assert "check_declaring_module_is_quiet" in done.stdout and "try:   Whoever asks for `--json`" in done.stdout
    document = json.loads(run_penjing("plugins", "check", made.folder, "--stage", "plugin", "--json").stdout)
    assert not document["ok"]
    assert [check["check"] for check in document["checks"] if check["outcome"] == "failed"] == [
        "check_declaring_module_is_quiet"
    ]
    for arguments, said in (
        (("keyword-spoting",), "did you mean 'keyword-spotting'?"),
        ((made.folder, "--stage", "modl"), "did you mean 'model'?"),
    ):
        refused = run_penjing("plugins", "check", *arguments)
        assert refused.returncode == 2 and said in refused.stderr and "Traceback" not in refused.stderr
