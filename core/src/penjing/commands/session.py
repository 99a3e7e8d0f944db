"""What a command has from the options before it: which plugins to load."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from penjing.host import PluginHost

_KEY = "penjing.host"


def no_plugins(ctx: click.Context) -> bool:
    """Whether `penjing --no-plugins` was given."""
    return bool(ctx.find_root().params.get("no_plugins"))


def load_host(ctx: click.Context, *, log_problems: bool = True) -> PluginHost:
    """The plugins, as the options before the verb ask for; loaded once a process, however often it is asked for."""
    from penjing.host import PluginHost

    kept = ctx.find_root().meta
    if _KEY not in kept:
        # What a plugin prints while it loads is no result of the command.
        with contextlib.redirect_stdout(sys.stderr):
            kept[_KEY] = PluginHost.discover(no_plugins=no_plugins(ctx), log_problems=log_problems)
    host: PluginHost = kept[_KEY]
    return host


def make_reporter(quiet: bool) -> Any:
    """Bars on a terminal, lines in a log, nothing when quiet."""
    from penjing.reporting import LineReporter, SilentReporter, TerminalReporter

    if quiet:
        return SilentReporter()
    return TerminalReporter() if sys.stderr.isatty() else LineReporter()
