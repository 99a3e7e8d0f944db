"""Broken on purpose: names a class in its entry point, and no instance of it."""

from penjing import hookimpl
from penjing.contract import Target


class Plugin:
    @hookimpl
    def penjing_targets(self):
        yield Target(name="classy", summary="A target.", flash_bytes=1, ram_bytes=1)
