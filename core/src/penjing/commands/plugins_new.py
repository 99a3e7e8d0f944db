"""`penjing plugins new`."""

from __future__ import annotations

from pathlib import Path

import click

from penjing.commands.output import print_json
from penjing.commands.session import load_host

_KINDS = ("domain", "technique", "exporter", "observer")


@click.command(epilog="Example: penjing plugins new leak-detection")
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), default="domain", show_default=True, help="What it contributes.")
@click.option(
    "--directory", type=click.Path(path_type=Path), help="The new folder, or an empty one.  [default: ./penjing-NAME]"
)
@click.option("--author", help="Whom the licence names.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def new(ctx: click.Context, name: str, kind: str, directory: Path | None, author: str | None, as_json: bool) -> None:
    """Write a plugin that works: a package with tests, README, licence and CI file. It passes `penjing plugins check`
    as it is; make it yours from there."""
    from penjing.scaffold import new_plugin

    host = load_host(ctx, log_problems=False)
    taken = {*host.domains, *host.techniques, *host.exporters}
    taken |= {part for status in host.plugins for part in (status.source.distribution, status.source.entry_point)}
    made = new_plugin(name, kind=kind, directory=directory, author=author, taken=taken)
    if as_json:
        print_json({**vars(made), "files": list(made.files)})
        return
    click.echo(f"{made.folder}: {len(made.files)} files")
    for file in made.files:
        click.echo(f"  {file}")
    click.echo("next:")
    click.echo(f'  pip install -e "{made.folder}[compress,test]"')
    click.echo(f"  penjing plugins check {made.folder}")
    if kind == "domain":
        click.echo(f"  penjing {name} run")
