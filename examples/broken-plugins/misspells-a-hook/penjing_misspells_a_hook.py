"""Broken on purpose: implements a hook that there is not."""

from penjing import hookimpl


@hookimpl
def penjing_domain():
    return []
