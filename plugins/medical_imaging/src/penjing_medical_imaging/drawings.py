"""Curves as plain SVG."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, MARGIN, TOP = 360, 320, 44, 28
COLOURS = {"before compression": "#4477aa", "the file": "#cc6677"}
Points = Sequence[tuple[float, float]]


def unit_square(
    title: str,
    across: str,
    upwards: str,
    curves: Mapping[str, Points],
    *,
    diagonal: bool = True,
    marks: Mapping[str, tuple[float, float]] | None = None,
    dots: bool = False,
) -> str:
    """Curves over 0 to 1 both ways.

    Args:
        curves: Points (x, y) by name; the names are keys of `COLOURS`.
        marks: A point to ring, by the curve's name.
        dots: Whether each point is drawn.
    """
    right, bottom = WIDTH - 12, HEIGHT - MARGIN

    def place(x: float, y: float) -> tuple[float, float]:
        return MARGIN + (right - MARGIN) * x, bottom - (bottom - TOP) * y

    parts = [f'<text x="{MARGIN}" y="16" font-weight="bold">{html.escape(title)}</text>']
    for fifths in range(6):
        value = fifths / 5
        x, y = place(value, value)
        parts.append(f'<line x1="{MARGIN}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{value:.1f}</text>')
    if diagonal:
        (x0, y0), (x1, y1) = place(0, 0), place(1, 1)
        parts.append(f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#999999" stroke-dasharray="4 3"/>')
    parts.append(
        f'<text x="{(MARGIN + right) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(across)}</text>'
    )
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text x="12" y="{middle:.0f}" transform="rotate(-90 12 {middle:.0f})" text-anchor="middle">'
        f"{html.escape(upwards)}</text>"
    )
    for name, points in curves.items():
        drawn = [place(x, y) for x, y in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        if dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{COLOURS[name]}"/>' for x, y in drawn]
    for name, point in (marks or {}).items():
        x, y = place(*point)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}" font-size="11" font-family="sans-serif" fill="currentColor">'
        f"{''.join(parts)}</svg>"
    )


def legend() -> str:
    """What the colours mean."""
    return ", ".join(f'<span style="color:{colour}">&#9632;</span> {name}' for name, colour in COLOURS.items())
