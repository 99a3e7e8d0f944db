"""`penjing domains`."""

from __future__ import annotations

from typing import Any

import click

from penjing.commands.output import print_json, print_table
from penjing.commands.session import load_host


@click.command(epilog="Example: penjing domains --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def domains(ctx: click.Context, as_json: bool) -> None:
    """List the domains that are installed."""
    host = load_host(ctx)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "summary": contribution.value.summary,
            "task": contribution.value.task,
            "primary_metric": next((m.name for m in contribution.value.metrics if m.primary), None),
            "recipes": sorted(contribution.value.recipes),
            "budget": dict(contribution.value.budget),
            "plugin": contribution.source.distribution,
            "version": contribution.source.version,
        }
        for name, contribution in host.domains.items()
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("No domain is installed. Try: pip install penjing-keyword-spotting")
        return
    print_table(
        ("domain", "what", "metric", "recipes", "plugin"),
        [
            (
                str(row["name"]),
                str(row["summary"]),
                str(row["primary_metric"]),
                ", ".join(row["recipes"]),
                f"{row['plugin']} {row['version']}",
            )
            for row in rows
        ],
    )
