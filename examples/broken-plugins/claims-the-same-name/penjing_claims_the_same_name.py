"""Broken on purpose: contributes a domain of the same name as claims-a-name."""

from penjing import hookimpl
from penjing.contract import Domain, Metric


@hookimpl
def penjing_domains():
    yield Domain(
        name="leaks",
        summary="A domain whose name another plugin has as well.",
        task="classification",
        load_data="nowhere:load",
        build_model="nowhere:build",
        metrics=(Metric(name="accuracy", function="nowhere:accuracy", direction="higher", primary=True),),
        recipes={},
    )
