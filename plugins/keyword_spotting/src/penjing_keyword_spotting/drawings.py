"""Drawings of the report: plain SVG in the page's own classes, so that they follow its colours, light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 36, 48
Curve = Sequence[tuple[float, float]]
"""Points (x, y) in order."""


def trade_off(curves: Mapping[str, Curve], marks: Mapping[str, tuple[float, float]], floor: float) -> str:
    """Detection error trade-off: false accepts an hour on a logarithmic axis, share of false rejects upwards.

    Args:
        curves: By model.
        marks: The operating point of some of them.
        floor: Where points without any false accept stand; the axis begins there.
    """
    highest = max((x for curve in curves.values() for x, _ in curve), default=10.0)
    top = 10 ** math.ceil(math.log10(max(highest, 10 * floor)))

    def across(value: float) -> float:
        span = math.log10(top) - math.log10(floor)
        return LEFT + (math.log10(max(value, floor)) - math.log10(floor)) / span * (WIDTH - LEFT - RIGHT)

    parts = [_grid()]
    power = math.ceil(math.log10(floor))
    ticks = [(floor, "0")] if 10.0**power > floor * 1.5 else []
    ticks += [(10.0**exponent, f"{10.0**exponent:g}") for exponent in range(power, round(math.log10(top)) + 1)]
    for value, label in ticks:
        parts.append(
            f'<line class="grid" x1="{across(value):.1f}" x2="{across(value):.1f}" y1="{TOP}" y2="{_y(0):.1f}"/>'
        )
        parts.append(f'<text class="name" x="{across(value):.1f}" y="{_y(0) + 18:.1f}">{label}</text>')
    for number, (name, curve) in enumerate(curves.items()):
        parts.append(_line([(across(x), _y(y)) for x, y in curve if not math.isnan(y)], name, number))
        if name in marks:
            x, y = marks[name]
            parts.append(
                f'<circle class="dot" cx="{across(x):.1f}" cy="{_y(y):.1f}" r="5"><title>{_told(name)}</title></circle>'
            )
    parts.append(_legend(list(curves)))
    parts.append(_axes("false accepts an hour", "words missed"))
    return _svg("False accepts an hour against the share of words missed", parts)


def by_ratio(names: Sequence[str], curves: Mapping[str, Sequence[float | None]], upwards: str) -> str:
    """Shares at each signal-to-noise ratio, one line a model.

    Args:
        names: Of the ratios, from left to right.
        curves: By model, a share for each ratio; None where it is not known.
    """
    step = (WIDTH - LEFT - RIGHT) / max(1, len(names))
    places = [LEFT + (index + 0.5) * step for index in range(len(names))]
    parts = [_grid()]
    for x, name in zip(places, names, strict=True):
        parts.append(f'<text class="name" x="{x:.1f}" y="{_y(0) + 18:.1f}">{html.escape(name)}</text>')
    for number, (name, values) in enumerate(curves.items()):
        points = [(x, _y(y)) for x, y in zip(places, values, strict=True) if y is not None]
        parts.append(_line(points, name, number))
        parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
    parts.append(_legend(list(curves)))
    parts.append(_axes("signal-to-noise ratio", upwards))
    return _svg(f"{upwards} by signal-to-noise ratio", parts)


def pairs(rows: Sequence[tuple[str, float, float, str]]) -> str:
    """Two bars a row, before and after: (name, before, after, what stands behind), shares of 1."""
    pitch, left, room = 34, 110, 150
    scale = WIDTH - left - room
    parts = []
    for number, (name, before, after, note) in enumerate(rows):
        y = 6 + number * pitch
        parts.append(
            f'<text class="tick end" x="{left - 8}" y="{y + 18}">{html.escape(name[:16])}</text>'
            f'<rect class="before" x="{left}" y="{y}" width="{before * scale:.1f}" height="12"/>'
            f'<rect class="bar" x="{left}" y="{y + 13}" width="{after * scale:.1f}" height="12">'
            f"<title>{html.escape(name)}: {before:.3f} before, {after:.3f} after</title></rect>"
            f'<text class="tick" x="{left + scale + 8}" y="{y + 18}">{html.escape(note)}</text>'
        )
    return _svg("Share of each word that is recognised, before and after", parts, height=len(rows) * pitch + 12)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _grid() -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(fifths / 5):.1f}" y2="{_y(fifths / 5):.1f}"/>'
        f'<text class="tick end" x="{LEFT - 6}" y="{_y(fifths / 5) + 4:.1f}">{fifths / 5:.0%}</text>'
        for fifths in range(6)
    )


def _line(points: Sequence[tuple[float, float]], name: str, number: int) -> str:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line series-{number % 4}" points="{text}"><title>{_told(name)}</title></polyline>'


def _legend(names: Sequence[str]) -> str:
    return "".join(
        f'<text class="legend series-{number % 4}" x="{LEFT + 4 + number * 150}" y="20">{_told(name)}</text>'
        for number, name in enumerate(names)
    )


def _axes(across: str, upwards: str) -> str:
    middle = (HEIGHT - BOTTOM + TOP) / 2
    return (
        f'<text class="name" x="{(WIDTH + LEFT) / 2:.0f}" y="{HEIGHT - 8}">{across}</text>'
        f'<text class="name" x="14" y="{middle:.0f}" transform="rotate(-90 14 {middle:.0f})">{upwards}</text>'
    )


def _told(name: str) -> str:
    return html.escape(name if len(name) <= 24 else name[:23] + "…")


def _svg(title: str, parts: Sequence[str], height: int = HEIGHT) -> str:
    return (
        f'<div class="scroll"><svg class="drawing" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg></div>"
    )
