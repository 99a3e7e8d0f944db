"""Broken on purpose: contributes a target whose name is a list."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    yield Target(name=["a"], summary="", flash_bytes=1, ram_bytes=1)
