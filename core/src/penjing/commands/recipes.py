"""`penjing recipes`: what comes with penjing, and when to take which."""

from __future__ import annotations

import click

from penjing.commands.output import print_json, print_table


@click.command(epilog="Example: penjing recipes smallest > mine.toml")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def recipes(name: str | None, as_json: bool) -> None:
    """List the recipes for any model, or print the one called NAME as TOML to start your own from."""
    from penjing.runner.shipped_recipes import open_recipe, shipped_recipes

    if name is not None:
        recipe = open_recipe(name)
        if as_json:
            print_json({"name": recipe.name, "summary": recipe.summary, "toml": recipe.to_toml()})
        else:
            click.echo(recipe.to_toml(), nl=False)
        return
    found = shipped_recipes()
    if as_json:
        print_json(
            [
                {"name": key, "summary": recipe.summary, "steps": [step.technique for step in recipe.steps]}
                for key, recipe in found.items()
            ]
        )
        return
    rows = [(key, " > ".join(step.technique for step in recipe.steps), recipe.summary) for key, recipe in found.items()]
    print_table(("recipe", "steps", "when to take it"), rows)
