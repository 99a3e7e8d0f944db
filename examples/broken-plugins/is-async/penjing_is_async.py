"""Broken on purpose: implements a hook as a coroutine."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
async def penjing_targets():
    return [Target(name="later", summary="A target.", flash_bytes=1, ram_bytes=1)]
