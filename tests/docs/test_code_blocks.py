"""What the pages show as code is code: Python runs, recipes explain themselves, commands have these options."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from penjing.commands.domain import DomainGroup
from penjing.commands.main import VERBS, main
from penjing.compression.plan import plan_steps, reference_training
from penjing.contract import Domain
from penjing.host import Contribution, PluginHost, PluginSource
from penjing.recipe import Recipe
from written_pages import CHECKOUT, PAGES, READMES, Block, blocks

# A block with a title is a file of the plugin that the tutorial writes; test_tutorial.py puts those together.
WITH_PYTHON = sorted({block.page for block in blocks("python") if not block.title})
HOOKS_PAGE = CHECKOUT / "docs/reference/hooks.md"


@pytest.mark.parametrize(
    "page", [page for page in WITH_PYTHON if page != HOOKS_PAGE], ids=lambda page: str(page.relative_to(CHECKOUT))
)
def test_a_pages_python_runs_from_its_first_block_to_its_last(page: Path, workplace: Path) -> None:
    import penjing

    for recipe in blocks("toml", [page]):
        if match := re.match(r'name = "([a-z0-9-]+)"', recipe.text):
            (workplace / f"{match[1]}.toml").write_text(recipe.text)
    names: dict[str, Any] = {"penjing": penjing, "x": np.load("data.npz")["x"], "__name__": "__main__"}
    for block in (block for block in blocks("python", [page]) if not block.title):
        exec(compile("\n" * block.line + block.text, str(page), "exec"), names)


NO_RECIPE = re.compile(r"^\[project|^# penjing\.toml$|^\[known-failures", re.MULTILINE)
# A technique under examples/ is not installed here; its recipes are tried where its wheel is.
INSTALLED = [page for page in READMES if "examples" not in page.parts]
RECIPES = [
    block for block in blocks("toml", [*PAGES, *INSTALLED]) if not block.title and not NO_RECIPE.search(block.text)
]


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return PluginHost.from_modules({})


@pytest.mark.parametrize("block", RECIPES, ids=lambda block: block.place)
def test_a_recipe_on_a_page_is_one_and_says_what_it_would_do(block: Block, host: PluginHost, page_model: Path) -> None:
    from penjing.runner.model_files import open_model

    recipe = Recipe.from_toml(block.text, source=block.place)
    reference_training(recipe)
    steps = plan_steps(recipe, host, host.resolve)
    model = open_model(page_model)
    for step in steps:
        assert step.technique.explain is not None
        assert host.resolve(step.technique.explain, step.source)(model, step.settings)
        if step.technique.preview is not None:
            model = host.resolve(step.technique.preview, step.source)(model, step.settings).model


def test_other_toml_is_toml() -> None:
    others = [block for block in blocks("toml") if NO_RECIPE.search(block.text)]
    assert others and all(tomllib.loads(block.text) for block in others)


def test_the_pages_configuration_is_read_and_its_settings_are_all_that_there_are(tmp_path: Path) -> None:
    from penjing.commands import configuration

    page = CHECKOUT / "docs/configuration.md"
    (block,) = blocks("toml", [page])
    (tmp_path / "penjing.toml").write_text(block.text)
    read = configuration.read_configuration(tmp_path, environment={"PENJING_CONFIG": str(tmp_path / "none.toml")})
    assert read["seed"] == 7 and read.domain("fraud-detection")["budget"] == "flash=8KB,drop=0.01"
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)) == set(configuration.GENERAL)
    assert set(re.findall(r"^\| `domains\.NAME\.([a-z]+)` \|", text, re.MULTILINE)) == set(configuration.OF_DOMAIN)
    assert all(f"`{setting.variable}`" in text for setting in configuration.GENERAL.values())


COMMANDS = [
    (f"{block.place} {line[2:]}", line[2:])
    for block in blocks("console", [*PAGES, *READMES])
    for line in block.text.splitlines()
    if line.startswith("$ ")
]
EXAMPLE_DOMAINS = ("image-classification", "DOMAIN")
"""The domain that the tutorial writes, and the word for any; nobody has them installed."""


@pytest.mark.parametrize("command", [command for _, command in COMMANDS], ids=[name for name, _ in COMMANDS])
def test_a_command_on_a_page_exists_with_these_options(command: str) -> None:
    words = shlex.split(command.partition(" > ")[0], comments=True)
    program = Path(words[0]).name
    if program == "penjing":
        parse(words[1:])
    elif program == "eval":
        parse(shlex.split(words[1].removeprefix("$(").removesuffix(")"))[1:])
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif "pip" in words and "install" in words:
        for wanted in words[words.index("install") + 1 :]:
            check_requirement(wanted)
    else:
        assert program in {"cd", "python", "python3", "rm", "twine"}


def parse(arguments: list[str]) -> None:
    """Read a command line as penjing does, and run nothing."""
    context = main.make_context("penjing", list(arguments))
    group: click.Command = main
    while isinstance(group, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = chosen(group, context, rest)
        try:
            context = command.make_context(name, rest, parent=context)
        except click.BadParameter as error:
            # A page's files need not be there.
            if "does not exist" not in error.message:
                raise
            return
        except click.exceptions.Exit:  # --help, --version
            return
        group = command


def chosen(group: click.Group, context: click.Context, rest: list[str]) -> tuple[str, click.Command, list[str]]:
    if group is main and rest[0] in EXAMPLE_DOMAINS:
        return rest[0], DomainGroup(rest[0], ""), rest[1:]
    if group.name in EXAMPLE_DOMAINS and rest[0] == "predict":
        from penjing.commands.predict import predict_command

        domain = Domain(
            name=group.name, summary="", task="binary", load_data="", build_model="", metrics=(), recipes={}
        )
        source = PluginSource(distribution="", version="", entry_point="")
        return rest[0], predict_command(group.name, Contribution(value=domain, source=source)), rest[1:]
    name, command, rest = group.resolve_command(context, rest)
    assert name is not None and command is not None
    return name, command, rest


PACKAGING = ("build", "twine")
"""Others' tools, with which authors build a wheel and publish it."""


def check_requirement(wanted: str) -> None:
    """A distribution of this project, with extras that it has; a folder of the tree likewise."""
    name, _, extras = wanted.partition("[")
    if wanted.startswith("-") or name in {"constraints.txt", ".", *PACKAGING}:
        return
    folders = {
        tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"]: file
        for file in [*CHECKOUT.glob("*/pyproject.toml"), *CHECKOUT.glob("plugins/*/pyproject.toml")]
    }
    file = folders.get(name, CHECKOUT / name / "pyproject.toml")
    assert file.is_file(), f"{wanted} is no distribution of this project"
    known = tomllib.loads(file.read_text(encoding="utf-8"))["project"].get("optional-dependencies", {})
    assert set(filter(None, extras.rstrip("]").split(","))) <= set(known)


def test_every_verb_stands_on_some_page_as_a_command() -> None:
    shown = {shlex.split(command, comments=True)[1] for _, command in COMMANDS if command.startswith("penjing ")}
    assert set(VERBS) - shown <= {"completion"}  # which stands inside of an eval
