"""The sensitivity analysis as a drawing: a row for each matrix, a column for each change, dark where it hurts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from penjing.contract import ReportSection

_KINDS = {"bits": "bits of the weights", "sparsity": "share of weights zero", "channels": "share of channels zero"}
_NAMES, _CELL, _ROW, _TOP = 190, 62, 24, 48


def sensitivity_section(document: Mapping[str, Any], step: str = "") -> ReportSection:
    """A part of the report.

    Args:
        document: As `Sensitivity.to_json` makes it.
        step: The step that asked for it: "2 prune-weights".
    """
    note = Markup(
        "<p>Each cell is the loss of {} when this matrix alone is changed and nothing is trained, on {:,} validation "
        "examples; unchanged it is {:.4f}. Positive is worse.</p>"
    ).format(document["metric"], document["examples"], document["baseline"])
    title = f"Sensitivity of the layers (step {step})" if step else "Sensitivity of the layers"
    drawing = Markup('<div class="scroll">{}</div>').format(heat(document))
    return ReportSection(title=title, html=str(note + drawing))


def heat(document: Mapping[str, Any]) -> Markup:
    """The drawing alone, as inline SVG."""
    trials = document["trials"]
    rows = [name for name in document["weights"] if any(trial["matrix"] == name for trial in trials)]
    columns = list(dict.fromkeys((trial["kind"], trial["level"]) for trial in trials))
    drops = {(trial["matrix"], trial["kind"], trial["level"]): trial["drop"] for trial in trials}
    worst = max([*drops.values(), 0.0]) or 1.0
    width = _NAMES + _CELL * len(columns) + 10
    height = _TOP + _ROW * len(rows) + 8
    parts = [_heads(columns)]
    for number, name in enumerate(rows):
        y = _TOP + _ROW * number
        label = name if len(name) <= 28 else "…" + name[-27:]
        parts.append(f'<text class="end" x="{_NAMES - 8}" y="{y + 16}">{escape(label)}</text>')
        for index, (kind, level) in enumerate(columns):
            drop = drops.get((name, kind, level))
            if drop is None:
                continue
            x = _NAMES + _CELL * index
            shade = 0.9 * max(0.0, drop) / worst
            parts.append(
                f'<rect class="bar" x="{x}" y="{y}" width="{_CELL - 2}" height="{_ROW - 2}" '
                f'fill-opacity="{shade:.2f}"><title>{escape(name)}, {_KINDS[kind]} {_level(kind, level)}: '
                f"{drop:+.4f}</title></rect>"
                f'<text class="value" x="{x + _CELL / 2 - 1:.0f}" y="{y + 16}">{drop:+.3f}</text>'
            )
    return Markup(
        f'<svg class="drawing" viewBox="0 0 {width} {height}" role="img">'
        f"<title>Loss of {escape(document['metric'])} by weight matrix and change</title>{''.join(parts)}</svg>"
    )


def _heads(columns: Sequence[tuple[str, float]]) -> str:
    parts = []
    for kind, title in _KINDS.items():
        places = [index for index, (of, _) in enumerate(columns) if of == kind]
        if places:
            middle = _NAMES + _CELL * (places[0] + places[-1] + 1) / 2
            parts.append(f'<text class="name" x="{middle:.0f}" y="16">{title if len(places) > 1 else kind}</text>')
    for index, (kind, level) in enumerate(columns):
        x = _NAMES + _CELL * (index + 0.5)
        parts.append(f'<text class="name" x="{x:.0f}" y="38">{_level(kind, level)}</text>')
    return "".join(parts)


def _level(kind: str, level: float) -> str:
    return f"{level:g}" if kind == "bits" else f"{level:.0%}"


def sensitivity_page(document: Mapping[str, Any], title: str) -> str:
    """The section as a page of its own, without script or network."""
    section = sensitivity_section(document)
    return str(
        Markup(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
            "<title>{title} – sensitivity</title><style>{style}</style></head>"
            "<body><main><h1>{title}</h1><h2>{heading}</h2>{html}</main></body></html>\n"
        ).format(title=title, style=Markup(_STYLE), heading=section.title, html=Markup(section.html))
    )


_STYLE = """
:root { color-scheme: light dark; --ink: #1d2521; --paper: #fbfaf6; --bar: #6f9c86; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ece8; --paper: #151a17; --bar: #4d7a64; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem; } .scroll { overflow-x: auto; }
.drawing { width: 100%; min-width: 34rem; height: auto; } .drawing .bar { fill: var(--bar); }
.drawing text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.drawing .value, .drawing .name { text-anchor: middle; } .drawing .end { text-anchor: end; }
"""
