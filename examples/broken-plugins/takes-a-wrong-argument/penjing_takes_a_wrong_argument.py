"""Broken on purpose: takes an argument that the hook does not give."""

from penjing import hookimpl


@hookimpl
def penjing_before_step(run, stepp):
    pass
