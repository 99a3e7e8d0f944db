"""Broken on purpose: contributes a technique that penjing itself has."""

from penjing import hookimpl
from penjing.contract import Technique


@hookimpl
def penjing_techniques():
    yield Technique(name="quantize", summary="", settings="nowhere:Settings", apply="nowhere:apply")
