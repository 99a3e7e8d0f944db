"""Several finished runs beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penjing.errors import UsageError
from penjing.html_table import html_table
from penjing.runner.folder import RunFolder
from penjing.runner.result import RunResult

COLUMNS = ("run", "recipe", "metric", "value", "interval", "flash", "arena", "latency p50", "within budget")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Finished runs beside each other, in the order in which they were given."""

    runs: tuple[RunResult, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What keeps the figures from being held against each other."""
        found = []
        for what, values in (
            ("data", {run.metrics["data"]["sha256"] for run in self.runs}),
            ("domains", {run.metrics["domain"] for run in self.runs}),
            ("primary metrics", {run.metrics["primary_metric"] for run in self.runs}),
            ("machines, so that latencies differ", {json.dumps(run.metrics.get("machine")) for run in self.runs}),
        ):
            if len(values) > 1:
                found.append(f"The runs have different {what}.")
        return tuple(found)

    def rows(self) -> list[tuple[str, ...]]:
        """A row of text for each run, under `COLUMNS`; figures are those of the compressed file on the test part."""
        return [_row(run) for run in self.runs]

    def to_json(self) -> list[dict[str, Any]]:
        """Figures by run, as JSON values."""
        return [
            {
                "run": str(run.folder),
                "domain": run.metrics["domain"],
                "recipe": run.metrics["recipe"]["name"],
                "seed": run.metrics["seed"],
                "metric": run.metrics["primary_metric"],
                "value": run.metrics["compressed"]["metrics"][run.metrics["primary_metric"]],
                "interval": run.metrics["compressed"]["intervals"].get(run.metrics["primary_metric"]),
                "flash_bytes": run.metrics["compressed"]["flash_bytes"],
                "arena_bytes": run.metrics["compressed"]["arena_bytes"],
                "latency_us": run.metrics["compressed"]["latency_us"]["p50"],
                "within_budget": run.within_budget,
            }
            for run in self.runs
        ]

    def _repr_html_(self) -> str:
        return html_table("penjing runs", COLUMNS, self.rows(), self.notes)


def compare_runs(folders: Sequence[str | Path]) -> Comparison:
    """Hold finished runs beside each other.

    Raises:
        UsageError: A folder holds no finished run.
    """
    runs = []
    for given in folders:
        folder = RunFolder(Path(given))
        try:
            metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                "there is no finished run",
                where=str(given),
                why=str(error),
                hint="give folders like runs/DOMAIN/default",
            ) from error
        runs.append(RunResult(folder=folder.path, metrics=metrics, report=folder.report, bundle=folder.bundle))
    return Comparison(runs=tuple(runs))


def _row(run: RunResult) -> tuple[str, ...]:
    entry, name = run.metrics["compressed"], run.metrics["primary_metric"]
    interval = entry["intervals"].get(name) or {}
    low, high = interval.get("low"), interval.get("high")
    value, arena = entry["metrics"][name], entry["arena_bytes"]
    return (
        str(run.folder),
        run.metrics["recipe"]["name"],
        name,
        "" if value is None else f"{value:.4f}",
        "" if low is None or high is None else f"{low:.4f} to {high:.4f}",
        f"{entry['flash_bytes']:,} B",
        "not measured" if arena is None else f"{arena:,} B",
        f"{entry['latency_us']['p50']:,.0f} us",
        "yes" if run.within_budget else "no",
    )
