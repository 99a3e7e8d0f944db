"""The table of plugins for README and documentation, made from what the plugins declare."""

from __future__ import annotations

from collections.abc import Iterable

from penjing.host import PluginHost


def plugin_table(host: PluginHost, distributions: Iterable[str] | None = None) -> str:
    """A Markdown table of domains, and of other plugins below it where there are any.

    Args:
        distributions: Only these; None takes all but penjing itself.
    """
    wanted = None if distributions is None else set(distributions)

    def is_shown(distribution: str) -> bool:
        return distribution != "penjing" if wanted is None else distribution in wanted

    rows = [
        (
            f"`{name}`",
            _cell(found.value.summary),
            next(metric.name for metric in found.value.metrics if metric.primary),
            ", ".join(f"{limit} {value}" for limit, value in found.value.budget.items()) or "none",
            found.value.split_by or "",
            f"`pip install {found.source.distribution}`",
        )
        for name, found in host.domains.items()
        if is_shown(found.source.distribution)
    ]
    parts = (
        [_table(("domain", "what it does", "primary metric", "budget", "split by", "install"), rows)] if rows else []
    )
    others = [
        (f"`{status.source.distribution}`", _cell(status.summary), ", ".join(_offers(status.contributes)))
        for status in host.plugins
        if is_shown(status.source.distribution) and status.contributes and "domains" not in status.contributes
    ]
    if others:
        parts.append(_table(("plugin", "what it does", "contributes"), others))
    return "\n\n".join(parts)


def _offers(contributes: Iterable[str]) -> list[str]:
    return [kind.replace("_", " ") for kind in contributes]


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
