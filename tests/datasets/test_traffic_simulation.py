"""The simulated roads: seeded, with a weekly rhythm, queues that travel upstream, incidents and faults."""

from __future__ import annotations

import numpy as np
import pytest

from penjing_datasets.errors import DatasetError
from penjing_datasets.traffic_simulation import SimulatedTraffic, simulate_traffic


@pytest.fixture(scope="module")
def month() -> SimulatedTraffic:
    return simulate_traffic(sensors=24, days=14, seed=2)


def test_the_same_seed_gives_the_same_traffic() -> None:
    one, other = (simulate_traffic(sensors=4, days=1, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.speed, other.speed)
    assert one.sha256 == other.sha256
    assert simulate_traffic(sensors=4, days=1, seed=8).sha256 != one.sha256


def test_speeds_are_those_of_roads(month: SimulatedTraffic) -> None:
    assert month.speed.shape == (14 * 288, 24)
    assert month.speed.dtype == np.float32
    assert month.truth.min() >= 0
    assert 55 < np.median(month.truth) < 72
    assert month.speed.max() <= 85


def slow(month: SimulatedTraffic) -> np.ndarray:
    return month.truth < 40


def test_there_are_queues_by_day_and_none_at_night(month: SimulatedTraffic) -> None:
    hours = np.arange(len(month.truth)) % 288 // 12
    by_hour = np.array([slow(month)[hours == hour].mean() for hour in range(24)])
    assert by_hour[1:5].max() < 0.02
    assert by_hour[[7, 8, 16, 17, 18]].max() > 0.15


def test_working_days_have_more_queues_than_week_ends(month: SimulatedTraffic) -> None:
    weekend = np.arange(len(month.truth)) // 288 % 7 >= 5
    assert slow(month)[~weekend].mean() > 1.3 * slow(month)[weekend].mean()


def test_queues_travel_upstream(month: SimulatedTraffic) -> None:
    """A slowdown is seen at a detector first and later at the one before it, in the direction of travel."""
    places = 12
    earlier = later = 0
    for road in range(2):
        starts = [
            np.flatnonzero(np.diff(slow(month)[:, road * places + place].astype(int)) == 1) for place in range(places)
        ]
        for place in range(places - 1):
            for start in starts[place + 1]:
                near = starts[place][np.abs(starts[place] - start) <= 12]
                if len(near):
                    first = near[np.abs(near - start).argmin()]
                    later += int(first > start)
                    earlier += int(first < start)
    assert later > 3 * earlier
    assert later > 20


def test_detectors_fail_now_and_then(month: SimulatedTraffic) -> None:
    silent = month.speed == 0
    assert 0.001 < silent.mean() < 0.05
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], silent[:, 0].astype(int), [0]]))))[::2]
    assert runs.max(initial=0) >= 1
    equal = (month.speed[1:] == month.speed[:-1]) & (month.speed[1:] > 0)
    stuck = np.lib.stride_tricks.sliding_window_view(equal, 6, axis=0).all(axis=-1)
    assert stuck.any(), "some detector gets stuck for half an hour"
    assert month.incidents > 3


def test_distances_are_symmetric_and_join_the_feeder_to_its_main_road(month: SimulatedTraffic) -> None:
    np.testing.assert_array_equal(month.distances, month.distances.T)
    assert (np.diag(month.distances) == 0).all()
    assert np.isfinite(month.distances).all(), "two roads that meet"
    assert np.isinf(simulate_traffic(sensors=48, days=1).distances).any(), "four roads are two pairs"


def test_too_small_a_network_is_refused() -> None:
    with pytest.raises(DatasetError, match="too few"):
        simulate_traffic(sensors=2, days=1)
