"""Broken on purpose: gives targets without end."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    while True:
        yield Target(name="again", summary="A target.", flash_bytes=1, ram_bytes=1)
