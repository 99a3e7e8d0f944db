"""`penjing datasets`: the catalogue of the package penjing-datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from penjing.commands.output import print_json, print_table
from penjing.errors import DataError, MissingExtraError


@click.group(epilog="Example: penjing datasets list")
def datasets() -> None:
    """List, fetch and check public data sets."""


@datasets.command("list", epilog="Example: penjing datasets list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_datasets(as_json: bool) -> None:
    """Public data sets with size, licence and citation."""
    with _package() as catalogue:
        rows = [vars(info) for info in catalogue.CATALOGUE.values()]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("name", "what", "size", "licence"),
        [(row["name"], row["summary"], f"{row['size_bytes'] / 1e6:,.0f} MB", row["license"]) for row in rows],
    )


@datasets.command(epilog="Example: penjing datasets info speech-commands")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, as without it.")
def info(name: str, as_json: bool) -> None:
    """All that the catalogue says of a data set, as JSON."""
    with _package() as catalogue:
        print_json(vars(catalogue.dataset_info(name)))


@datasets.command(epilog="Example: penjing datasets get speech-commands")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to keep it.  [default: the cache]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def get(name: str, folder: Path | None, as_json: bool) -> None:
    """Download a data set, check its sha256, print its path."""
    with _package() as catalogue:
        from penjing_datasets.fetch import fetch

        path = fetch(catalogue.dataset_info(name), folder=folder, progress=True)
    if as_json:
        print_json({"name": name, "path": str(path)})
    else:
        click.echo(path)


@datasets.command(epilog="Example: penjing datasets verify speech-commands archive.tar.gz")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def verify(ctx: click.Context, name: str, path: Path, as_json: bool) -> None:
    """Whether a file is the data set that the catalogue means; exit with 1 when it is not."""
    with _package() as catalogue:
        expected = catalogue.dataset_info(name).sha256
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    same = digest.hexdigest() == expected
    if as_json:
        print_json({"name": name, "path": str(path), "sha256": digest.hexdigest(), "same": same})
    else:
        click.echo(f"{path}: {'is' if same else 'is NOT'} {name} (sha256 {digest.hexdigest()})")
    ctx.exit(0 if same else 1)


@contextmanager
def _package() -> Iterator[Any]:
    try:
        from penjing_datasets import catalogue
        from penjing_datasets.errors import DatasetError
    except ImportError as error:
        raise MissingExtraError(
            "the package penjing-datasets is not installed",
            why=str(error),
            hint="pip install penjing-datasets",
        ) from error
    try:
        yield catalogue
    except DatasetError as error:
        raise DataError(error.what, where=error.where, why=error.why, hint=error.hint) from error
