"""Entry points of the group `penjing`: read from metadata, nothing imported."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

from penjing.host.source import CORE, PluginSource

GROUP = "penjing"
DOMAIN_KEYWORD = "penjing-domain"
DISABLE_VARIABLE = "PENJING_DISABLE_PLUGINS"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry point with what its distribution says of itself."""

    source: PluginSource
    point: metadata.EntryPoint
    summary: str
    is_domain: bool
    """Whether the distribution's keywords say that the entry point is a domain."""


def entries() -> list[Entry]:
    """All plugins that are installed, in order of distribution and entry point, so that nothing depends on the order
    in which they lie on disk. The core's own comes first."""
    found: dict[tuple[str, str], Entry] = {}
    for point in metadata.entry_points(group=GROUP):
        distribution = point.dist
        about = _about(distribution)
        name = about.get("Name") or "unknown distribution"
        source = PluginSource(
            distribution=name,
            version=about.get("Version") or "unknown version",
            entry_point=point.name,
            module=point.value,
        )
        keywords = [word.strip() for word in (about.get("Keywords") or "").split(",")]
        entry = Entry(
            source=source,
            point=point,
            summary=about.get("Summary") or "",
            is_domain=DOMAIN_KEYWORD in keywords,
        )
        # The same distribution may be on the path twice; the first one is what an import would find.
        found.setdefault((name, point.name), entry)
    return sorted(
        found.values(),
        key=lambda e: (e.source.distribution != CORE, e.source.distribution, e.source.entry_point),
    )


def _about(distribution: metadata.Distribution | None) -> dict[str, str]:
    """A distribution's metadata; empty where the file is missing or damaged, as after a broken uninstall."""
    try:
        if distribution is None:
            return {}
        fields = distribution.metadata
        return {name: fields[name] for name in ("Name", "Version", "Summary", "Keywords") if name in fields}
    except (AttributeError, OSError, UnicodeDecodeError, ValueError):
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
    return [
        entry
        for entry in entries()
        if entry.is_domain and entry.source.entry_point not in disabled and entry.source.distribution not in disabled
    ]
