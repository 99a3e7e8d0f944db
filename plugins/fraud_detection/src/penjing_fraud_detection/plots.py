"""The domain's part of the report: precision against recall, and what each day's alerts found. Plain SVG."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from penjing.contract import ReportSection

WIDTH, HEIGHT, MARGIN = 420, 240, 44
_MODELS = {"baseline": "#999999", "reference": "#4477aa", "compressed": "#cc6677"}
_NAMES = {"baseline": "the best baseline", "reference": "before compression", "compressed": "the file"}


def report_section(metrics: Mapping[str, Any]) -> ReportSection:
    """Two drawings from the content of metrics.json."""
    entries = {"reference": metrics["reference"], "compressed": metrics["compressed"]}
    if metrics["baselines"]:
        entries = {"baseline": metrics["baselines"][0], **entries}
    figures = {model: entry["metrics"] for model, entry in entries.items()}
    curves = {model: _of(values, "precision_at_recall") for model, values in figures.items()}
    days = {
        model: {
            name.removesuffix(" card_precision"): value
            for name, value in _of(values, "by_day").items()
            if name.endswith(" card_precision")
        }
        for model, values in figures.items()
    }
    return ReportSection(
        title="Precision, recall and alerts a day",
        html=(
            _drawing("Precision against recall on the test part", "recall", "precision", curves)
            + _drawing("Of 100 alerted cards a day: defrauded", "day of the test", "share", days)
            + f"<p>{_legend(list(figures))}</p>"
        ),
    )


def _of(values: Mapping[str, Any], metric: str) -> dict[str, float]:
    start = f"{metric}["
    return {
        name[len(start) : -1]: float(value)
        for name, value in values.items()
        if name.startswith(start) and value is not None
    }


def _drawing(title: str, across: str, upwards: str, curves: Mapping[str, Mapping[str, float]]) -> str:
    places = sorted({name for curve in curves.values() for name in curve})
    if not places:
        return ""
    right, bottom = WIDTH - 12, HEIGHT - MARGIN
    step = (right - MARGIN) / max(1, len(places) - 1)
    parts = [f'<text x="{MARGIN}" y="16" font-weight="bold">{html.escape(title)}</text>']
    for tenths in range(0, 11, 2):
        y = bottom - (bottom - 28) * tenths / 10
        parts.append(f'<line x1="{MARGIN}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{tenths / 10:.1f}</text>')
    for index, name in enumerate(places):
        shown = name[5:] if name[:2] == "20" else name
        parts.append(
            f'<text x="{MARGIN + index * step:.1f}" y="{bottom + 16}" text-anchor="middle">{html.escape(shown)}</text>'
        )
    parts.append(f'<text x="{(MARGIN + right) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>')
    parts.append(f'<text x="12" y="{HEIGHT / 2:.0f}" transform="rotate(-90 12 {HEIGHT / 2:.0f})">{upwards}</text>')
    for model, curve in curves.items():
        points = [
            (MARGIN + index * step, bottom - (bottom - 28) * curve[name])
            for index, name in enumerate(places)
            if name in curve
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{_MODELS[model]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_MODELS[model]}"/>' for x, y in points]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}" font-size="11" font-family="sans-serif">{"".join(parts)}</svg>'
    )


def _legend(models: Sequence[str]) -> str:
    return ", ".join(f'<span style="color:{_MODELS[model]}">&#9632;</span> {_NAMES[model]}' for model in models)
