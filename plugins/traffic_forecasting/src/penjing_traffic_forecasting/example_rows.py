"""Rows that `predict` can be tried on: of simulated roads."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

from penjing_datasets.traffic_simulation import START, STEP_SECONDS, simulate_traffic

STEPS = 24


def write_example(folder: Path, seed: int) -> list[str]:
    """The last two hours of a simulated day as a CSV file, a column a detector, and its path."""
    roads = simulate_traffic(days=1, seed=seed)
    first = len(roads.speed) - STEPS
    path = folder / "recent.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *roads.sensors])
        for step in range(first, len(roads.speed)):
            seconds = START + step * STEP_SECONDS
            moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
            writer.writerow([moment, *(f"{value:.2f}" for value in roads.speed[step])])
    return [str(path)]
