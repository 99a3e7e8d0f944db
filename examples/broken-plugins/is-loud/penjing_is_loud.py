"""Broken on purpose: prints while it is imported, into everybody's JSON."""

from penjing import hookimpl
from penjing.contract import Target

print("hello")


@hookimpl
def penjing_targets():
    yield Target(name="loud", summary="", flash_bytes=1, ram_bytes=1)
