"""Broken on purpose: contributes a text instead of a target."""

from penjing import hookimpl


@hookimpl
def penjing_targets():
    return ["a board"]
