"""Broken on purpose: returns a number where a hook gives a list."""

from penjing import hookimpl


@hookimpl
def penjing_targets():
    return 5
