"""What can be checked: a domain, a technique and an exporter answer the same questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penjing import hookimpl
from penjing.contract import Domain, Exporter, Metric, Technique
from penjing.errors import UsageError
from penjing.host import PluginHost
from penjing.testing import DomainUnderTest, ExporterUnderTest, TechniqueUnderTest
from penjing.testing.checks import BlockedError
from penjing.testing.contribution_subject import ContributionUnderTest

METRIC = Metric(name="accuracy", function="penjing.metrics:accuracy", direction="higher", primary=True)


class Everything:
    """A plugin that contributes one of each."""

    @hookimpl
    def penjing_domains(self):
        yield Domain(
            name="leaks", summary="", task="binary", load_data="a:b", build_model="a:c", metrics=(METRIC,), recipes={}
        )

    @hookimpl
    def penjing_techniques(self):
        yield Technique(name="shrink", summary="", settings="a:b", apply="json:dumps")

    @hookimpl
    def penjing_exporters(self):
        yield Exporter(name="card", summary="A card.", export="json:dumps")


MADE: dict[str, Callable[[str, PluginHost], ContributionUnderTest]] = {
    "leaks": lambda name, host: DomainUnderTest(name, host=host),
    "shrink": lambda name, host: TechniqueUnderTest(name, host=host),
    "card": lambda name, host: ExporterUnderTest(name, host=host),
}


@pytest.fixture
def host() -> PluginHost:
    return PluginHost.from_modules({"everything": Everything()})


@pytest.mark.parametrize("name", MADE)
def test_a_subject_knows_its_plugin_and_resolves_code_on_its_behalf(name: str, host: PluginHost) -> None:
    import json

    subject = MADE[name](name, host)
    assert str(subject) == repr(subject) == name and subject.host is host
    assert subject.contribution.value.name == name
    assert subject.source.entry_point == subject.plugin.entry.source.entry_point == "everything"
    assert subject.resolve("json:dumps") is json.dumps


@pytest.mark.parametrize("name", MADE)
def test_a_subject_has_one_folder_which_goes_with_it(name: str, host: PluginHost) -> None:
    subject, other = MADE[name](name, host), MADE[name](name, host)
    folder = subject.folder
    assert folder.is_dir() and folder == subject.folder != other.folder
    del subject
    assert not Path(folder).exists()


@pytest.mark.parametrize("name", MADE)
def test_what_is_not_there_is_said_once_and_blocks_what_needs_it(name: str, host: PluginHost) -> None:
    subject = MADE[name](f"{name}s", host)
    with pytest.raises(UsageError, match=f"did you mean '{name}'"):
        _ = subject.contribution
    with pytest.raises(BlockedError, match=f"needs the {subject.kind}, which failed"):
        _ = subject.source


def test_a_domain_need_not_be_installed() -> None:
    (domain,) = Everything().penjing_domains()
    subject = DomainUnderTest(domain)
    assert subject.domain is domain and subject.source.entry_point == "leaks"
