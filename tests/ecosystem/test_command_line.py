"""Help imports nothing, mistakes meet their nearest name, every answer has its exit code, JSON is one document."""

from __future__ import annotations

import ast
import inspect
import json
import os
import py_compile
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penjing.health import bytecode_state, requirements, unmet_requirements
from penjing.host.loading import HOOKS


def test_help_lists_domains_and_imports_neither_plugins_nor_tensorflow(site) -> None:
    site.add("penjing-greedy", "import tensorflow\n", entry_point="greedy", keywords="penjing-domain, test")
    done = site.python(
        """
        import sys
        from penjing.commands.main import main
        try:
            main(["--help"])
        except SystemExit as end:
            assert end.code == 0
        loaded = {name.split(".")[0] for name in sys.modules}
        print(sorted(loaded & {"tensorflow", "keras", "penjing_greedy", "penjing_keyword_spotting", "numpy",
                               "pydantic", "rich", "ai_edge_litert"}), file=sys.stderr)
        """
    )
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert "greedy" in done.stdout and "The plugin penjing-greedy." in done.stdout
    assert "keyword-spotting" in done.stdout


def test_a_domains_help_does_not_import_it(site) -> None:
    site.add("penjing-greedy", "raise RuntimeError('imported')", entry_point="greedy", keywords="penjing-domain")
    for arguments in (("greedy", "--help"), ("greedy", "run", "--help")):
        done = site.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert "imported" not in done.stderr


def test_a_domain_without_the_keyword_works_when_it_is_named(site, domain_code: Callable[[str], str]) -> None:
    site.add("penjing-shy", domain_code("shy"), entry_point="anything")
    done = site.run("shy", "run")
    assert done.returncode == 2
    assert "no recipe 'default'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("keyword-spoting", "run"), "did you mean 'keyword-spotting'?"),
        (("doctr",), "did you mean 'doctor'?"),
        (("keyword-spotting", "rnu"), "did you mean 'run'?"),
        (("keyword-spotting", "run", "--recip", "x"), "--recipe"),
        (("keyword-spotting", "run", "--recipe", "smalest"), "did you mean 'smallest'?"),
        (("keyword-spotting", "run", "--budget", "flsh=1"), "did you mean 'flash'?"),
        (("keyword-spotting", "run", "--set", "refrence.epochs=1"), "did you mean 'reference'?"),
        (("plugins", "info", "keyword-spoting"), "did you mean 'keyword-spotting'?"),
    ],
)
def test_a_mistyped_word_meets_its_nearest(run_penjing, arguments: tuple[str, ...], nearest: str) -> None:
    done = run_penjing(*arguments)
    assert done.returncode == 2
    assert nearest in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_under_json_is_one_document(run_penjing) -> None:
    for arguments in (("nothing", "--json"), ("inspect", "none.tflite", "--json")):
        done = run_penjing(*arguments)
        assert done.returncode == 2
        assert set(json.loads(done.stdout)["error"]) == {"kind", "what", "where", "why", "hint"}


def test_doctor_is_one_document_and_says_whether_all_is_well(run_penjing, tmp_path: Path) -> None:
    done = run_penjing("doctor", "--json")
    document = json.loads(done.stdout)
    assert document["healthy"] == (done.returncode == 0)
    names = {check["name"] for check in document["checks"]}
    assert {"penjing", "python", "cache", "compress", "microcontroller", "bytecode"} <= names
    (tmp_path / "file").write_text("in the way")
    done = run_penjing("doctor", "--json", env={"PENJING_CACHE": str(tmp_path / "file" / "cache")})
    assert done.returncode == 1
    (cache,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "cache"]
    assert not cache["ok"] and "PENJING_CACHE" in cache["remedy"]


