"""What a run leaves behind. Light: a finished run is shown without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penjing.html_table import html_table
from penjing.runner.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run leaves behind."""

    folder: Path
    metrics: dict[str, Any]
    """The content of metrics.json; empty where the run stopped before the verification."""
    report: Path | None
    bundle: Path | None

    @property
    def within_budget(self) -> bool:
        """Whether every line of the budget holds."""
        return all(line["holds"] for line in self.metrics.get("budget", []))

    def _repr_html_(self) -> str:
        if not self.metrics:
            return html_table("penjing run", (), [("folder", self.folder), ("state", "not verified yet")])
        name = self.metrics["primary_metric"]
        models = [
            *((f"baseline: {entry['name']}", entry) for entry in self.metrics.get("baselines", ())),
            *((which, self.metrics[which]) for which in ("reference", "compressed")),
        ]
        rows = [(which, *_figures(entry, name)) for which, entry in models]
        notes = [
            f"{line['limit']}: measured {_number(line['measured'])}, at most {_number(line['value'])}: "
            f"{'holds' if line['holds'] else 'does NOT hold'}"
            for line in self.metrics.get("budget", ())
        ]
        if self.metrics.get("data", {}).get("synthetic"):
            notes.append("The data is synthetic.")
        notes.append(f"report: {self.report}")
        return html_table(f"{self.metrics['domain']}: {self.folder}", ("", name, "interval", "flash"), rows, notes)


def _figures(entry: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    interval = (entry.get("intervals") or {}).get(name) or {}
    low, high, value = interval.get("low"), interval.get("high"), entry["metrics"].get(name)
    return (
        "" if value is None else f"{value:.4f}",
        "" if low is None or high is None else f"{low:.4f} to {high:.4f}",
        f"{entry['flash_bytes']:,} B" if "flash_bytes" in entry else "",
    )


def _number(value: float | None) -> str:
    return "not" if value is None else f"{value:,.4g}" if abs(value) < 1 else f"{value:,.0f}"


def finished_result(folder: RunFolder) -> RunResult:
    """The result of a run that is done, read from its folder."""
    metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
    return RunResult(folder=folder.path, metrics=metrics, report=folder.report, bundle=folder.bundle)
