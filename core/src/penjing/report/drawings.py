"""Inline SVG drawings for the report, in the page's own colours, each with a title for those who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 24, 44


def size_and_metric(names: Sequence[str], flash_bytes: Sequence[int], values: Sequence[float], metric: str) -> Markup:
    """Two small charts under each other: bytes per step as bars, the metric on the validation part as a line."""
    bars = _Frame(len(names), 0, max(flash_bytes) * 1.1, f"{_short(max(flash_bytes))}B")
    parts = [bars.axis([f"{_short(v)}B" for v in (0, max(flash_bytes))], [0, max(flash_bytes)])]
    for index, size in enumerate(flash_bytes):
        x, y = bars.x(index), bars.y(size)
        width = bars.slot * 0.5
        parts.append(
            f'<rect class="bar" x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{bars.floor - y:.1f}"><title>{escape(names[index])}: {size:,} bytes</title></rect>'
            f'<text class="value" x="{x:.1f}" y="{y - 6:.1f}">{size:,}</text>'
        )
    parts.append(bars.names(names))
    first = _svg("Flash bytes after each step", parts)
    low, high = min(values), max(values)
    margin = max((high - low) * 0.25, 0.005)
    line = _Frame(len(names), low - margin, high + margin, metric)
    points = " ".join(f"{line.x(i):.1f},{line.y(v):.1f}" for i, v in enumerate(values))
    parts = [
        line.axis([f"{v:.3f}" for v in (low, high)] if high > low else [f"{low:.3f}"], [low, high]),
        f'<polyline class="line" points="{points}"/>',
    ]
    for index, value in enumerate(values):
        # In a valley the line would run through a number above its dot.
        around = values[max(0, index - 1) : index + 2]
        in_valley = value == min(around) < max(around)
        parts.append(
            f'<circle class="dot" cx="{line.x(index):.1f}" cy="{line.y(value):.1f}" r="4">'
            f"<title>{escape(names[index])}: {value:.4f}</title></circle>"
            f'<text class="value" x="{line.x(index):.1f}" y="{line.y(value) + (20 if in_valley else -10):.1f}">'
            f"{value:.4f}</text>"
        )
    parts.append(line.names(names))
    second = _svg(f"{metric} on the validation part after each step", parts)
    return Markup("{}{}").format(first, second)


def curves(history: Mapping[str, Sequence[float]], title: str) -> Markup:
    """Training curves, each scaled to its own range, since loss and metric have nothing in common."""
    drawn = [(name, list(values)) for name, values in history.items() if len(values) > 1]
    if not drawn:
        return Markup("")
    parts = []
    for number, (name, values) in enumerate(drawn):
        low, high = min(values), max(values)
        frame = _Frame(len(values), low, high if high > low else low + 1, name)
        points = " ".join(f"{frame.x(i):.1f},{frame.y(v):.1f}" for i, v in enumerate(values))
        parts.append(f'<polyline class="line series-{number % 4}" points="{points}"/>')
        parts.append(
            f'<text class="legend series-{number % 4}" x="{_LEFT + 4 + number * 280}" y="16">'
            f"{escape(name)}: {values[0]:.4f} to {values[-1]:.4f}</text>"
        )
    epochs = len(drawn[0][1])
    parts.append(
        f'<text class="tick" x="{_LEFT}" y="{_HEIGHT - 24}">epoch 1</text>'
        f'<text class="tick end" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 24}">epoch {epochs}</text>'
    )
    return _svg(title, parts)


def before_and_after(rows: Sequence[tuple[str, float, float]], unit: str) -> Markup:
    """What is left of each layer: a light bar for before, a dark one on it for after.

    Args:
        rows: (layer, before, after), in the model's order.
    """
    pitch, left = 22, 190
    most = max(before for _, before, _ in rows) or 1.0
    scale = (_WIDTH - left - 110) / most
    parts = []
    for number, (name, before, after) in enumerate(rows):
        y = 8 + number * pitch
        parts.append(
            f'<text class="tick end" x="{left - 8}" y="{y + 13}">{escape(_clipped(name, 26))}</text>'
            f'<rect class="before" x="{left}" y="{y}" width="{before * scale:.1f}" height="16"/>'
            f'<rect class="bar" x="{left}" y="{y}" width="{after * scale:.1f}" height="16">'
            f"<title>{escape(name)}: {before:,g} to {after:,g} {escape(unit)}</title></rect>"
            f'<text class="tick" x="{left + before * scale + 6:.1f}" y="{y + 13}">{after:,g} of {before:,g}</text>'
        )
    return _svg(f"{unit} of each layer, before and after", parts, height=len(rows) * pitch + 16)


def difference_bar(estimate: float, low: float, high: float, limit: float | None) -> Markup:
    """An interval of a difference as a bar, with zero and, where there is one, the limit."""
    marks = [0.0, low, high, *([limit] if limit is not None else [])]
    span = max(marks) - min(marks) or 0.01
    start, end = min(marks) - 0.15 * span, max(marks) + 0.15 * span

    def x(value: float) -> float:
        return 10 + (value - start) / (end - start) * (_WIDTH - 20)

    parts = [
        f'<line class="axis" x1="10" x2="{_WIDTH - 10}" y1="40" y2="40"/>',
        f'<rect class="interval" x="{x(low):.1f}" y="32" width="{max(2.0, x(high) - x(low)):.1f}" height="16"/>',
        f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="28" y2="62"/>',
        f'<text class="value" x="{x(0):.1f}" y="76">no change</text>',
        f'<circle class="dot" cx="{x(estimate):.1f}" cy="40" r="5"/>',
        f'<text class="value" x="{x(estimate):.1f}" y="24">{estimate:+.4f}</text>',
    ]
    if limit is not None:
        parts.append(
            f'<line class="limit" x1="{x(limit):.1f}" x2="{x(limit):.1f}" y1="28" y2="62"/>'
            f'<text class="value" x="{x(limit):.1f}" y="92">limit {limit:+.4f}</text>'
        )
    return _svg(f"Difference {estimate:+.4f}, interval {low:+.4f} to {high:+.4f}", parts, height=100)


class _Frame:
    """Maps positions 0..n-1 and values low..high to the drawing's area."""

    def __init__(self, count: int, low: float, high: float, label: str) -> None:
        self.low, self.high = low, high
        self.count = count
        self.slot = (_WIDTH - _LEFT - _RIGHT) / max(1, count)
        self.floor = _HEIGHT - _BOTTOM
        self.label = label

    def x(self, index: float) -> float:
        return _LEFT + (index + 0.5) * self.slot

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.floor - share * (self.floor - _TOP)

    def axis(self, labels: Sequence[str], values: Sequence[float]) -> str:
        parts = []
        for label, value in zip(labels, values, strict=False):
            y = self.y(value)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="tick end" x="{_LEFT - 6}" y="{y + 4:.1f}">{escape(label)}</text>'
            )
        return "".join(parts)

    def names(self, names: Sequence[str]) -> str:
        return "".join(
            f'<text class="name" x="{self.x(index):.1f}" y="{self.floor + 20}">{escape(_clipped(name))}</text>'
            for index, name in enumerate(names)
        )


def _clipped(name: str, length: int = 18) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _short(value: float) -> str:
    return f"{value / 1000:.0f} k" if value >= 1000 else f"{value:.0f} "


def _svg(title: str, parts: Sequence[str], height: int = _HEIGHT) -> Markup:
    return Markup(
        f'<svg class="drawing" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
