"""Broken on purpose: ends the process when a hook is called."""

from penjing import hookimpl


@hookimpl
def penjing_targets():
    raise SystemExit(5)
