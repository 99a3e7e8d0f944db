"""What a run leaves behind. Light: a finished run is shown without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penjing.html_table import html_table
from penjing.report import wording
from penjing.runner.folder import RunFolder

COLUMNS = ("95 % interval", "flash", "arena", "MACs", "latency p50")
"""Of what a notebook shows of a run, after the model and its primary metric."""


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
        metrics = self.metrics
        name = metrics["primary_metric"]
        models = [
            *((f"baseline: {entry['name']}", entry) for entry in metrics["baselines"]),
            *((which, metrics[which]) for which in ("reference", "compressed")),
        ]
        rows = [(which, *_figures(entry, name)) for which, entry in models]
        return html_table(f"{metrics['domain']}: {self.folder}", ("", name, *COLUMNS), rows, [*self._notes()])

    def _notes(self) -> Iterator[str]:
        """The sentences that end a run in the terminal, too."""
        metrics, data = self.metrics, self.metrics["data"]
        yield f"Data: {data['source']}{', SYNTHETIC' if data['synthetic'] else ''}; seed {metrics['seed']}."
        yield f"Difference: {wording.cost(metrics)}."
        for line in metrics["budget"]:
            note = f" ({line['note']})" if line["note"] else ""
            yield f"Budget: {wording.budget_line(line)}: {'holds' if line['holds'] else 'does NOT hold'}{note}."
        warning = wording.against_baseline(metrics)
        if warning:
            yield f"{warning}."
        yield f"{wording.verdict(metrics)[1]}; {wording.times_smaller(metrics)}."
        if self.report is not None:
            yield f"Report: {self.report}"


def _figures(entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Cells below `COLUMNS`; a baseline has no file, whose figures stay empty."""
    interval = entry["intervals"].get(name) or {}
    low, high = interval.get("low"), interval.get("high")
    latency = entry.get("latency_us")
    return (
        wording.metric_value(entry["metrics"].get(name)),
        "" if low is None or high is None else f"{wording.metric_value(low)} to {wording.metric_value(high)}",
        *(wording.in_unit(key, entry[key]) if key in entry else "" for key in ("flash_bytes", "arena_bytes", "macs")),
        wording.in_unit("latency_us", latency["p50"]) if latency else "",
    )


def finished_result(folder: RunFolder) -> RunResult:
    """The result of a run that is done, read from its folder."""
    metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
    return RunResult(folder=folder.path, metrics=metrics, report=folder.report, bundle=folder.bundle)
