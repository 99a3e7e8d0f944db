"""Broken on purpose: contributes a target whose summary is a number."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    yield Target(name="numbered", summary=3, flash_bytes=1, ram_bytes=1)
