"""report.html: everything about a run on one page that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penjing.contract import LayerChange, ReportSection
from penjing.errors import MissingExtraError
from penjing.report import wording


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """A row of the table of steps; number 0 is the reference."""

    number: int
    technique: str
    summary: str
    flash_bytes: int
    validation: float
    """The primary metric on the validation part."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """All that the page shows."""

    title: str
    summary: str
    metrics: Mapping[str, Any]
    """The content of metrics.json."""
    steps: tuple[StepRow, ...]
    labels: Sequence[str] = ()
    confusion_reference: Sequence[Sequence[int]] | None = None
    """Counts by (true class, decided class)."""
    confusion_compressed: Sequence[Sequence[int]] | None = None
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    layers: Mapping[str, Sequence[LayerChange]] = field(default_factory=dict)
    sections: tuple[tuple[str, ReportSection], ...] = ()
    """(whose it is, the section)."""
    recipe_toml: str = ""
    intended_use: str = ""


def render_report(report: ReportInput) -> str:
    """The page as HTML.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        import jinja2
        from markupsafe import Markup

        from penjing.report import drawings
    except ImportError as error:
        raise MissingExtraError(
            "the report needs Jinja2", why=str(error), hint="pip install 'penjing[compress]'"
        ) from error

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("penjing.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    metrics = report.metrics
    name = metrics["primary_metric"]
    within, verdict = wording.verdict(metrics)
    entry = metrics["difference"].get(name)
    limits = {line["limit"]: line["value"] for line in metrics["budget"]}
    difference = None
    if entry and entry["low"] is not None:
        limit = limits.get("drop")
        if limit is not None and metrics["directions"][name] == "higher":
            limit = -limit
        difference = drawings.difference_bar(entry["estimate"], entry["low"], entry["high"], limit)
    matrices = [
        (title, _heat(matrix))
        for title, matrix in (
            ("Reference", report.confusion_reference),
            ("Compressed", report.confusion_compressed),
        )
        if matrix is not None
    ]
    return environment.get_template("report.html").render(
        report=report,
        metrics=metrics,
        wording=wording,
        baseline=wording.best_baseline(metrics),
        within=within,
        verdict=verdict,
        cost=wording.cost(metrics),
        latency_line=wording.latency_line(metrics),
        warning=wording.against_baseline(metrics),
        difference=difference,
        steps_drawing=drawings.size_and_metric(
            [row.technique for row in report.steps],
            [row.flash_bytes for row in report.steps],
            [row.validation for row in report.steps],
            name,
        ),
        changes={title: _drawn_changes(rows) for title, rows in report.layers.items()},
        curves={title: drawings.curves(history, title) for title, history in report.curves.items()},
        matrices=matrices,
        sections=[(whose, section.title, Markup(section.html)) for whose, section in report.sections],
    )


MOST_BARS = 120
"""A drawing with more bars is no picture any more; the table below it has them all."""


def _drawn_changes(rows: Sequence[LayerChange]) -> Any:
    from penjing.report import drawings

    counted = [(row.layer, row.before, row.after) for row in rows if row.before is not None and row.after is not None]
    if not counted or len(counted) > MOST_BARS:
        return None
    return drawings.before_and_after(counted, next(row.unit for row in rows if row.before is not None))


def _heat(matrix: Sequence[Sequence[int]]) -> list[list[tuple[int, int]]]:
    """(count, shade 0 to 9) of each cell; the shade is the share of its row, so that rare classes show too."""
    rows = []
    for row in matrix:
        total = sum(row) or 1
        rows.append([(count, min(9, round(9 * count / total))) for count in row])
    return rows
