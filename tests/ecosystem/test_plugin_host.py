"""The host by itself: every hook is called apart, what fails is named, and import strings are followed only on use."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from penjing import Recipe, hookimpl
from penjing.contract import (
    Evaluation,
    OutcomeInfo,
    ReportSection,
    RunInfo,
    Split,
    Splits,
    StepInfo,
    Target,
    Technique,
)
from penjing.errors import PluginError, UsageError
from penjing.host import PluginHost, PluginSource

RUN = RunInfo(domain="leaks", folder=Path("runs/leaks"), seed=0, recipe="default", steps=("quantize",), data_source="")
STEP = StepInfo(number=1, technique="quantize", settings={}, plugin="penjing 0")
OUTCOME = OutcomeInfo(summary="", metric="auc", value=0.5, flash_bytes=1, seconds=0.0, resumed=False)
SOURCE = PluginSource(distribution="penjing-leaks", version="1.2.3", entry_point="leaks")


class Watcher:
    """An observer that keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    @hookimpl
    def penjing_before_step(self, step: StepInfo) -> None:
        self.seen.append(step)

    @hookimpl
    def penjing_after_step(self, outcome: OutcomeInfo, run: RunInfo) -> None:
        self.seen.append((run, outcome))


class Wrecker:
    """An observer that fails in every way."""

    @hookimpl
    def penjing_before_step(self, run: RunInfo) -> None:
        raise RuntimeError("no disk")

    @hookimpl
    def penjing_after_step(self) -> None:
        raise SystemExit(3)

    @hookimpl
    def penjing_report_sections(self):
        yield ReportSection(title="half", html="")
        raise RuntimeError("no ink")


def test_an_observer_that_fails_is_logged_with_its_name_and_stops_neither_run_nor_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = Watcher()
    host = PluginHost.from_modules({"a-wrecker": Wrecker(), "watcher": watcher})
    with caplog.at_level(logging.WARNING, logger="penjing"):
        host.notify("penjing_before_step", run=RUN, step=STEP)
        host.notify("penjing_after_step", run=RUN, step=STEP, outcome=OUTCOME)
    assert watcher.seen == [STEP, (RUN, OUTCOME)]
    first, second = (record.getMessage() for record in caplog.records)
    assert "test-a-wrecker 0 (entry point 'a-wrecker'), stage call penjing_before_step: RuntimeError: no disk" in first
    assert "stage call penjing_after_step: SystemExit: 3" in second
    statuses = {status.source.entry_point: status for status in host.plugins}
    assert statuses["a-wrecker"].status == "broken"
    assert statuses["watcher"].status == "ok"
    assert statuses["watcher"].contributes == {"observers": ("penjing_before_step", "penjing_after_step")}


def test_the_same_failure_is_kept_once_however_often_it_happens() -> None:
    host = PluginHost.from_modules({"wrecker": Wrecker()})
    for _ in range(3):
        host.notify("penjing_before_step", run=RUN, step=STEP)
    assert len(host.problems) == 1


def test_of_report_sections_a_failing_hook_gives_none_and_the_others_give_theirs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Writer:
        @hookimpl
        def penjing_report_sections(self, run: RunInfo, evaluation: Evaluation):
            yield ReportSection(title=f"{run.domain} {sorted(evaluation.outputs)}", html="<p></p>")

    class Scribbler:
        @hookimpl
        def penjing_report_sections(self, run: RunInfo):
            yield ReportSection(title="five", html=5)  # type: ignore[arg-type]

    host = PluginHost.from_modules({"wrecker": Wrecker(), "writer": Writer(), "scribbler": Scribbler()})
    empty = Split(x=(), y=(), ids=())
    evaluation = Evaluation(
        splits=Splits(train=empty, validation=empty, test=empty, source="", sha256=""),
        outputs={"compressed": (), "reference": ()},
        predict={},
        reference=None,
        content=b"",
    )
    sections = host.report_sections(RUN, evaluation)
    found = [(s.value.title, s.source.entry_point) for s in sections]
    assert found == [("leaks ['compressed', 'reference']", "writer")]
    assert "no ink" in caplog.text and "test-wrecker" in caplog.text
    assert "test-scribbler 0" in caplog.text and "a section of the report has html 5" in caplog.text


