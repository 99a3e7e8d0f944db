"""The order in which a network gives its forecasts: along the third axis of (n, sensors, 4, steps)."""

from __future__ import annotations

MEAN, LOW, MEDIAN, HIGH = range(4)
QUANTILES = {LOW: 0.1, MEDIAN: 0.5, HIGH: 0.9}
"""Level of each quantile by its place."""
OUTPUTS = 4
