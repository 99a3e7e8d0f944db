"""Line charts as plain SVG, with a band behind the lines. Numpy alone."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COLOURS = ("#4477aa", "#cc6677", "#999933", "#44aa99", "#882255", "#888888")
WIDTH, HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 28, 40


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line; NaN interrupts it."""

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: str


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    across: str,
    upwards: str,
    band: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    from_zero: bool = False,
) -> str:
    """One SVG element.

    Args:
        across: What the x axis counts.
        upwards: What the y axis counts, with its unit.
        band: (x, lower, upper), drawn behind the lines.
        from_zero: Whether the y axis begins at 0.
    """
    xs = np.concatenate([line.x for line in lines] or [np.zeros(1)])
    ys = np.concatenate([line.y for line in lines] + ([band[1], band[2]] if band else []) or [np.zeros(1)])
    ys = ys[np.isfinite(ys)]
    if not len(xs) or not len(ys):
        return ""
    low, high = (0.0 if from_zero else float(ys.min())), float(ys.max())
    if high <= low:
        high = low + 1.0
    left, right = float(xs.min()), float(xs.max())
    if right <= left:
        right = left + 1.0

    def at(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (
            _LEFT + (x - left) / (right - left) * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - (y - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<text x="{_LEFT}" y="16" font-weight="bold">{html.escape(title)}</text>']
    for value in _ticks(low, high):
        _, y = at(np.array(left), np.array(value))
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(left, right):
        x, _ = at(np.array(value), np.array(low))
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(across)}</text>')
    middle = (HEIGHT - _BOTTOM + _TOP) / 2
    parts.append(
        f'<text x="12" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 12 {middle:.0f})">'
        f"{html.escape(upwards)}</text>"
    )
    if band is not None:
        xs, lower = at(band[0], band[1])
        _, upper = at(band[0], band[2])
        outline = [*zip(xs, lower, strict=True), *zip(xs[::-1], upper[::-1], strict=True)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
        parts.append(f'<polygon points="{points}" fill="#cc6677" fill-opacity="0.22"/>')
    for line in lines:
        x, y = at(line.x, line.y)
        for piece in _unbroken(y):
            points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[piece], y[piece], strict=True))
            parts.append(f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="1.6"/>')
    legend = ", ".join(f'<span style="color:{line.colour}">&#9632;</span> {html.escape(line.name)}' for line in lines)
    return (
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{html.escape(title, quote=True)}" font-size="11" font-family="sans-serif">{"".join(parts)}'
        "</svg></div>"
        f'<p class="small">{legend}</p>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers between two."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(next(factor for factor in (1, 2, 5, 10) if factor * power >= rough) * power)
    return [float(f"{value:.10g}") for value in np.arange(np.ceil(low / step) * step, high + step / 1e6, step)]


def _unbroken(y: np.ndarray) -> list[slice]:
    """Stretches without NaN."""
    known = np.concatenate([[False], np.isfinite(y), [False]])
    edges = np.flatnonzero(np.diff(known.astype(int)))
    return [slice(first, stop) for first, stop in zip(edges[::2], edges[1::2], strict=True)]
