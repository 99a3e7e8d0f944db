"""`penjing config`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from penjing.commands.configuration import GENERAL, OF_DOMAIN, Configuration, project_file, user_file
from penjing.commands.output import print_json, print_table


@click.command(epilog="Example: penjing config --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def config(ctx: click.Context, as_json: bool) -> None:
    """Every setting with its value and where that came from.

    Weakest first: penjing's defaults, the user's file, penjing.toml of the project (the nearest, upwards), environment
    variables, and flags on the command line.
    """
    settings: Configuration = ctx.find_root().obj
    files = {"user": user_file(os.environ), "project": project_file(Path.cwd())}
    if as_json:
        print_json(
            {
                "files": {name: None if path is None else str(path) for name, path in files.items()},
                "settings": {name: {"value": v.value, "origin": v.origin} for name, v in settings.values.items()},
            }
        )
        return
    print_table(
        ("setting", "value", "from"),
        [(name, _shown(value.value), value.origin) for name, value in settings.values.items()],
    )
    user = files["user"]
    assert user is not None
    click.echo(f"user file: {user}{'' if user.is_file() else ' (there is none)'}")
    click.echo(f"project file: {files['project'] or 'none from here upwards'}")
    click.echo(f"can be set: {', '.join(GENERAL)}; for each domain: {', '.join(OF_DOMAIN)}")


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
