"""`penjing DOMAIN predict`: a bundle on the device's kind of input. Needs no TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from penjing.commands.output import print_json, print_row, print_table
from penjing.commands.session import load_host
from penjing.contract import Domain, PredictOption, PredictRequest
from penjing.errors import PenjingError, PluginError, UsageError
from penjing.host import Contribution, PluginSource

_TYPES = {"text": str, "integer": int, "number": float, "path": click.Path(path_type=Path)}


def predict_command(name: str, domain: Contribution[Domain]) -> click.Command:
    """The command with the options that the domain declares."""
    parameters: list[click.Parameter] = [
        click.Argument(["inputs"], nargs=-1),
        click.Option(
            ["--bundle"],
            type=click.Path(path_type=Path),
            help="The bundle.  [default: that of the newest run"
            + (", or else the one that comes with the plugin]" if domain.value.pretrained else "]"),
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document."),
    ]
    for option in domain.value.predict_options:
        if option.kind == "flag":
            parameters.append(click.Option([option.flag], is_flag=True, help=option.help))
        else:
            parameters.append(
                click.Option(
                    [option.flag],
                    type=_TYPES[option.kind],
                    default=option.default,
                    help=option.help,
                    show_default=option.default is not None,
                )
            )
    return click.Command(
        "predict",
        params=parameters,
        callback=lambda inputs, bundle, as_json, **options: _predict(name, inputs, bundle, as_json, options),
        help="Run a bundle on your input. Needs no TensorFlow.",
        epilog=f"Example: penjing {name} predict INPUT --bundle runs/demo/bundle",
    )


@click.pass_context
def _predict(
    ctx: click.Context,
    name: str,
    inputs: tuple[str, ...],
    bundle: Path | None,
    as_json: bool,
    options: Mapping[str, Any],
) -> None:
    from penjing.runtime import load_bundle

    host = load_host(ctx)
    domain = host.domain(name)
    if domain.value.predict is None:
        raise PluginError(f"the domain '{name}' cannot predict from files", where=str(domain.source))
    function = host.resolve(domain.value.predict, domain.source)
    loaded = load_bundle(find_bundle(domain, bundle))
    if loaded.manifest.domain != name:
        raise UsageError(
            f"the bundle is of the domain '{loaded.manifest.domain}', not '{name}'",
            where=str(loaded.folder),
            hint=f"penjing {loaded.manifest.domain} predict",
        )
    rows = _rows(function, PredictRequest(bundle=loaded, inputs=inputs, options=options), domain.source)
    if not as_json and domain.value.intended_use:
        click.echo(domain.value.intended_use, err=True)
    if not as_json and loaded.manifest.lineage.synthetic:
        click.echo("This bundle was trained on synthetic data.", err=True)
    if any(option.live and options.get(_name(option)) for option in domain.value.predict_options):
        # Ctrl-C is how one stops listening, not a failure.
        with contextlib.suppress(KeyboardInterrupt):
            for row in rows:
                print_row(row, as_json)
        return
    found = list(rows)
    if as_json:
        print_json({"bundle": str(loaded.folder), "predictions": found})
        return
    if not found:
        click.echo("nothing found")
        return
    columns = list(dict.fromkeys(column for row in found for column in row))
    print_table(columns, [[str(row.get(column, "")) for column in columns] for row in found])


def _name(option: PredictOption) -> str:
    return option.flag.removeprefix("--").replace("-", "_")


def _rows(
    function: Callable[[PredictRequest], Iterable[Mapping[str, Any]]], request: PredictRequest, source: PluginSource
) -> Iterator[Mapping[str, Any]]:
    """What the domain predicts, row by row as it comes.

    Raises:
        PluginError: Its code fails in another way than by a PenjingError, or gives something else than rows.
    """
    try:
        for row in function(request):
            if not isinstance(row, Mapping):
                raise PluginError(
                    f"the domain's prediction gave a {type(row).__name__} instead of a row (a mapping)",
                    where=f"{source}, stage predict",
                    hint=f"pip install --upgrade {source.distribution}",
                )
            yield row
    except PenjingError:
        raise
    except Exception as error:
        raise PluginError(
            "the domain's prediction failed",
            where=f"{source}, stage predict",
            why=f"{type(error).__name__}: {error}",
            hint=f"pip install --upgrade {source.distribution}; --debug before the command shows the traceback",
        ) from error


def find_bundle(domain: Contribution[Domain], given: Path | None) -> Path:
    """The bundle that is meant: the given one (or the run folder around it), that of the newest run, or the one that
    the plugin ships.

    Raises:
        UsageError: There is none.
        PluginError: The plugin names a bundle that its distribution does not hold.
    """
    if given is not None:
        return given / "bundle" if (given / "bundle" / "bundle.json").is_file() else given
    name = domain.value.name
    from penjing.runner.folder import runs_folder

    run = newest_run(name)
    if run is None and domain.value.pretrained is not None:
        return _shipped_bundle(domain, domain.value.pretrained)
    if run is None:
        raise UsageError(
            f"there is no bundle of '{name}' here",
            where=str(runs_folder()),
            hint=f"penjing {name} run makes one; or name one: --bundle DIR",
        )
    return run / "bundle"


def _shipped_bundle(domain: Contribution[Domain], place: str) -> Path:
    from importlib import resources

    package, _, path = place.partition(":")
    try:
        folder = Path(str(resources.files(package).joinpath(path)))
    except ModuleNotFoundError:
        folder = Path(place)
    if not (folder / "bundle.json").is_file():
        raise PluginError(
            "the bundle that comes with the plugin is missing",
            where=f"{domain.source}, {place}",
            hint=f"pip install --force-reinstall {domain.source.distribution}",
        )
    return folder


def newest_run(name: str) -> Path | None:
    """The newest finished run of a domain below ./runs."""
    import json

    from penjing.runner.folder import runs_folder

    found: list[tuple[float, Path]] = []
    for manifest in [
        *runs_folder().glob("*/bundle/bundle.json"),
        *runs_folder().glob("*/*/bundle/bundle.json"),
    ]:
        try:
            domain = json.loads(manifest.read_text(encoding="utf-8")).get("domain")
        except (OSError, ValueError, AttributeError):
            continue
        if domain == name:
            found.append((manifest.stat().st_mtime, manifest.parent.parent))
    return max(found)[1] if found else None