def test_doctor_names_a_remedy_for_each_fault(run_penjing, tmp_path: Path) -> None:
    (tmp_path / "penjing.toml").write_text("sede = 1\n")
    done = run_penjing("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["configuration"]["message"] == "unknown setting 'sede'"
    assert "did you mean 'seed'?" in checks["configuration"]["remedy"]
    assert f"{tmp_path / 'penjing.toml'}, line 1" in checks["configuration"]["remedy"]
    assert checks["installer"]["message"] in ("pip", "uv")
    assert all(check["remedy"] for check in checks.values() if not check["ok"])


def test_doctor_looks_at_what_the_configuration_asks_for(site, domain_code: Callable[[str], str]) -> None:
    site.add("penjing-leaks", domain_code("leaks"), entry_point="leaks")
    (site.folder / "penjing.toml").write_text('cache = "kept"\ndisable_plugins = ["leaks"]\n')
    env = {"PENJING_CONFIG": str(site.folder / "none.toml"), "PENJING_CACHE": ""}
    checks = {check["name"]: check for check in json.loads(site.run("doctor", "--json", env=env).stdout)["checks"]}
    assert checks["cache"]["message"] == str(site.folder / "kept")
    assert checks["plugin penjing-leaks"]["message"] == "1.2.3, disabled"


def test_doctor_finds_what_is_too_old_or_missing_for_penjing_its_extra_or_a_plugin(site) -> None:
    site.add("penjing-quiet", "", requires=("nowhere-to-be-found>=2", "numpy>=99", "packaging; extra == 'more'"))
    for name, version in (("pluggy", "1.0"), ("keras", "2.15.0")):
        info = site.folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    done = site.run("doctor", "--json")
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["packages"]["message"] == "needs pluggy>=1.6 (1.0 is installed)"
    assert checks["packages"]["remedy"] == "pip install --upgrade 'pluggy>=1.6'"
    assert checks["compress"]["message"] == "needs keras>=3.13 (2.15.0 is installed)"
    assert "pip install --upgrade 'penjing[compress]'" in checks["compress"]["remedy"]
    plugin = checks["plugin penjing-quiet"]
    assert plugin["message"].startswith("1.2.3 needs nowhere-to-be-found>=2 (missing), numpy>=99 (")
    assert plugin["remedy"] == "pip install 'nowhere-to-be-found>=2' 'numpy>=99'" and not plugin["ok"]


def test_what_another_system_or_an_extra_needs_is_not_missed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "elsewhere-1.0.dist-info"
    info.mkdir()
    wanted = ("click>=8", 'nowhere; sys_platform == "none"', 'beyond; extra == "more"', "no requirement at all")
    lines = ["Metadata-Version: 2.1", "Name: elsewhere", "Version: 1.0", "Provides-Extra: more"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {text}" for text in wanted), ""]))
    monkeypatch.syspath_prepend(tmp_path)
    assert [requirement.name for requirement in requirements("elsewhere")] == ["click"]
    assert [requirement.name for requirement in requirements("elsewhere", "more")] == ["beyond"]
    assert unmet_requirements("elsewhere") == {} and unmet_requirements("elsewhere", "more") == {"beyond": "missing"}


def test_bytecode_that_is_missing_old_or_of_another_python_is_told_apart(tmp_path: Path) -> None:
    source = tmp_path / "slow.py"
    source.write_text("x = 1\n")
    assert bytecode_state(source) == "not compiled"
    compiled = Path(py_compile.compile(str(source)))
    assert bytecode_state(source) == "compiled"
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    assert bytecode_state(source) == "compiled"
    py_compile.compile(str(source))
    source.write_text("x = 1234567\n")
    assert bytecode_state(source) == "older than its source"
    py_compile.compile(str(source))
    compiled.write_bytes(b"old!" + compiled.read_bytes()[4:])
    assert bytecode_state(source) == "older than its source"
    assert bytecode_state(tmp_path / "gone.py") == "compiled"


def test_bash_completes_commands_domains_and_options() -> None:
    scripts = Path(sys.executable).parent
    script = f"""
        export PATH={scripts}:$PATH
        eval "$(penjing completion bash)"
        COMP_WORDS=({{words}}); COMP_CWORD={{number}}
        _penjing_completion penjing
        echo "${{{{COMPREPLY[@]}}}}"
    """
    for words, number, expected in (
        ("penjing keyw", 1, "keyword-spotting"),
        ("penjing doc", 1, "doctor"),
        ("penjing keyword-spotting ru", 2, "run"),
        ("penjing keyword-spotting run --rec", 3, "--recipe"),
    ):
        done = subprocess.run(
            ["bash", "-c", script.format(words=words, number=number)], capture_output=True, text=True, check=True
        )
        assert expected in done.stdout.split(), (words, done.stdout, done.stderr)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_an_example_that_is_valid_python_and_uses_its_arguments(hook: str) -> None:
    text = inspect.getdoc(HOOKS[hook]) or ""
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    functions = [node for node in ast.walk(ast.parse(inspect.cleandoc(example))) if isinstance(node, ast.FunctionDef)]
    (function,) = [function for function in functions if function.name == hook]
    arguments = [argument.arg for argument in function.args.args]
    assert set(arguments) <= set(inspect.signature(HOOKS[hook]).parameters)


def test_the_command_and_the_module_are_the_same(run_penjing) -> None:
    command = subprocess.run(
        [Path(sys.executable).parent / "penjing", "--version"], capture_output=True, text=True, check=True
    )
    assert command.stdout == run_penjing("--version").stdout


LOUD = """
import os, sys
print("a plugin prints")
from penjing import hookimpl
from penjing.contract import HealthCheck

@hookimpl
def penjing_health_checks():
    print("a hook prints")
    yield HealthCheck(name="silent", check="penjing_loud.plugin:silent")
    yield HealthCheck(name="leaving", check="penjing_loud.plugin:leaving")
    yield HealthCheck(name="missing", check="penjing_loud.plugin:mising")
    yield HealthCheck(name="loud", check="penjing_loud.plugin:loud")

def silent():
    pass

def leaving():
    sys.exit(4)

def missing():
    pass

def loud():
    print("a check prints")
    from penjing.contract import HealthResult
    return HealthResult(ok=True, message="said")
"""


def test_stdout_is_one_document_even_when_plugins_print_and_their_checks_fail(site) -> None:
    site.add("penjing-loud", LOUD)
    done = site.run("doctor", "--json")
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for said in ("a plugin prints", "a hook prints", "a check prints"):
        assert said in done.stderr
    assert checks["loud"]["ok"] and checks["loud"]["message"] == "said"
    for name, reason in (
        ("silent", "gave a NoneType instead of HealthResult"),
        ("leaving", "SystemExit: 4"),
        ("missing", "has no attribute 'mising'"),
    ):
        assert not checks[name]["ok"]
        assert reason in checks[name]["message"] and "penjing-loud 1.2.3" in checks[name]["message"]
        assert checks[name]["remedy"]


FAULTY_PREDICTION = """
import numpy as np

def plain(request):
    yield {"word": "yes", "probability": np.float32(0.5)}
    yield {"word": "no", "probability": float("nan"), "note": np.arange(2)}

def failing(request):
    yield {"word": "yes"}
    raise ZeroDivisionError("no samples")

def rowless(request):
    return ["yes"]
"""


@pytest.fixture
def leaks(site, toy_data: Path, toy_model: Path, domain_code: Callable[[str], str]) -> Callable[..., Any]:
    """Predict with a finished bundle of the domain 'leaks' by the named function."""
    folder = site.folder / "runs/leaks/default"
    folder.parent.mkdir(parents=True)
    made = site.run("compress", str(toy_model), "--data", str(toy_data), "--output", str(folder), "--quiet")
    assert made.returncode == 0, made.stderr
    manifest = folder / "bundle/bundle.json"
    text = manifest.read_text()
    assert '"domain": "model"' in text
    manifest.write_text(text.replace('"domain": "model"', '"domain": "leaks"'))

    def predict(function: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        if not (site.folder / "penjing_leaks").exists():
            site.add("penjing-leaks", "", extra_files={"predict.py": FAULTY_PREDICTION})
        options = f"recipes={{}}, predict='penjing_leaks.predict:{function}', "
        options += "predict_options=(PredictOption(flag='--name', help='', kind='text', default='x'),),"
        code = domain_code("leaks").replace("Domain, Metric", "Domain, Metric, PredictOption")
        # Bytecode is known by size and second of its source, and these sources are of one size.
        shutil.rmtree(site.folder / "penjing_leaks/__pycache__", ignore_errors=True)
        (site.folder / "penjing_leaks/plugin.py").write_text(code.replace("recipes={},", options))
        return site.run("leaks", "predict", "a.wav", *arguments)

    return predict


def test_rows_of_a_prediction_are_json_values_and_a_failing_one_names_the_plugin(leaks: Callable[..., Any]) -> None:
    done = leaks("plain", "--json", "--name", "y")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["predictions"]
    assert first == {"word": "yes", "probability": 0.5}
    assert second == {"word": "no", "probability": None, "note": [0, 1]}
    table = leaks("plain")
    assert "note" in table.stdout and "[0 1]" in table.stdout
    for function, reason in (
        ("failing", "ZeroDivisionError: no samples"),
        ("rowless", "gave a str instead of a row"),
        ("not_there", "has no attribute 'not_there'"),
    ):
        done = leaks(function, "--json")
        assert done.returncode == 2
        error = json.loads(done.stdout)["error"]
        assert reason in error["what"] + str(error["why"])
        assert "penjing-leaks 1.2.3 (entry point 'penjing-leaks')" in error["where"]
        assert "Traceback" not in done.stderr
        assert error["hint"]


UNEXPECTED = """
import sys
import penjing.commands.domains
def broken(ctx):
    raise ZeroDivisionError("a mistake of ours")
penjing.commands.domains.load_host = broken
from penjing.commands.main import main
main(sys.argv[1:])
"""


def _unexpected(site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", UNEXPECTED, *arguments], capture_output=True, text=True, cwd=site.folder, check=False
    )


def test_a_mistake_of_ours_is_one_honest_line_with_the_traceback_in_a_file(site) -> None:
    site.folder.mkdir()
    done = _unexpected(site, "domains", "--json")
    assert done.returncode == 70
    error = json.loads(done.stdout)["error"]
    assert "a mistake in penjing or a plugin: ZeroDivisionError: a mistake of ours" in error["what"]
    assert "Traceback" not in done.stderr
    log = Path(error["where"].removeprefix("the traceback is in "))
    assert "ZeroDivisionError: a mistake of ours" in log.read_text()
    log.unlink()
    shown = _unexpected(site, "--debug", "domains")
    assert shown.returncode == 70
    assert "Traceback (most recent call last)" in shown.stderr


SLOW_DOMAIN = """
import pathlib, time
def load(request):
    pathlib.Path("loading").write_text("")
    time.sleep(60)
"""

RECIPE = 'name = "default"\n[[steps]]\ntechnique = "quantize"\n'


@pytest.mark.parametrize("arguments", [("leaks", "run", "--quiet"), ("leaks", "run", "--quiet", "--json")])
def test_an_interrupt_exits_with_130_and_says_how_to_go_on(
    site, domain_code: Callable[[str], str], arguments: tuple[str, ...]
) -> None:
    code = domain_code("leaks").replace("nowhere:load", "penjing_leaks.data:load")
    code = code.replace("recipes={}", "recipes={'default': 'penjing_leaks:default.toml'}")
    site.add("penjing-leaks", code, extra_files={"data.py": SLOW_DOMAIN, "default.toml": RECIPE})
    process = subprocess.Popen(
        [sys.executable, "-m", "penjing", *arguments],
        cwd=site.folder,
        env={**os.environ, "PYTHONPATH": str(site.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that a shell runs in the background has interrupts ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while process.poll() is None and not (site.folder / "loading").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr and "--resume" in stderr
    assert "Traceback" not in stderr
    if "--json" in arguments:
        assert json.loads(stdout)["error"]["what"] == "interrupted"


def test_no_plugins_says_why_a_domain_is_not_there(run_penjing) -> None:
    done = run_penjing("--no-plugins", "keyword-spotting", "run")
    assert done.returncode == 2
    assert "--no-plugins leaves only penjing's own commands" in done.stderr


def test_completion_is_not_disturbed_by_broken_or_printing_plugins(site) -> None:
    site.add("penjing-broken", "print('noise')\nraise RuntimeError", entry_point="broken", keywords="penjing-domain")
    site.add("penjing-loud", LOUD)
    for words, number, expected in (("penjing bro", 1, "broken"), ("penjing broken ", 2, "evaluate")):
        done = site.run(env={"_PENJING_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)})
        names = [line.partition(",")[2] for line in done.stdout.splitlines()]
        assert expected in names
        assert not {"noise", "a plugin prints"} & set(done.stdout.splitlines())
        assert "WARNING" not in done.stderr and "error" not in done.stderr