def _decider(answer: object) -> object:
    class Decider:
        @hookimpl
        def penjing_default_recipe(self, domain: object, budget: object) -> object:
            return answer

    return Decider()


def test_the_first_plugin_with_a_default_recipe_decides_and_is_named() -> None:
    recipe = Recipe.from_toml('name = "tiny"\n[[steps]]\ntechnique = "quantize"\n')
    other = Recipe.from_toml('name = "other"\n[[steps]]\ntechnique = "quantize"\n')
    plugins = {"a-nothing": _decider(None), "b-text": _decider("tiny"), "c-tiny": _decider(recipe)}
    host = PluginHost.from_modules({**plugins, "d-other": _decider(other)})
    decided = host.default_recipe(SimpleNamespace(name="leaks"), {})  # type: ignore[arg-type]
    assert decided is not None
    assert decided[0] is recipe
    assert decided[1].entry_point == "c-tiny"
    (problem,) = host.problems
    assert problem.source.entry_point == "b-text"
    assert "gave a str instead of Recipe" in problem.reason


def test_nobody_with_a_default_recipe_leaves_the_decision_to_the_domain() -> None:
    assert PluginHost.from_modules({"nothing": _decider(None)}).default_recipe(SimpleNamespace(), {}) is None  # type: ignore[arg-type]


def test_contributions_carry_their_source_and_unknown_names_meet_the_nearest() -> None:
    class Ternary:
        @hookimpl
        def penjing_techniques(self):
            yield Technique(name="ternarize", summary="", settings="a:b", apply="a:c")

    host = PluginHost.from_modules({"ternary": Ternary()})
    assert host.technique("ternarize").source.entry_point == "ternary"
    assert host.technique("quantize").source.is_core
    with pytest.raises(UsageError, match="did you mean 'ternarize'"):
        host.technique("ternarise")


def test_two_claimants_of_a_technique_are_both_named_when_it_is_used() -> None:
    class Claimant:
        @hookimpl
        def penjing_targets(self):
            yield Target(name="board", summary="", flash_bytes=1, ram_bytes=1)

        @hookimpl
        def penjing_techniques(self):
            yield Technique(name="ternarize", summary="", settings="a:b", apply="a:c")

    host = PluginHost.from_modules({"one": Claimant(), "two": Claimant()})
    assert "ternarize" not in host.techniques and "board" not in host.targets
    with pytest.raises(PluginError) as error:
        host.technique("ternarize")
    assert "test-one" in str(error.value.where) and "test-two" in str(error.value.where)
    assert "PENJING_DISABLE_PLUGINS=" in str(error.value.hint)


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        ("json", "an import string is 'package.module:function'", "pip install --upgrade penjing-leaks"),
        ("json:", "an import string is 'package.module:function'", "pip install --upgrade penjing-leaks"),
        ("json:dump_s", "has no attribute 'dump_s'", "did you mean 'json:dumps'?"),
        ("not_there_at_all.data:load", "No module named 'not_there_at_all'", "reinstall penjing-leaks"),
        (None, "an import string is 'package.module:function'", "pip install --upgrade penjing-leaks"),
    ],
)
def test_an_import_string_that_leads_nowhere_names_the_plugin_and_the_next_step(text: str, why: str, hint: str) -> None:
    with pytest.raises(PluginError) as error:
        PluginHost.from_modules({}).resolve(text, SOURCE)
    assert error.value.where == "penjing-leaks 1.2.3 (entry point 'leaks')"
    assert why in str(error.value.why)
    assert error.value.hint == hint


def test_code_that_ends_the_process_or_misses_a_package_when_imported_is_the_plugins_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaks_that_exit.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "leaks_that_need.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    host = PluginHost.from_modules({})
    with pytest.raises(PluginError, match="SystemExit: 3"):
        host.resolve("leaks_that_exit:load", SOURCE)
    with pytest.raises(PluginError, match="or the package 'a_package_that_is_not_there'"):
        host.resolve("leaks_that_need:load", SOURCE)


def test_an_import_string_may_lead_into_a_class() -> None:
    assert PluginHost.from_modules({}).resolve("pathlib:Path.home", SOURCE) == Path.home
