"""`penjing`: finds the verb or the domain, and turns every error into a few clear lines."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from typing import Any

import click

from penjing import __version__
from penjing.commands.output import print_error
from penjing.errors import PenjingError, UsageError, did_you_mean

VERBS: dict[str, tuple[str, str]] = {
    "domains": ("penjing.commands.domains:domains", "List the domains that are installed."),
    "plugins": ("penjing.commands.plugins:plugins", "List plugins, and what is wrong with which."),
    "doctor": ("penjing.commands.doctor:doctor", "Check versions, extras, plugins and the cache."),
    "compress": ("penjing.commands.compress:compress", "Make a Keras model smaller; no domain needed."),
    "explain": ("penjing.commands.explain:explain", "Say what a recipe would do to which layer."),
    "inspect": ("penjing.commands.inspect:inspect", "Look into a .tflite file or a bundle."),
    "verify": ("penjing.commands.verify:verify", "Check a bundle again, from its files."),
    "datasets": ("penjing.commands.datasets:datasets", "List, fetch and check public data sets."),
    "completion": ("penjing.commands.completion:completion", "Print a shell's completion script."),
}
"""Verbs with their import strings and help, so that help imports none of them."""

EXIT_UNEXPECTED = 70


class PenjingGroup(click.Group):
    """Finds verbs by name alone, and domains by their entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS, *(name for name in _domain_summaries(ctx) if name not in VERBS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in VERBS:
            module, _, attribute = VERBS[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        from penjing.commands.domain import domain_group

        return domain_group(cmd_name, _no_plugins(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and name not in _domain_summaries(ctx):
            # A domain whose distribution lacks the keyword is found by loading the plugins.
            from penjing.host import PluginHost

            host = PluginHost.discover(no_plugins=_no_plugins(ctx))
            try:
                host.domain(name)  # a broken or contested one says what is wrong with it
            except UsageError:
                known = [*VERBS, *_domain_summaries(ctx), *host.domains]
                ctx.fail(f"there is no command or domain '{name}'; {did_you_mean(name, known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Verbs and domains apart, from their names and summaries alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in VERBS.items()])
        domains = _domain_summaries(ctx)
        if domains:
            with formatter.section("Domains"):
                formatter.write_dl(list(domains.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        arguments = list(kwargs.get("args") or sys.argv[1:])
        as_json, debug = "--json" in arguments, "--debug" in arguments
        kwargs["standalone_mode"] = False
        try:
            result = super().main(*args, **kwargs)
            sys.exit(result if isinstance(result, int) else 0)
        except PenjingError as error:
            if debug:
                traceback.print_exc()
            print_error(error, as_json=as_json)
            sys.exit(error.exit_code)
        except click.exceptions.Abort:
            _interrupted()
        except KeyboardInterrupt:
            _interrupted()
        except click.ClickException as error:
            if as_json:
                print_error(UsageError(error.format_message()), as_json=True)
            else:
                error.show()
            sys.exit(2)
        except BrokenPipeError:
            # The reader of stdout (head, less) has gone: nothing more to say.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception:
            if debug:
                raise
            _unexpected()


def _interrupted() -> None:
    print("\ninterrupted; the same command with --resume goes on from here", file=sys.stderr)
    sys.exit(130)


def _unexpected() -> None:
    kind, error, _ = sys.exc_info()
    handle, name = tempfile.mkstemp(prefix="penjing-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(traceback.format_exc())
    summary = str(error).splitlines()[0] if str(error) else ""
    print(
        f"error: a mistake in penjing or a plugin: {kind.__name__ if kind else ''}: {summary}\n"
        f"  where: the traceback is in {name}\n"
        "  try:   report it with that file; --debug shows it here",
        file=sys.stderr,
    )
    sys.exit(EXIT_UNEXPECTED)


def _no_plugins(ctx: click.Context) -> bool:
    return bool(ctx.params.get("no_plugins"))


def _domain_summaries(ctx: click.Context) -> dict[str, str]:
    from penjing.host.discovery import domain_entries

    return {entry.source.entry_point: entry.summary for entry in domain_entries(_no_plugins(ctx))}


@click.group(
    cls=PenjingGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: penjing keyword-spotting run --output runs/demo",
)
@click.version_option(__version__, prog_name="penjing")
# Eager, so that it counts for a --help that follows it.
@click.option("--no-plugins", is_flag=True, is_eager=True, help="Load no plugin besides penjing's own parts.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(no_plugins: bool, debug: bool) -> None:
    """Small AI models that people can trust: prune, quantize, distil, and check the file that comes out."""
    import logging

    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s: %(message)s")
    if debug:
        for noisy in ("h5py", "matplotlib", "tensorflow", "absl"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
