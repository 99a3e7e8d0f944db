"""The group of commands of one domain: run, data, train, compress, evaluate, predict, report."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penjing.commands.output import print_json, stdout_console
from penjing.commands.session import load_host, make_reporter
from penjing.errors import PenjingError, UsageError, did_you_mean

if TYPE_CHECKING:
    from penjing.contract import Domain
    from penjing.host import Contribution
    from penjing.runner.result import RunResult

_VERBS = ("run", "data", "train", "compress", "evaluate", "predict", "report")


class DomainGroup(click.Group):
    """Knows its verbs by name; `predict` is built from the domain's declaration when it is asked for."""

    def __init__(self, name: str, summary: str) -> None:
        super().__init__(name=name, help=summary, epilog=f"Example: penjing {name} run --output runs/demo")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        assert self.name is not None
        if cmd_name == "predict":
            from penjing.commands.predict import predict_command

            try:
                return predict_command(self.name, load_host(ctx).domain(self.name))
            except PenjingError:
                if ctx.resilient_parsing:
                    return None  # a shell that completes wants names, not what is wrong with the plugin
                raise
        command = _COMMANDS.get(cmd_name)
        if command is None:
            return None
        # The example is one for this domain.
        named = copy.copy(command)
        named.epilog = (command.epilog or "").replace("DOMAIN", self.name)
        return named

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _VERBS and not args[0].startswith("-"):
            ctx.fail(f"'{self.name}' has no command '{args[0]}'; {did_you_mean(args[0], _VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without loading the domain."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    ("run", "Everything: data, training, compression, verification, report."),
                    ("data", "Load the data and say what is in it."),
                    ("train", "Train the reference and stop."),
                    ("compress", "Train and compress, and stop before the verification."),
                    ("evaluate", "Measure a finished bundle on the test part of given data."),
                    ("predict", "Run a bundle on the device's kind of input; needs no TensorFlow."),
                    ("report", "Say where the report of a finished run lies, and print its table."),
                ]
            )


def domain_group(name: str, no_plugins: bool) -> DomainGroup:
    """The group of a domain, from its name and its distribution's summary; nothing is imported."""
    from penjing.host.discovery import domain_entries

    summary = next(
        (e.summary for e in domain_entries(no_plugins) if e.source.entry_point == name), f"The domain {name}."
    )
    return DomainGroup(name, summary)


def _options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    known = {
        "data": click.option(
            "--data",
            type=click.Path(path_type=Path),
            help="Your data: a file or folder.  [default: the built-in sample]",
        ),
        "recipe": click.option("--recipe", help="A recipe of the domain, or a TOML file."),
        "budget": click.option("--budget", help="Limits: flash=32KB,arena=24KiB,macs=2M,latency=1ms,drop=0.01"),
        "output": click.option(
            "--output", type=click.Path(path_type=Path), help="The run folder.  [default: runs/DOMAIN/RECIPE]"
        ),
        "resume": click.option("--resume", is_flag=True, help="Go on with the run in the folder."),
        "overwrite": click.option("--overwrite", is_flag=True, help="Delete an earlier run in the folder."),
        "seed": click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides everything random."
        ),
        "set": click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Change the recipe: reference.epochs=5, steps.1.sparsity=0.5.",
        ),
        "json": click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        "quiet": click.option("--quiet", is_flag=True, help="No progress."),
    }

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            function = known[name](function)
        return function

    return decorate


_WORK = ("data", "recipe", "budget", "output", "resume", "overwrite", "seed", "set", "json", "quiet")


@click.command("run", epilog="Example: penjing DOMAIN run --budget flash=40KB,drop=0.02 --output runs/demo")
@_options(*_WORK)
@click.pass_context
def _run(ctx: click.Context, as_json: bool, **options: Any) -> None:
    """Everything: data, training, compression, verification, report. Exit with 1 outside the budget."""
    result = _work(ctx, until="all", **options)
    _show(result, as_json)
    ctx.exit(0 if result.within_budget else 1)


@click.command("train", epilog="Example: penjing DOMAIN train --output runs/demo")
@_options(*_WORK)
@click.pass_context
def _train(ctx: click.Context, as_json: bool, **options: Any) -> None:
    """Train the reference and stop; `run --resume` goes on."""
    _show(_work(ctx, until="train", **options), as_json)


@click.command("compress", epilog="Example: penjing DOMAIN compress --output runs/demo")
@_options(*_WORK)
@click.pass_context
def _compress(ctx: click.Context, as_json: bool, **options: Any) -> None:
    """Train and compress, and stop before the verification; `run --resume` goes on."""
    _show(_work(ctx, until="compress", **options), as_json)


