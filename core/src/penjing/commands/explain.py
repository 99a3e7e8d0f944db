"""`penjing explain`: the dry run of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from penjing.commands.output import print_json, print_table
from penjing.commands.session import load_host, make_reporter


@click.command(epilog="Example: penjing explain model.keras --recipe smallest")
@click.argument("model")
@click.option("--recipe", help="A TOML file, or a name: of the domain's, or of those that penjing recipes lists.")
@click.option("--data", type=click.Path(path_type=Path), help="A domain's data.  [default: the built-in sample]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides everything random.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def explain(ctx: click.Context, model: str, recipe: str | None, data: Path | None, seed: int, as_json: bool) -> None:
    """Say what each step of a recipe would do to each layer of MODEL, a file or a domain, and why not to others."""
    from penjing.runner.explanation import explain_recipe

    document: dict[str, Any] = explain_recipe(
        load_host(ctx), model, recipe=recipe, data=data, seed=seed, reporter=make_reporter(True)
    )
    if as_json:
        print_json(document)
        return
    for step in document["steps"]:
        print_table(
            ("layer", "what would happen"),
            [(row["layer"], row["change"]) for row in step["layers"]],
            title=f"step {step['number']}, {step['technique']}",
        )
        for note in step["notes"]:
            click.echo(f"  {note}")
    before, expected = document["before"], document["expected"]
    click.echo(
        f"expected: {before['flash_bytes']:,} -> {expected['flash_bytes']:,} B flash ({expected['mode']}), "
        f"{before['macs']:,} -> {expected['macs']:,} MACs"
    )
