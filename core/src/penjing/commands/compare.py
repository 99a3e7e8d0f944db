"""`penjing compare`."""

from __future__ import annotations

from pathlib import Path

import click

from penjing.commands.output import print_json, print_table


@click.command(epilog="Example: penjing compare runs/fraud-detection/default runs/fraud-detection/smallest")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(runs: tuple[Path, ...], as_json: bool) -> None:
    """Finished runs beside each other: metric with interval, flash, arena, latency, and whether the budget holds."""
    from penjing.runner.comparison import COLUMNS, compare_runs

    found = compare_runs(runs)
    if as_json:
        print_json({"runs": found.to_json(), "notes": list(found.notes)})
        return
    print_table(COLUMNS, found.rows())
    for note in found.notes:
        click.echo(note)
