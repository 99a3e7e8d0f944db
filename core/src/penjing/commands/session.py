"""What a command has from the options before it: which plugins to load."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from penjing.commands.configuration import Configuration
    from penjing.host import PluginHost

_KEY = "penjing.host"


def no_plugins(ctx: click.Context) -> bool:
    """Whether `penjing --no-plugins` was given."""
    return bool(ctx.find_root().params.get("no_plugins"))


def installed_domains() -> tuple[str, ...]:
    """Names of the domains that are installed, from metadata alone."""
    from penjing.host.discovery import domain_entries

    return tuple(entry.source.entry_point for entry in domain_entries())


def configure() -> Configuration | None:
    """Read the configuration, and hand on what is asked for deep down through the environment: cache, runs, plugins
    that are not loaded. None while a shell completes: it wants names, not what is wrong with a file."""
    from penjing.commands.configuration import GENERAL, read_configuration

    if "_PENJING_COMPLETE" in os.environ:
        return None
    settings = read_configuration(domains=installed_domains())
    for name in ("cache", "disable_plugins", "runs"):
        value = settings.values.get(name)
        if value is not None and value.origin != "default":
            text = ",".join(value.value) if isinstance(value.value, list) else str(value.value)
            os.environ[GENERAL[name].variable] = text
    return settings


def default_map(settings: Configuration, verbs: Iterable[str]) -> dict[str, Any]:
    """What flags have where they are not given, by command, as click takes it."""
    general = {name: settings[name] for name in ("seed", "quiet")}
    found: dict[str, Any] = dict.fromkeys(verbs, general)
    for domain in {*settings.domains, *installed_domains()}:
        given = settings.domain(domain)
        # A bundle is evaluated by its own recipe.
        without_recipe = {key: value for key, value in given.items() if key != "recipe"}
        found[domain] = {
            **{verb: {**general, **given} for verb in ("run", "data", "train", "compress", "search")},
            "evaluate": {**general, **without_recipe},
        }
    return found


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
