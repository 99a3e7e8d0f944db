"""Broken on purpose: takes an argument by keyword only, which pluggy never passes."""

from penjing import hookimpl


@hookimpl
def penjing_before_step(*, run):
    pass
