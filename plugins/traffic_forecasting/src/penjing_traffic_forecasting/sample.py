"""The built-in sample as a series: simulated roads, read as if they came from a file."""

from __future__ import annotations

import numpy as np

from penjing_datasets.traffic_simulation import START, STEP_SECONDS, simulate_traffic
from penjing_traffic_forecasting.adjacency import THRESHOLD
from penjing_traffic_forecasting.repairs import repair
from penjing_traffic_forecasting.series import SensorSeries


def sample_series(*, sensors: int, days: int, seed: int) -> SensorSeries:
    """Speeds of simulated roads; see `penjing_datasets.traffic_simulation`."""
    simulated = simulate_traffic(sensors=sensors, days=days, seed=seed)
    values, largest, notes = repair(simulated.speed, zero_is_missing=True, largest=0.0)
    near = simulated.distances[np.isfinite(simulated.distances) & (simulated.distances > 0)]
    weights = np.exp(-np.square(simulated.distances / near.std()))
    return SensorSeries(
        values=values,
        sensors=simulated.sensors,
        step_seconds=STEP_SECONDS,
        start=START,
        quantity="speed (mph)",
        zero_is_missing=True,
        largest=largest,
        adjacency=np.where(weights >= THRESHOLD, weights, 0.0).astype(np.float32),
        source=f"built-in sample, {sensors:,} simulated detectors over {days:,} days",
        sha256=simulated.sha256,
        notes=(f"simulated roads with {simulated.incidents:,} incidents and detector faults; not real traffic", *notes),
        synthetic=True,
    )
