"""Broken on purpose: names something in its entry point that its module does not have."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    yield Target(name="unseen", summary="A target.", flash_bytes=1, ram_bytes=1)
