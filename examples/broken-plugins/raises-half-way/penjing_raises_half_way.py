"""Broken on purpose: raises after its first contribution."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    yield Target(name="half", summary="", flash_bytes=1, ram_bytes=1)
    raise ValueError("half-way")
