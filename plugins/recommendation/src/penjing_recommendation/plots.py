"""The domain's part of the report: who is served, by how much of the history, and which baselines were left out."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penjing.contract import Evaluation, ReportSection
from penjing_recommendation.beyond_accuracy import popularity_tenth

WIDTH, HEIGHT, LEFT, BOTTOM = 460, 250, 48, 44
COLOURS = ("#cc6677", "#4477aa", "#888888")
_TOP = 30


def report_section(metrics: Mapping[str, Any], evaluation: Evaluation) -> ReportSection:
    """Two drawings and a few sentences from the content of metrics.json and the test part."""
    models = {"the file": metrics["compressed"], "before compression": metrics["reference"]}
    baselines = [entry for entry in metrics.get("baselines") or [] if entry.get("metrics")]
    if baselines:
        models[_short(baselines[0]["name"])] = baselines[0]
    figures = {name: entry["metrics"] for name, entry in models.items()}
    splits = evaluation.splits
    tenths = popularity_tenth(np.asarray(splits.test.y)[:, 0], len(splits.extra["counts"]))
    sizes = [int((tenths == number).sum()) for number in range(1, 11)]
    by_tenth = {
        name: [_value(values, f"hit_rate_by_popularity[tenth {number}]") for number in range(1, 11)]
        for name, values in figures.items()
    }
    lasts = [key for key in figures["the file"] if key.startswith("recency_curve[")]
    curves = {name: [_value(values, key) for key in lasts] for name, values in figures.items()}
    names = [key.removeprefix("recency_curve[last ").removesuffix("]") for key in lasts]
    protocol = html.escape(str(splits.extra["protocol"]))
    return ReportSection(
        title="Who is served, and by what",
        html=(
            f"<p>Protocol: {protocol}, full ranking: every item of the catalogue of {len(splits.extra['counts']):,} "
            "but those in the user's history. A figure of another protocol, or of a sample of the items, does not "
            "compare.</p>"
            + _bars(
                "Hit rate at 10 by popularity of the right item",
                "tenth of the catalogue, the most popular first; below it test examples",
                by_tenth,
                sizes,
            )
            + _lines("NDCG at 10 when only the newest items are seen", "newest items", curves, names)
            + f"<p>{_legend(list(figures))}</p>"
            + _sentences(figures["the file"], [entry["name"] for entry in baselines])
        ),
    )


def _short(name: str) -> str:
    return name.partition(",")[0]


def _value(values: Mapping[str, Any], key: str) -> float:
    found = values.get(key)
    return float("nan") if found is None else float(found)


def _sentences(values: Mapping[str, Any], baselines: Sequence[str]) -> str:
    def of(key: str) -> float:
        return _value(values, f"beyond_accuracy[{key}]")

    said = [
        f"The first ten recommendations of all test examples show {of('coverage_at_10'):.1%} of the catalogue; what is "
        f"shown was taken {of('popularity_at_10'):,.0f} times in training on average, "
        f"{abs(of('popularity_lift_at_10')):.0%} {'more' if of('popularity_lift_at_10') > 0 else 'less'} than what the "
        "users had taken themselves."
    ]
    if of("unseen_targets") > 0:
        said.append(f"{of('unseen_targets'):.1%} of the right items do not occur in training; each is a miss.")
    if of("short_lists") > 0:
        said.append(f"For {of('short_lists'):.1%} of the examples fewer than ten items remained in the file's list.")
    if not any(name.startswith("implicit ALS") for name in baselines):
        said.append("The baseline of alternating least squares is missing: the library implicit is not installed.")
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in said)


class _Frame:
    """Axes of a drawing; heights are shares of `top`."""

    def __init__(self, title: str, across: str, values: Mapping[str, Sequence[float]], places: int) -> None:
        finite = [value for row in values.values() for value in row if np.isfinite(value)]
        self.top = max([1e-3, *finite]) * 1.1
        self.step = (WIDTH - LEFT - 12) / max(1, places)
        self.bottom = HEIGHT - BOTTOM
        self.parts = [f'<text x="{LEFT}" y="16" font-weight="bold">{html.escape(title)}</text>']
        for quarter in range(5):
            y = self.y(self.top * quarter / 4)
            self.parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
            self.parts.append(
                f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{self.top * quarter / 4:.3f}</text>'
            )
        self.parts.append(
            f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(across)}</text>'
        )
        self.title = title

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - _TOP) * value / self.top

    def x(self, place: float) -> float:
        return LEFT + self.step * place

    def label(self, place: int, text: str, row: int = 0) -> None:
        self.parts.append(
            f'<text x="{self.x(place + 0.5):.1f}" y="{self.bottom + 14 + 11 * row}" text-anchor="middle" '
            f'fill="{"#777777" if row else "#000000"}">{html.escape(text)}</text>'
        )

    def svg(self) -> str:
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
            f'aria-label="{html.escape(self.title)}" font-size="10" font-family="sans-serif">'
            f"{''.join(self.parts)}</svg>"
        )


def _bars(title: str, across: str, values: Mapping[str, Sequence[float]], sizes: Sequence[int]) -> str:
    frame = _Frame(title, across, values, len(sizes))
    width = frame.step * 0.8 / len(values)
    for index, row in enumerate(values.values()):
        for place, value in enumerate(row):
            if np.isfinite(value):
                x = frame.x(place + 0.1) + index * width
                frame.parts.append(
                    f'<rect x="{x:.1f}" y="{frame.y(value):.1f}" width="{width:.1f}" '
                    f'height="{max(0.0, frame.bottom - frame.y(value)):.1f}" fill="{COLOURS[index]}"/>'
                )
    for place, size in enumerate(sizes):
        frame.label(place, str(place + 1))
        frame.label(place, f"n {size:,}", row=1)
    return frame.svg()


def _lines(title: str, across: str, curves: Mapping[str, Sequence[float]], names: Sequence[str]) -> str:
    frame = _Frame(title, across, curves, len(names))
    for index, row in enumerate(curves.values()):
        points = [(frame.x(place + 0.5), frame.y(value)) for place, value in enumerate(row) if np.isfinite(value)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        frame.parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[index]}" stroke-width="2"/>')
        frame.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{COLOURS[index]}"/>' for x, y in points]
    for place, name in enumerate(names):
        frame.label(place, name)
    return frame.svg()


def _legend(models: Sequence[str]) -> str:
    return ", ".join(
        f'<span style="color:{colour}">&#9632;</span> {html.escape(name)}'
        for name, colour in zip(models, COLOURS, strict=False)
    )
