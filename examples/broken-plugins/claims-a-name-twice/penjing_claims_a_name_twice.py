"""Broken on purpose: contributes two targets of one name."""

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    return 2 * [Target(name="board", summary="", flash_bytes=1, ram_bytes=1)]
