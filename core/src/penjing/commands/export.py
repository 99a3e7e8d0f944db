"""`penjing export`: a finished bundle in another form."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from penjing.commands.output import print_json, print_table
from penjing.commands.session import load_host
from penjing.errors import PenjingError, PluginError, RunFolderError, UsageError, did_you_mean


@click.command(epilog="Example: penjing export runs/demo/bundle c-array --output firmware")
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.argument("exporter", required=False)
@click.option("--output", type=click.Path(path_type=Path), help="The folder to write into.  [default: ./EXPORTER]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def export(ctx: click.Context, bundle: Path | None, exporter: str | None, output: Path | None, as_json: bool) -> None:
    """Write BUNDLE in another form, by one of the exporters; without arguments, list those. Nothing is overwritten."""
    host = load_host(ctx)
    if bundle is None or exporter is None:
        if bundle is not None:
            raise UsageError("which exporter?", hint=did_you_mean("", host.exporters))
        rows = [(name, found.value.summary, str(found.source)) for name, found in host.exporters.items()]
        if as_json:
            print_json([dict(zip(("name", "summary", "plugin"), row, strict=True)) for row in rows])
        else:
            print_table(("exporter", "what", "plugin"), rows)
        return
    found = host.exporters.get(exporter)
    if found is None:
        raise UsageError(f"there is no exporter '{exporter}'", hint=did_you_mean(exporter, host.exporters))
    from penjing.runtime import load_bundle

    loaded = load_bundle(bundle / "bundle" if (bundle / "bundle" / "bundle.json").is_file() else bundle)
    function = host.resolve(found.value.export, found.source)
    folder = output or Path(exporter)
    with tempfile.TemporaryDirectory(prefix="penjing-export-") as beside:
        try:
            written = [Path(path) for path in function(loaded, Path(beside))]
        except PenjingError:
            raise
        except Exception as error:
            raise PluginError(
                f"the exporter '{exporter}' failed",
                where=str(found.source),
                why=f"{type(error).__name__}: {error}",
                hint=f"pip install --upgrade {found.source.distribution}; --debug shows the traceback",
            ) from error
        # Whole or not at all: nothing reaches the user's folder before the exporter has come to its end.
        files = _moved(written, Path(beside), folder)
    if as_json:
        print_json({"exporter": exporter, "plugin": str(found.source), "files": [str(file) for file in files]})
        return
    for file in files:
        click.echo(str(file))


def _moved(written: list[Path], source: Path, folder: Path) -> list[Path]:
    from penjing.bundle.atomic import write_bytes_atomically

    targets = [folder / path.resolve().relative_to(source.resolve()) for path in written]
    there = [target for target in targets if target.exists()]
    if there:
        raise RunFolderError("the file is there already", where=str(there[0]), hint="choose another --output")
    for path, target in zip(written, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(target, path.read_bytes())
    return targets
