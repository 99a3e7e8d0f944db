"""Broken on purpose: contributes a target without a name."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    yield Target(name=None, summary="", flash_bytes=1, ram_bytes=1)
