"""Sensors that move before others are found in the training part, and in it alone."""

from __future__ import annotations

import numpy as np
import pytest

from penjing_traffic_forecasting.leaders import leaders


def followers(steps: int = 1_500, lag: int = 6, sensors: int = 8) -> np.ndarray:
    """Slow random walks; sensor 0 does what sensor 3 did `lag` steps before, sensor 1 what sensor 4 did."""
    generator = np.random.default_rng(0)
    values = 50 + np.cumsum(generator.normal(0, 0.5, (steps, sensors)), axis=0)
    for follower, leader in ((0, 3), (1, 4)):
        values[lag:, follower] = values[:-lag, leader] + generator.normal(0, 0.2, steps - lag)
    return values.astype(np.float32)


def test_the_leader_of_each_follower_is_found() -> None:
    found = leaders(followers(), 300, 2)
    assert found.shape == (8, 2) and found.dtype == np.int32
    assert (found[0, 0], found[1, 0]) == (3, 4)
    assert all(sensor not in found[sensor] for sensor in range(8))
    # The follower does not lead.
    assert found[3, 0] != 0 and found[4, 0] != 1


def test_half_an_hour_is_as_many_steps_as_the_data_has_in_it() -> None:
    assert leaders(followers(lag=2), 900, 1)[0, 0] == 3


def test_missing_values_and_stuck_sensors_lead_nobody_astray() -> None:
    values = followers()
    values[np.random.default_rng(1).random(values.shape) < 0.1] = np.nan
    values[:, 7] = np.nan
    values[:, 6] = 42
    found = leaders(values, 300, 2)
    assert (found[0, 0], found[1, 0]) == (3, 4)
    assert not {6, 7} & set(found[:2, 0].tolist())


@pytest.mark.parametrize(("steps", "sensors"), [(100, 8), (1_500, 2)])
def test_too_little_to_tell_gives_none(steps: int, sensors: int) -> None:
    assert leaders(followers(1_500)[:steps, :sensors], 300, 2) is None
