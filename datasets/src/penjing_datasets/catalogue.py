"""What can be fetched: address, hash, licence and citation of public data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from penjing_datasets.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """A public data set."""

    name: str
    summary: str
    url: str
    sha256: str
    """Of the file at `url`, as its publishers or their loaders state it."""
    size_bytes: int
    license: str
    citation: str


_ALL = (
    DatasetInfo(
        name="speech-commands",
        summary="Google Speech Commands v0.02: 105,829 one-second recordings of 35 words, 16 kHz.",
        url="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
        size_bytes=2_428_923_189,
        license="CC BY 4.0",
        citation="P. Warden 2018, Speech Commands: a dataset for limited-vocabulary speech recognition, "
        "arXiv:1804.03209",
    ),
)

CATALOGUE: Mapping[str, DatasetInfo] = MappingProxyType({info.name: info for info in _ALL})


def dataset_info(name: str) -> DatasetInfo:
    """The entry of that name.

    Raises:
        DatasetError: There is none.
    """
    if name not in CATALOGUE:
        raise DatasetError(f"the catalogue has no data set '{name}'", hint="it has " + ", ".join(sorted(CATALOGUE)))
    return CATALOGUE[name]
