"""`penjing`: finds the verb or the domain, and turns every error into a few clear lines."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from penjing import __version__
from penjing.commands.output import print_error, stdout_for_documents
from penjing.commands.session import configure, default_map, load_host, no_plugins
from penjing.errors import PenjingError, UsageError, did_you_mean

VERBS: dict[str, tuple[str, str]] = {
    "domains": ("penjing.commands.domains:domains", "List the domains that are installed."),
    "plugins": ("penjing.commands.plugins:plugins", "List, install, check and write plugins."),
    "doctor": ("penjing.commands.doctor:doctor", "Check versions, extras, plugins and the cache."),
    "compress": ("penjing.commands.compress:compress", "Make a Keras model smaller; no domain needed."),
    "explain": ("penjing.commands.explain:explain", "Say what a recipe would do to which layer."),
    "recipes": ("penjing.commands.recipes:recipes", "List the recipes for any model."),
    "sensitivity": ("penjing.commands.sensitivity:sensitivity", "Say which layers of a model bear what."),
    "inspect": ("penjing.commands.inspect:inspect", "Look into a .tflite file or a bundle."),
    "verify": ("penjing.commands.verify:verify", "Check a bundle again, from its files."),
    "compare": ("penjing.commands.compare:compare", "Hold finished runs beside each other."),
    "config": ("penjing.commands.config:config", "Show every setting, and where it came from."),
    "export": ("penjing.commands.export:export", "Write a bundle in another form."),
    "datasets": ("penjing.commands.datasets:datasets", "List, fetch and check public data sets."),
    "completion": ("penjing.commands.completion:completion", "Print a shell's completion script."),
}
"""Verbs with their import strings and help, so that help imports none of them."""

EXIT_UNEXPECTED = 70
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141
"""As a shell names the end by SIGPIPE; 1 would say that a check failed."""
_RESUMABLE = frozenset({"run", "train", "compress"})
_NO_DOCUMENT = frozenset({"-h", "--help", "--version"})
_COMPLETION_VARIABLE = "_PENJING_COMPLETE"


class _UnreadError(Exception):
    """The reader of stdout (head, less) has gone: nothing more to say."""


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

        return domain_group(cmd_name, no_plugins(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known_by_name = name in VERBS or name in _domain_summaries(ctx) or name.startswith("-")
        if not known_by_name and not ctx.resilient_parsing:
            # A domain whose distribution lacks the keyword is found by loading the plugins.
            host = load_host(ctx)
            try:
                host.domain(name)  # a broken or contested one says what is wrong with it
            except UsageError as error:
                known = [*VERBS, *_domain_summaries(ctx), *host.domains]
                hint = did_you_mean(name, known)
                if no_plugins(ctx):
                    hint = f"{hint} (--no-plugins leaves only penjing's own commands)"
                raise UsageError(f"there is no command or domain '{name}'", why=error.why, hint=hint) from None
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Verbs and domains apart, from their names and summaries alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in VERBS.items()])
        domains = _domain_summaries(ctx)
        if domains:
            with formatter.section("Domains"):
                formatter.write_dl(list(domains.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Not left to click, which would end with 1: that says that a check failed.
            raise _UnreadError from None

    def main(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in arguments and _NO_DOCUMENT.isdisjoint(arguments)
        debug = "--debug" in arguments
        kwargs["standalone_mode"] = False
        if _COMPLETION_VARIABLE in os.environ:
            logging.disable()  # a broken plugin's warning would stand in the middle of what is being typed
        try:
            with stdout_for_documents() if as_json else contextlib.nullcontext():
                # Help is there whatever the configuration says, and the doctor says what is wrong with it.
                told_later = (
                    contextlib.suppress(PenjingError) if "doctor" in arguments[:2] else contextlib.nullcontext()
                )
                if _NO_DOCUMENT.isdisjoint(arguments):
                    with told_later:
                        kwargs["obj"] = configure()
                result = super().main(arguments, *rest, **kwargs)
            sys.exit(result if isinstance(result, int) else 0)
        except PenjingError as error:
            if debug:
                traceback.print_exc()
            print_error(error, as_json=as_json)
            sys.exit(error.exit_code)
        except (click.exceptions.Abort, KeyboardInterrupt):
            _interrupted(arguments, as_json)
        except click.ClickException as error:
            if as_json:
                print_error(UsageError(error.format_message()), as_json=True)
            else:
                error.show()
            sys.exit(2)
        except _UnreadError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_UNREAD)
        except Exception as error:
            _unexpected(error, as_json, debug)


def _interrupted(arguments: Sequence[str], as_json: bool) -> NoReturn:
    resumable = not _RESUMABLE.isdisjoint(arguments)
    print_error(
        PenjingError("interrupted", hint="the same command with --resume goes on from here" if resumable else None),
        as_json=as_json,
    )
    sys.exit(EXIT_INTERRUPTED)


def _unexpected(error: Exception, as_json: bool, debug: bool) -> NoReturn:
    """One honest line, and the traceback where it can be found."""
    text = "".join(traceback.format_exception(error))
    where = None
    if debug:
        sys.stderr.write(text)
    else:
        try:
            handle, name = tempfile.mkstemp(prefix="penjing-", suffix=".log")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            where = f"the traceback is in {name}"
        except OSError:  # no place for temporary files: then it is shown
            sys.stderr.write(text)
    summary = str(error).splitlines()[0] if str(error) else ""
    hint = "report it with that file; --debug before the command shows it here" if where else "report it"
    print_error(
        PenjingError(f"a mistake in penjing or a plugin: {type(error).__name__}: {summary}", where=where, hint=hint),
        as_json=as_json,
    )
    sys.exit(EXIT_UNEXPECTED)


def _domain_summaries(ctx: click.Context) -> dict[str, str]:
    from penjing.host.discovery import domain_entries

    return {entry.source.entry_point: entry.summary for entry in domain_entries(no_plugins(ctx))}


@click.group(
    cls=PenjingGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: penjing keyword-spotting run --output runs/demo",
)
@click.version_option(__version__, prog_name="penjing")
# Eager, so that it counts for a --help that follows it.
@click.option("--no-plugins", is_flag=True, is_eager=True, help="Load no plugin besides penjing's own parts.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def main(ctx: click.Context, no_plugins: bool, debug: bool) -> None:
    """Small AI models that people can trust: prune, quantize, distil, and check the file that comes out.

    Exit codes: 0 done; 1 a limit or check failed; 2 a mistake in the command, its input or a plugin that it needs; 70
    an unexpected error; 130 interrupted; 141 nobody reads the output any more.
    """
    if ctx.obj is not None:
        ctx.default_map = default_map(ctx.obj, VERBS)
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s: %(message)s")
    if debug:
        for noisy in ("h5py", "matplotlib", "tensorflow", "absl"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
