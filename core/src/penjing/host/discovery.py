"""Entry points of the group `penjing`: read from metadata, nothing imported."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

from penjing.host.source import CORE, PluginSource

GROUP = "penjing"
DOMAIN_KEYWORD = "penjing-domain"
_CONTRACT_KEYWORD = re.compile(r"penjing-contract-([0-9]{1,6})")
DISABLE_VARIABLE = "PENJING_DISABLE_PLUGINS"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry point with what its distribution says of itself."""

    source: PluginSource
    point: metadata.EntryPoint | None
    """None where the metadata is damaged; `fault` then says how."""
    summary: str
    is_domain: bool
    """Whether the distribution's keywords say that the entry point is a domain."""
    fault: str = ""
    contract_version: int | None = None
    """What the distribution's keyword 'penjing-contract-N' says; None where there is none."""
    requires: tuple[str, ...] = ()
    """What the distribution needs of penjing, as its metadata says: 'penjing>=0.2'."""


def entries() -> list[Entry]:
    """All plugins that are installed, in order of distribution and entry point, so that nothing depends on the order
    in which they lie on disk. The core's own comes first.

    Each distribution is read apart: `importlib.metadata.entry_points` stops at the first damaged file of any package.
    """
    found: dict[tuple[str, str], Entry] = {}
    for distribution in metadata.distributions():
        for entry in _entries_of(distribution):
            found.setdefault((entry.source.distribution, entry.source.entry_point), entry)
    return sorted(
        found.values(),
        key=lambda e: (e.source.distribution != CORE, e.source.distribution, e.source.entry_point),
    )


def _entries_of(distribution: metadata.Distribution) -> Iterator[Entry]:
    fault = ""
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, ValueError) as error:
        text, fault = "", f"entry_points.txt cannot be read: {type(error).__name__}: {error}"
    if not fault and f"[{GROUP}]" not in text:
        return
    about = _about(distribution)
    name = about.get("Name") or "unknown distribution"
    keywords = re.split(r"[,\s]+", about.get("Keywords") or "")
    if fault:
        # Whether it is a plugin at all can only be told by its name then.
        if name.startswith(GROUP):
            yield Entry(source=_source(about, name), point=None, summary="", is_domain=False, fault=fault)
        return
    if _is_shadowed(name, text):
        return
    stated = next((match[1] for word in keywords if (match := _CONTRACT_KEYWORD.fullmatch(word))), None)
    for line in _lines_of_group(text):
        point_name, separator, value = (part.strip() for part in line.partition("="))
        point: metadata.EntryPoint | None
        point = metadata.EntryPoint(name=point_name, value=value, group=GROUP)
        if not separator or not point_name or not metadata.EntryPoint.pattern.fullmatch(value):
            point, fault = None, f"the entry point '{line}' is not of the form 'name = package.module'"
        yield Entry(
            source=_source(about, point_name, value),
            point=point,
            summary=about.get("Summary") or "",
            is_domain=point is not None and DOMAIN_KEYWORD in keywords,
            fault=fault,
            contract_version=None if stated is None else int(stated),
            requires=_needs_of_penjing(distribution),
        )
        fault = ""


def _needs_of_penjing(distribution: metadata.Distribution) -> tuple[str, ...]:
    try:
        needs = distribution.requires or ()
    except (AttributeError, OSError, TypeError, ValueError):
        return ()
    return tuple(text for text in needs if re.match(rf"{CORE}\b(?!-)", text) and "extra ==" not in text)


def _lines_of_group(text: str) -> list[str]:
    section, lines = "", []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif line and section == GROUP and not line.startswith(("#", ";")):
            lines.append(line)
    return lines


def _is_shadowed(name: str, text: str) -> bool:
    """Whether another copy of the distribution stands earlier on the path: that one is what an import would find."""
    try:
        return metadata.distribution(name).read_text("entry_points.txt") != text
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return False


def _source(about: dict[str, str], entry_point: str, module: str = "") -> PluginSource:
    return PluginSource(
        distribution=about.get("Name") or "unknown distribution",
        version=about.get("Version") or "unknown version",
        entry_point=entry_point,
        module=module,
    )


def _about(distribution: metadata.Distribution) -> dict[str, str]:
    """A distribution's metadata; empty where the file is missing or damaged, as after a broken uninstall."""
    try:
        fields = distribution.metadata
        return {name: fields[name] for name in ("Name", "Version", "Summary", "Keywords") if name in fields}
    except (AttributeError, OSError, TypeError, ValueError):
        return {}


def disabled_names(disable: Iterable[str] = ()) -> frozenset[str]:
    """Names of distributions or entry points that must not be loaded, from the caller and the environment."""
    given = os.environ.get(DISABLE_VARIABLE, "")
    return frozenset({*disable, *(name.strip() for name in given.split(",") if name.strip())})


def domain_entries(no_plugins: bool = False) -> list[Entry]:
    """Entries that help shows as commands, without importing any of them."""
    if no_plugins:
        return []
    disabled = disabled_names()
    return [entry for entry in entries() if entry.is_domain and not entry.source.is_named_in(disabled)]
