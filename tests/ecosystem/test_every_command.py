"""Every command has an example that it would understand, --json where it prints data, and exit codes as documented."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from penjing.commands.main import VERBS, main

PRINTS_NO_DATA = {"penjing completion"}
DOMAIN = "keyword-spotting"


def walk(command: click.Command, name: str, ctx: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield name, command, ctx
    if isinstance(command, click.Group):
        for sub in command.list_commands(ctx):
            found = command.get_command(ctx, sub)
            assert found is not None, f"{name} {sub}"
            is_other_domain = command is main and sub not in VERBS and sub != DOMAIN
            if not is_other_domain:
                yield from walk(found, f"{name} {sub}", click.Context(found, info_name=sub, parent=ctx))


COMMANDS = {
    name: (command, ctx) for name, command, ctx in walk(main, "penjing", click.Context(main, info_name="penjing"))
}


def test_all_commands_are_walked() -> None:
    assert {f"penjing {verb}" for verb in VERBS} <= set(COMMANDS)
    assert {"penjing plugins install", "penjing datasets get", f"penjing {DOMAIN} predict"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_gives_an_example_that_it_understands(name: str) -> None:
    command, ctx = COMMANDS[name]
    assert command.help and command.help.strip()
    match = re.search(r"Example: (.+)", command.epilog or "")
    assert match, f"{name} has no example"
    assert "Example:" in command.get_help(ctx)
    example = re.sub(r'^eval "\$\((.*)\)"$', r"\1", match[1])
    words = shlex.split(example.split(" > ")[0])
    assert words[0] == "penjing"
    found: click.Command = main
    at = click.Context(main, info_name="penjing")
    arguments = words[1:]
    while isinstance(found, click.Group):
        inner = found.get_command(at, arguments.pop(0))
        assert inner is not None, example
        at, found = click.Context(inner, parent=at), inner
    # Parsed as it would be, but nothing is called, and files need not be there.
    for parameter in found.params:
        if isinstance(parameter.type, click.Path):
            parameter.type.exists = False
    found.make_context(words[-1], arguments, parent=at.parent)


@pytest.mark.parametrize(
    "name", [name for name, (command, _) in COMMANDS.items() if not isinstance(command, click.Group)]
)
def test_what_prints_data_prints_it_as_json_too(name: str) -> None:
    command, _ = COMMANDS[name]
    flags = {option for parameter in command.params for option in parameter.opts}
    assert ("--json" in flags) == (name not in PRINTS_NO_DATA)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    command, _ = COMMANDS[name]
    silent = [p.opts[0] for p in command.params if isinstance(p, click.Option) and not p.help]
    assert not silent


def test_the_exit_codes_are_as_help_says(run_penjing, tmp_path: Path) -> None:
    text = " ".join(run_penjing("--help").stdout.split())
    assert "Exit codes: 0 done; 1 a limit or check failed; 2 a mistake in the command, its input or a plugin" in text
    assert "70 an unexpected error; 130 interrupted" in text
    assert run_penjing("domains").returncode == 0
    assert run_penjing("doctor", env={"PENJING_CACHE": "/dev/null/cache"}).returncode == 1
    assert run_penjing("inspect", "none.tflite").returncode == 2
    assert run_penjing("--nothing").returncode == 2


def test_a_reader_who_has_gone_is_no_failed_check(run_penjing) -> None:
    assert "141 nobody reads the output any more" in " ".join(run_penjing("--help").stdout.split())
    for arguments in (["domains"], ["domains", "--json"], ["plugins", "freeze"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "penjing", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(writing)
        assert done.returncode == 141 and done.stderr == "", arguments


def test_the_commands_of_a_domain_show_examples_of_that_domain(run_penjing) -> None:
    for verb in ("run", "data", "train", "compress", "evaluate", "predict", "report"):
        shown = run_penjing("fraud-detection", verb, "--help").stdout
        assert f"Example: penjing fraud-detection {verb}" in " ".join(shown.split())
        assert "keyword-spotting" not in shown and "DOMAIN" not in shown.split("Example:")[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_of_its_own(run_penjing, shell: str) -> None:
    done = run_penjing("completion", shell)
    assert done.returncode == 0
    assert f"_PENJING_COMPLETE={shell}_complete" in done.stdout
    done = run_penjing("completion", "csh")
    assert done.returncode == 2 and "'bash', 'zsh', 'fish'" in done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_script_is_one_for_its_shell(run_penjing, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    file = tmp_path / "completion"
    file.write_text(run_penjing("completion", shell).stdout)
    subprocess.run([shell, "-n", str(file)], check=True)


@pytest.mark.parametrize(
    ("shell", "asked", "answer"),
    [
        ("zsh", {"COMP_WORDS": "penjing plugins ins", "COMP_CWORD": "2"}, "plain\ninstall\nInstall plugins"),
        ("zsh", {"COMP_WORDS": "penjing plugins new --kind ob", "COMP_CWORD": "4"}, "plain\nobserver\n"),
        ("fish", {"COMP_WORDS": "penjing plugins ", "COMP_CWORD": "ins"}, "plain,install\tInstall plugins"),
        ("fish", {"COMP_WORDS": "penjing keyword-spotting run ", "COMP_CWORD": "--rec"}, "plain,--recipe\tA recipe"),
    ],
)
def test_zsh_and_fish_are_answered_in_the_form_that_their_script_reads(
    run_penjing, shell: str, asked: dict[str, str], answer: str
) -> None:
    done = run_penjing(env={"_PENJING_COMPLETE": f"{shell}_complete", **asked})
    assert done.stdout.startswith(answer), done.stdout + done.stderr


def test_bash_completes_new_verbs_and_their_options() -> None:
    scripts = Path(sys.executable).parent
    for words, number, expected in (
        ("penjing plugins ins", 2, "install"),
        ("penjing plugins new --ki", 3, "--kind"),
        ("penjing plugins new --kind ob", 4, "observer"),
        ("penjing conf", 1, "config"),
    ):
        script = f"""
            export PATH={scripts}:$PATH
            eval "$(penjing completion bash)"
            COMP_WORDS=({words}); COMP_CWORD={number}
            _penjing_completion penjing
            echo "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert expected in done.stdout.split(), (words, done.stdout, done.stderr)
