"""Broken on purpose: gives None beside a target."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    yield Target(name="good", summary="A target.", flash_bytes=1, ram_bytes=1)
    yield None
