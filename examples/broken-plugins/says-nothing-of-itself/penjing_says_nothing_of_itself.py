"""Broken on purpose: has no description, no licence and no dependency on penjing."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    yield Target(name="nameless", summary="", flash_bytes=1, ram_bytes=1)
