"""Broken on purpose: gives one target where a hook gives an iterable of them."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    return Target(name="lonely", summary="One target.", flash_bytes=1, ram_bytes=1)
