"""A plugin declares its known failures with reasons in its own distribution; they are shown, and they are strict."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penjing.errors import UsageError
from penjing.scaffold import new_plugin
from penjing.testing import ExporterUnderTest, PluginUnderTest, check_subject, checks_for, parametrize_with_checks
from penjing.testing.checks import run_check
from penjing.testing.conformance import PLUGIN_CHECKS
from penjing.testing.known_failures import FILE, known_failures
from penjing.testing.source_tree import visible

QUIET = "check_declaring_module_is_quiet"
REASON = "it greets whoever imports it; until version 2"
DECLARED = f'[known-failures.penjing-step-lines]\n{QUIET} = "{REASON}"\n'

Plugin = Callable[..., Path]


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """Writes a plugin that observes: plugin(declared, prints=True) -> its folder."""

    def make(declared: str | bytes | None, *, prints: bool = True) -> Path:
        folder = new_plugin("step-lines", kind="observer", directory=tmp_path / "penjing-step-lines").folder
        package = folder / "src/penjing_step_lines"
        if prints:
            module = package / "plugin.py"
            module.write_text(module.read_text() + '\n\nprint("hello")\n')
        if declared is not None:
            (package / FILE).write_bytes(declared.encode() if isinstance(declared, str) else declared)
        return folder

    return make


@pytest.fixture
def subject(plugin: Plugin) -> Iterator[PluginUnderTest]:
    with visible(plugin(DECLARED)) as name:
        yield PluginUnderTest.named(name)


def test_a_known_failure_is_shown_with_its_reason_and_is_none_of_the_failed(run_penjing, plugin: Plugin) -> None:
    check = ("plugins", "check", plugin(DECLARED), "--stage", "plugin")
    done = run_penjing(*check)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"known   {QUIET}: {REASON}" in done.stdout
    assert "4 passed, 0 skipped, 1 known to fail, 0 failed" in done.stdout
    document = json.loads(run_penjing(*check, "--json").stdout)
    assert document["ok"]
    outcomes = {each["check"]: (each["outcome"], each["reason"]) for each in document["checks"]}
    assert outcomes.pop(QUIET) == ("expected failure", REASON)
    assert {outcome for outcome, _ in outcomes.values()} == {"passed"}


def test_one_that_holds_again_is_a_failure(run_penjing, plugin: Plugin) -> None:
    done = run_penjing("plugins", "check", plugin(DECLARED, prints=False), "--stage", "plugin")
    assert done.returncode == 1
    assert f"failed  {QUIET}" in done.stdout and "holds: take it off the list" in done.stdout
    assert "4 passed, 0 skipped, 1 failed" in done.stdout


def test_without_a_declaration_it_fails(run_penjing, plugin: Plugin) -> None:
    assert run_penjing("plugins", "check", plugin(None), "--stage", "plugin").returncode == 1


def test_the_declaration_comes_with_the_wheel(run_penjing, plugin: Plugin, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, plugin(DECLARED)]
    subprocess.run(list(map(str, build)), check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    done = run_penjing("plugins", "check", wheel, "--stage", "plugin")
    assert done.returncode == 0 and f"known   {QUIET}: {REASON}" in done.stdout


def test_the_tests_of_the_plugin_know_it_too(subject: PluginUnderTest) -> None:
    (parameters,) = parametrize_with_checks([subject]).args[1:]
    marks = {repr(each.values[1]): each.marks for each in parameters}
    (xfail,) = marks.pop(QUIET)
    assert xfail.name == "xfail" and xfail.kwargs == {"reason": REASON, "strict": True}
    assert not any(marks.values())
    results = {result.check: result.outcome for result in check_subject(subject)}
    assert results[QUIET] == "expected failure"


def test_what_a_caller_expects_is_added_and_has_the_last_word(subject: PluginUnderTest) -> None:
    checks = checks_for(subject)
    assert known_failures(subject, checks) == {QUIET: REASON}
    light = {"check_declaring_module_is_light": "for now"}
    assert known_failures(subject, checks, light) == {QUIET: REASON, **light}
    assert known_failures(subject, checks, {QUIET: "otherwise"}) == {QUIET: "otherwise"}


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (DECLARED.replace("is_quiet", "is_quite"), ["no check 'check_declaring_module_is_quite'", f"mean '{QUIET}'?"]),
        (DECLARED.replace(REASON, " "), [f"the known failure '{QUIET}' has no reason", "[known-failures.penjing-step"]),
        (DECLARED.replace("step-lines", "step-line"), ["contributes no 'penjing-step-line'", "'penjing-step-lines'?"]),
        (DECLARED.replace("known-failures", "known_failures"), ["something else than known failures"]),
        ("known-failures = 3\n", ["something else than known failures"]),
        ("[known-failures.penjing-step-lines]\ncheck_x = 3\n", ["something else than known failures"]),
        ("[known-failures\n", ["the file is no TOML"]),
        (b"\xff\xfe", ["the file is no text"]),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused_with_its_place(
    run_penjing, plugin: Plugin, declared: str | bytes, said: list[str]
) -> None:
    done = run_penjing("plugins", "check", plugin(declared), "--stage", "plugin")
    assert done.returncode == 2, done.stdout
    assert FILE in done.stderr and "Traceback" not in done.stderr
    for words in said:
        assert words in done.stderr


def test_a_contribution_that_is_not_there_has_none_and_its_first_check_says_so() -> None:
    subject = ExporterUnderTest("nobody-has-this")
    assert known_failures(subject, checks_for(subject)) == {}
    first, *others = (run_check(check, subject) for check in PLUGIN_CHECKS)
    assert first.outcome == "failed" and "there is no exporter 'nobody-has-this'" in first.reason
    assert {result.outcome for result in others} == {"skipped"}


def test_reasons_are_wanted_of_callers_as_well(subject: PluginUnderTest) -> None:
    with pytest.raises(UsageError, match="has no reason"):
        known_failures(subject, checks_for(subject), {QUIET: ""})
