"""What a command has from the options before it: which plugins to load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from penjing.host import PluginHost


def no_plugins(ctx: click.Context) -> bool:
    """Whether `penjing --no-plugins` was given."""
    return bool(ctx.find_root().params.get("no_plugins"))


def load_host(ctx: click.Context) -> PluginHost:
    """The plugins, as the options before the verb ask for."""
    from penjing.host import PluginHost

    return PluginHost.discover(no_plugins=no_plugins(ctx))


def make_reporter(quiet: bool) -> Any:
    """Bars on a terminal, lines in a log, nothing when quiet."""
    import sys

    from penjing.reporting import LineReporter, SilentReporter, TerminalReporter

    if quiet:
        return SilentReporter()
    return TerminalReporter() if sys.stderr.isatty() else LineReporter()