@click.command("data", epilog="Example: penjing DOMAIN data --json")
@_options("data", "recipe", "seed", "set", "json", "quiet")
@click.pass_context
def _data(ctx: click.Context, as_json: bool, quiet: bool, **options: Any) -> None:
    """Load the data and say what is in it: examples, classes, groups, what was skipped."""
    from penjing.runner.domain_run import describe_data

    host, domain = _load(ctx)
    document = describe_data(host, domain, reporter=make_reporter(quiet), **options)
    if as_json:
        print_json(document)
        return
    click.echo(f"{document['source']}{' (SYNTHETIC)' if document['synthetic'] else ''}")
    for part in ("train", "validation", "test"):
        about = document["parts"][part]
        groups = f", {about['groups']:,} groups" if about["groups"] is not None else ""
        classes = ", ".join(f"{label} {count:,}" for label, count in about["classes"].items())
        click.echo(f"{part}: {about['examples']:,} examples{groups}" + (f": {classes}" if classes else ""))
    click.echo(f"inputs: {document['input_meaning']}, shape {document['input_shape']}")
    for note in document["notes"]:
        click.echo(f"note: {note}")


@click.command("evaluate", epilog="Example: penjing DOMAIN evaluate --bundle runs/demo/bundle")
@_options("data", "recipe", "seed", "set", "json", "quiet")
@click.option("--bundle", type=click.Path(path_type=Path), help="The bundle.  [default: that of the newest run]")
@click.pass_context
def _evaluate(ctx: click.Context, as_json: bool, quiet: bool, bundle: Path | None, **options: Any) -> None:
    """Measure a finished bundle on the test part of given data, every metric with its interval."""
    from penjing.commands.predict import find_bundle
    from penjing.report import wording
    from penjing.runner.bundle_evaluation import evaluate_bundle

    host, domain = _load(ctx)
    document = evaluate_bundle(host, domain, find_bundle(domain, bundle), reporter=make_reporter(quiet), **options)
    if as_json:
        print_json(document)
        return
    click.echo(f"{document['bundle']} on {document['data']['source']}, {document['data']['test']:,} test examples")
    for name, value in document["metrics"].items():
        click.echo(f"{name}: {wording.with_interval(document['intervals'].get(name), value)}")


@click.command("report", epilog="Example: penjing DOMAIN report --output runs/demo")
@click.option("--output", type=click.Path(path_type=Path), help="The run folder.  [default: the newest run]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def _report(ctx: click.Context, output: Path | None, as_json: bool) -> None:
    """Print the table of a finished run and say where its report lies."""
    from penjing.commands.predict import newest_run
    from penjing.runner.folder import runs_folder

    name = _domain_name(ctx)
    folder = output or newest_run(name)
    if folder is None or not (folder / "metrics.json").is_file():
        raise UsageError(
            "there is no finished run",
            where=str(folder or runs_folder() / name),
            hint=f"penjing {name} run",
        )
    _show_folder(folder, as_json)


def _domain_name(ctx: click.Context) -> str:
    assert ctx.parent is not None and ctx.parent.command.name is not None
    return ctx.parent.command.name


def _load(ctx: click.Context) -> tuple[Any, Contribution[Domain]]:
    host = load_host(ctx)
    return host, host.domain(_domain_name(ctx))


def _work(ctx: click.Context, *, until: str, quiet: bool, overrides: Sequence[str], **options: Any) -> RunResult:
    from penjing.runner.domain_run import run_domain

    host, domain = _load(ctx)
    return run_domain(host, domain, until=until, overrides=tuple(overrides), reporter=make_reporter(quiet), **options)


def _show(result: RunResult, as_json: bool) -> None:
    if not result.metrics:
        document = {"folder": str(result.folder), "state": "running"}
        if as_json:
            print_json(document)
        else:
            click.echo(f"{result.folder}: done so far; `run --resume` with the same options goes on")
        return
    _show_metrics(result.metrics, result.report, result.bundle, as_json)


def _show_folder(folder: Path, as_json: bool) -> None:
    import json

    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    _show_metrics(metrics, folder / "report.html", folder / "bundle", as_json)


def _show_metrics(metrics: dict[str, Any], report: Path | None, bundle: Path | None, as_json: bool) -> None:
    if as_json:
        print_json(metrics)
        return
    from penjing.report.table import print_summary

    print_summary(stdout_console(140), metrics, report=report, bundle=bundle)


_COMMANDS: dict[str, click.Command] = {
    "run": _run,
    "data": _data,
    "train": _train,
    "compress": _compress,
    "evaluate": _evaluate,
    "report": _report,
}
