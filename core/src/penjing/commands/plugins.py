"""`penjing plugins`: what is installed, and what can be done about it."""

from __future__ import annotations

from typing import Any

import click

from penjing.commands.installer import origin_of
from penjing.commands.output import print_json, print_table
from penjing.commands.plugins_check import check
from penjing.commands.plugins_install import freeze, install, uninstall
from penjing.commands.plugins_new import new
from penjing.commands.plugins_trace import trace
from penjing.commands.session import load_host
from penjing.errors import UsageError, did_you_mean
from penjing.host.source import PluginStatus


@click.group(epilog="Example: penjing plugins list")
def plugins() -> None:
    """List, install, check and write plugins."""


for command in (install, uninstall, freeze, check, new, trace):
    plugins.add_command(command)


@plugins.command("list", epilog="Example: penjing plugins list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--markdown", is_flag=True, help="Print the table for a README.")
@click.pass_context
def list_plugins(ctx: click.Context, as_json: bool, markdown: bool) -> None:
    """Every plugin with its version, status and what it contributes."""
    host = load_host(ctx, log_problems=False)
    statuses = host.plugins
    if markdown:
        from penjing.commands.plugin_table import plugin_table

        click.echo(plugin_table(host))
        return
    if as_json:
        print_json([_document(status) for status in statuses])
        return
    print_table(
        ("plugin", "version", "status", "contributes"),
        [
            (
                status.source.distribution,
                status.source.version,
                status.status,
                "; ".join(
                    f"{kind.replace('_', ' ')}: {', '.join(names)}" for kind, names in status.contributes.items()
                ),
            )
            for status in statuses
        ],
    )
    for status in statuses:
        for problem in status.problems:
            click.echo(str(problem))
        for sentence in status.deprecations:
            click.echo(f"{status.source}: {sentence}")


@plugins.command(epilog="Example: penjing plugins info keyword-spotting")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def info(ctx: click.Context, name: str, as_json: bool) -> None:
    """All about one plugin, by the name of its distribution or entry point; '-', '_' and '.' are the same there."""
    statuses = load_host(ctx, log_problems=False).plugins
    found = [status for status in statuses if status.source.is_named_in([name])]
    if not found:
        names = [s.source.distribution for s in statuses] + [s.source.entry_point for s in statuses]
        raise UsageError(f"there is no plugin '{name}'", hint=did_you_mean(name, names))
    if as_json:
        print_json([{**_document(status), "origin": str(origin_of(status.source.distribution))} for status in found])
        return
    for status in found:
        click.echo(f"{status.source.distribution} {status.source.version}: {status.status}")
        click.echo(f"  {status.summary}")
        click.echo(f"  entry point: {status.source.entry_point} = {status.source.module}")
        click.echo(f"  from: {origin_of(status.source.distribution)}")
        for kind, contributed in status.contributes.items():
            click.echo(f"  {kind.replace('_', ' ')}: {', '.join(contributed)}")
        for problem in status.problems:
            click.echo(f"  problem: {problem}")
        for sentence in status.deprecations:
            click.echo(f"  deprecated: {sentence}")


def _document(status: PluginStatus) -> dict[str, Any]:
    return {
        "name": status.source.entry_point,
        "distribution": status.source.distribution,
        "version": status.source.version,
        "module": status.source.module,
        "status": status.status,
        "summary": status.summary,
        "contributes": {kind: list(names) for kind, names in status.contributes.items()},
        "problems": [
            {"stage": problem.stage, "reason": problem.reason, "hint": problem.hint} for problem in status.problems
        ],
        "deprecations": list(status.deprecations),
    }
