"""What a run leaves behind. Light: a finished run is shown without TensorFlow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
            return f"<p>penjing run in {self.folder}, not verified yet</p>"
        name = self.metrics["primary_metric"]
        rows = "".join(
            f"<tr><th>{which}</th><td>{self.metrics[which]['metrics'][name]:.4f}</td>"
            f"<td>{self.metrics[which]['flash_bytes']:,} B</td></tr>"
            for which in ("reference", "compressed")
        )
        return f"<table><tr><th></th><th>{name}</th><th>flash</th></tr>{rows}</table>"


def finished_result(folder: RunFolder) -> RunResult:
    """The result of a run that is done, read from its folder."""
    metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
    return RunResult(folder=folder.path, metrics=metrics, report=folder.report, bundle=folder.bundle)
