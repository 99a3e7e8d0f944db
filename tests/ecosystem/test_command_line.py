"""Help imports nothing, mistakes meet their nearest name, every answer has its exit code, JSON is one document."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
