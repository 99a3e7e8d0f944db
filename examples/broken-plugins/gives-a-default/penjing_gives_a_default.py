"""Broken on purpose: gives an argument a default, which pluggy never passes."""

from penjing import hookimpl


@hookimpl
def penjing_before_step(run, step=None):
    pass
