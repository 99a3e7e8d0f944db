"""A picture of forecasts: what was measured, what is forecast, and the band. Needs matplotlib, off the device's
path."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from penjing.errors import MissingExtraError, UsageError
from penjing_traffic_forecasting.forecasts import HIGH, LOW, MEAN
from penjing_traffic_forecasting.series import time_text

if TYPE_CHECKING:
    from penjing_traffic_forecasting.predict import Forecast

MOST_PANELS = 24
"""Sensors of one picture; of more, those that are forecast to change most."""
FORMATS = (".png", ".svg", ".pdf")


def write_plot(path: Path, forecasts: Sequence[Forecast], wanted: Sequence[str]) -> None:
    """One panel a sensor. The file appears whole or not at all.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: The ending is unknown, or there is no such folder.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot cannot write '{path.suffix}'", hint=f"end the name in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError("there is no such folder", where=str(path.parent))
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "drawing needs matplotlib", hint="pip install 'penjing-traffic-forecasting[plot]'"
        ) from error
    panels = _panels(forecasts, wanted)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 2.7 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (forecast, place) in enumerate(panels, start=1):
        _draw(figure.add_subplot(rows, columns, number), forecast, place)
    total = sum(len(forecast.sensors) for forecast in forecasts)
    first = forecasts[0]
    title = f"{first.quantity}, forecast from {time_text(first.seconds, dated=first.dated)} on"
    if len(panels) < total and not wanted:
        title += f"; {len(panels)} of {total:,} sensors, those that change most"
    figure.suptitle(title, fontsize=11)
    written = BytesIO()
    figure.savefig(written, format=path.suffix[1:].lower(), dpi=110)
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(written.getvalue())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _panels(forecasts: Sequence[Forecast], wanted: Sequence[str]) -> list[tuple[Forecast, int]]:
    every = [
        (forecast, place)
        for forecast in forecasts
        for place, sensor in enumerate(forecast.sensors)
        if not wanted or sensor in wanted
    ]
    if wanted or len(every) <= MOST_PANELS:
        return every[: 4 * MOST_PANELS]

    def change(panel: tuple[Forecast, int]) -> float:
        forecast, place = panel
        return -float(np.nan_to_num(np.ptp(forecast.values[place, MEAN])))

    return sorted(every, key=change)[:MOST_PANELS]


def _draw(axes: Any, forecast: Forecast, place: int) -> None:
    step = forecast.step_seconds / 60
    history = len(forecast.recent)
    past = (np.arange(history) - (history - 1)) * step
    ahead = np.arange(1, forecast.values.shape[2] + 1) * step
    mean, low, high = (forecast.values[place, kind] for kind in (MEAN, LOW, HIGH))
    axes.plot(past, forecast.recent[:, place], color="#222222", marker=".", markersize=3, linewidth=1.2)
    axes.fill_between(ahead, low, high, color="#cc6677", alpha=0.25, linewidth=0)
    axes.plot(ahead, mean, color="#cc6677", linewidth=1.6)
    axes.axvline(0, color="#bbbbbb", linewidth=0.8)
    axes.set_ylim(bottom=0)
    basis = forecast.rests_on[place]
    axes.set_title(forecast.sensors[place] + ("" if basis == "network" else f"  ({basis})"), fontsize=9)
    axes.set_xlabel("minutes", fontsize=8)
    axes.tick_params(labelsize=8)
