"""The reference of commands, from the command line's own click objects. No installed domain has a say in it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
from source_docs import cell, code

from penjing.commands.domain import DomainGroup
from penjing.commands.main import VERBS, main
from penjing.commands.predict import predict_command
from penjing.contract import Domain
from penjing.host import Contribution, PluginSource

INTRODUCTION = """# Commands

`--help` behind any of them says the same. `--json` prints one document on stdout and nothing else; progress goes to
stderr. Exit codes: 0 done, 1 a limit or a check failed, 2 usage or input, 70 a mistake in penjing or a plugin, 130
interrupted.
"""

DOMAIN = """## penjing DOMAIN

A domain, such as `keyword-spotting`, is a command of its own as soon as its plugin is installed. All have the same
verbs; `predict` has the options that the domain declares besides.
"""


def page() -> str:
    """The page."""
    parts = [INTRODUCTION, _options_of("## penjing", main)]
    for name in VERBS:
        command = main.get_command(_context(main, "penjing"), name)
        assert command is not None
        parts.extend(_sections(command, f"penjing {name}"))
    parts.append(DOMAIN)
    for command in _domain_verbs():
        parts.append(_section(command, f"penjing DOMAIN {command.name}"))
    return "\n".join(parts)


def verbs() -> str:
    """All verbs with their one-line help, as a table."""
    rows = ["| command | what it does |", "|---|---|"]
    for name, (_, text) in VERBS.items():
        rows.append(f"| [`penjing {name}`](reference/commands.md#penjing-{name}) | {cell(text)} |")
    return "\n".join(rows)


def _domain_verbs() -> Iterator[click.Command]:
    group = DomainGroup("DOMAIN", "A domain.")
    context = _context(group, "DOMAIN")
    for name in group.list_commands(context):
        command = predict_command("DOMAIN", _any_domain()) if name == "predict" else group.get_command(context, name)
        assert command is not None
        yield command


def _any_domain() -> Contribution[Domain]:
    domain = Domain(name="domain", summary="", task="binary", load_data="", build_model="", metrics=(), recipes={})
    return Contribution(value=domain, source=PluginSource(distribution="", version="", entry_point=""))


def _sections(command: click.Command, path: str) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield _section(command, path)
        return
    yield f"## {path}\n\n{_help(command)}\n"
    context = _context(command, path)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield _section(inner, f"{path} {name}")


def _section(command: click.Command, path: str) -> str:
    usage = " ".join([path, *command.collect_usage_pieces(_context(command, path))])
    level = "##" if path.count(" ") == 1 else "###"
    parts = [f"{level} {path}", "", _help(command), "", f"`{usage}`", "", _table(command)]
    if command.epilog:
        parts += ["```console", f"$ {command.epilog.removeprefix('Example: ')}", "```", ""]
    return "\n".join(parts)


def _options_of(title: str, command: click.Command) -> str:
    return f"{title}\n\n{_help(command)}\n\n{_table(command)}"


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "")


def _table(command: click.Command) -> str:
    rows = ["| option | value | default | meaning |", "|---|---|---|---|"]
    for parameter in command.params:
        if not isinstance(parameter, click.Option):
            continue
        names = ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
        text, _, default = (parameter.help or "").partition("  [default: ")
        if default:
            default = default.rstrip("]")
        elif parameter.show_default:
            default = code(str(parameter.default))
        if parameter.required:
            default = "must be given"
        rows.append(f"| {names} | {_value(parameter)} | {default} | {cell(text)} |")
    return "\n".join(rows) + "\n" if len(rows) > 2 else ""


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    kind = option.metavar or {"integer range": "whole number", "integer": "whole number", "float": "number"}.get(
        option.type.name, option.type.name
    )
    return f"{kind}, may be given again" if option.multiple else kind


def _context(command: click.Command, path: str) -> click.Context:
    return click.Context(command, info_name=path)
