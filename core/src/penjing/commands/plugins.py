"""`penjing plugins list` and `info`."""

from __future__ import annotations

from typing import Any

import click

from penjing.commands.output import print_json, print_table
from penjing.commands.session import load_host
from penjing.errors import UsageError, did_you_mean
from penjing.host.source import PluginStatus


@click.group()
def plugins() -> None:
    """List plugins, and what is wrong with which."""


@plugins.command("list", epilog="Example: penjing plugins list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def list_plugins(ctx: click.Context, as_json: bool) -> None:
    """Every plugin with its version, status and what it contributes."""
    statuses = load_host(ctx, log_problems=False).plugins
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


@plugins.command(epilog="Example: penjing plugins info keyword-spotting")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def info(ctx: click.Context, name: str, as_json: bool) -> None:
    """All about one plugin, by the name of its distribution or entry point."""
    statuses = load_host(ctx, log_problems=False).plugins
    found = [s for s in statuses if name in (s.source.distribution, s.source.entry_point)]
    if not found:
        names = [s.source.distribution for s in statuses] + [s.source.entry_point for s in statuses]
        raise UsageError(f"there is no plugin '{name}'", hint=did_you_mean(name, names))
    if as_json:
        print_json([_document(status) for status in found])
        return
    for status in found:
        click.echo(f"{status.source.distribution} {status.source.version}: {status.status}")
        click.echo(f"  {status.summary}")
        click.echo(f"  entry point: {status.source.entry_point} = {status.source.module}")
        for kind, contributed in status.contributes.items():
            click.echo(f"  {kind.replace('_', ' ')}: {', '.join(contributed)}")
        for problem in status.problems:
            click.echo(f"  problem: {problem}")


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
    }
