"""Broken on purpose: raises when somebody looks at what it holds."""

from penjing import hookimpl
from penjing.contract import Target


def __dir__():
    raise RuntimeError("nothing to see here")


@hookimpl
def penjing_targets():
    yield Target(name="hidden", summary="A target.", flash_bytes=1, ram_bytes=1)
