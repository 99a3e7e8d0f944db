"""The built-in sample of traffic forecasting: speeds on simulated roads, with queues that travel upstream.

A cell transmission model (Daganzo 1994, "The cell transmission model: a dynamic representation of highway traffic
consistent with the hydrodynamic theory"; 1995, part II, for merges). A road is a row of cells; in a step, what flows
from a cell to the next is the least of what the one can send and the other can take, so a queue begins at a bottleneck
and grows against the direction of travel. Roads come in pairs: a main road, and a feeder that merges into its middle.

Demand has a morning and an evening peak on working days and one flat hump on week-ends, and differs from day to day.
Incidents take part of a cell's capacity for a while. Detectors fail: some go silent and report 0, some get stuck.

Days are simulated side by side, each from an hour before its midnight on; so a month takes a second or two.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from penjing_datasets.errors import DatasetError

STEP_SECONDS = 300
"""Distance of the measurements."""
START = 1_704_067_200
"""2024-01-01 00:00, a Monday, in seconds since 1970."""
_TICK = 30.0  # seconds of a step of the simulation
_FREE_SPEED = 100.0  # km/h
_CELL = _FREE_SPEED * _TICK / 3600  # km, so that free traffic crosses one cell a tick
_WAVE = 20.0  # km/h, how fast a queue grows upstream
_LANES = 3
_CAPACITY = 2_000.0 * _LANES  # vehicles an hour
_JAM = _CAPACITY / _FREE_SPEED + _CAPACITY / _WAVE  # vehicles a km
_PRIORITY = 0.7  # of the main road where two streams merge
_DEMAND = 0.68  # of capacity, at the height of a peak
_CELLS_A_SENSOR = 2
_SPIN_UP = 3600.0  # seconds before midnight that are simulated and dropped
_KM_PER_MILE = 1.609344
_SENSORS_A_ROAD = 12


@dataclass(frozen=True, kw_only=True)
class SimulatedTraffic:
    """What the detectors of the simulated roads reported."""

    speed: np.ndarray
    """float32 of shape (steps, sensors), mph; 0 where a detector was silent."""
    truth: np.ndarray
    """float32 of shape (steps, sensors), mph: the speeds without noise and faults."""
    sensors: tuple[str, ...]
    """'A03': the road and the place on it, counted in the direction of travel."""
    distances: np.ndarray
    """float32 of shape (sensors, sensors), km by road in either direction; infinite between roads that do not meet."""
    incidents: int
    """How many there were."""

    @property
    def sha256(self) -> str:
        """Hash of what was reported."""
        return hashlib.sha256(np.ascontiguousarray(self.speed).tobytes()).hexdigest()


def simulate_traffic(*, sensors: int = 48, days: int = 28, seed: int = 0) -> SimulatedTraffic:
    """Simulate roads from Monday, 2024-01-01, on.

    Args:
        sensors: How many detectors; a road has up to 12.
        days: How many days.

    Raises:
        DatasetError: There are fewer than 4 sensors or no days.
    """
    if sensors < 4 or days < 1:
        raise DatasetError(f"{sensors} sensors over {days} days are too few", hint="at least 4 sensors and a day")
    generator = np.random.default_rng(seed)
    roads = max(2, 2 * round(sensors / _SENSORS_A_ROAD / 2))
    places = -(-sensors // roads)
    cells = places * _CELLS_A_SENSOR
    density, flow, incidents = _simulated(generator, days, roads, cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        kmh = np.where(density > 1e-6, np.minimum(flow / density, _FREE_SPEED), _FREE_SPEED)
    truth = (
        kmh[:, :, :, _CELLS_A_SENSOR // 2 :: _CELLS_A_SENSOR].reshape(-1, roads * places)[:, :sensors] / _KM_PER_MILE
    )
    # No two places are driven at the same speed on an empty road.
    truth = truth * generator.normal(1.0, 0.05, sensors).clip(0.85, 1.1)
    noise = generator.normal(0, 1.3, truth.shape) * np.sqrt(1 + 3 * (truth < 40))
    reported = np.round(np.clip(truth + noise, 1.0, 85.0), 2)
    reported = _with_faults(generator, reported)
    names = [f"{_road_name(road)}{place + 1:02d}" for road in range(roads) for place in range(places)]
    return SimulatedTraffic(
        speed=reported.astype(np.float32),
        truth=truth.astype(np.float32),
        sensors=tuple(names[:sensors]),
        distances=_distances(roads, places)[:sensors, :sensors],
        incidents=incidents,
    )


def _simulated(generator: np.random.Generator, days: int, roads: int, cells: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Density (vehicles a km) and flow (vehicles an hour), means of 5 minutes: (days, steps, roads, cells) each."""
    ticks_a_step = int(STEP_SECONDS / _TICK)
    warm = int(_SPIN_UP / _TICK)
    ticks = warm + int(86_400 / _TICK)
    hours = (np.arange(ticks) - warm) * _TICK / 3600
    shape = (days, roads, cells)
    capacity = _capacity(generator, roads, cells)
    # A rainy day carries less; and no two minutes carry the same.
    weather = 1 - np.abs(generator.normal(0, 0.03, (days, 1, 1)))
    steadiness = np.zeros(shape)
    entering = _demand(generator, days, roads, hours, ticks_a_step)
    ramp = np.zeros(cells)
    ramp[3::6] = generator.uniform(0.08, 0.16, len(ramp[3::6]))
    leaving = np.zeros(cells)
    leaving[5::6] = generator.uniform(0.08, 0.15, len(leaving[5::6]))
    starts, stops, where, left, count = _incidents(generator, days, roads, cells, hours)
    junction = cells // 2
    main, feeder = slice(0, None, 2), slice(1, None, 2)
    density = np.full(shape, 5.0)
    queue = np.zeros((days, roads))  # vehicles that wait before the first cell
    ramp_queue = np.zeros(shape)
    steps = int(86_400 / STEP_SECONDS)
    mean_density = np.zeros((days, steps, roads, cells), np.float32)
    mean_flow = np.zeros_like(mean_density)
    hour = _TICK / 3600
    for tick in range(ticks):
        if tick % ticks_a_step == 0:
            steadiness = 0.9 * steadiness + generator.normal(0, 0.012, shape)
        now = capacity * weather * (1 + steadiness)
        active = np.flatnonzero((starts <= tick) & (tick < stops))
        for number in active:
            now[tuple(where[number])] *= left[number]
        sending = np.minimum(density * _FREE_SPEED, now)
        taking = np.minimum(now, _WAVE * (_JAM - density))
        going = np.minimum(sending[:, :, :-1], taking[:, :, 1:])
        out = sending[:, :, -1].copy()  # the end of a main road is open
        # The feeder's last cell merges with the main road before the junction.
        from_main, from_feeder = _merge(
            sending[:, main, junction - 1], sending[:, feeder, -1], taking[:, main, junction]
        )
        going[:, main, junction - 1] = from_main
        out[:, feeder] = from_feeder
        # Ramps give way: they take what is left in their cell.
        wanted = entering[tick][:, :, None] * ramp + ramp_queue / hour
        inflow = np.concatenate([np.zeros((days, roads, 1)), going], axis=2)
        inflow[:, main, junction] += from_feeder
        joined = np.minimum(wanted, np.maximum(taking - inflow, 0.05 * taking * (ramp > 0)))
        joined = np.minimum(joined, 1_500.0) * (ramp > 0)
        ramp_queue = np.maximum(0.0, (wanted - joined) * hour) * (ramp > 0)
        arriving = entering[tick] + queue / hour
        entered = np.minimum(arriving, taking[:, :, 0])
        queue = (arriving - entered) * hour
        inflow[:, :, 0] += entered
        outflow = np.concatenate([going, out[:, :, None]], axis=2)
        left_road = outflow * leaving
        # What leaves does not go on: take it from the next cell's inflow.
        inflow[:, :, 1:] -= left_road[:, :, :-1]
        density = np.clip(density + (inflow + joined - outflow) * hour / _CELL, 0.0, _JAM)
        if tick >= warm:
            step = (tick - warm) // ticks_a_step
            mean_density[:, step] += density / ticks_a_step
            mean_flow[:, step] += outflow / ticks_a_step
    return mean_density, mean_flow, count


def _merge(main: np.ndarray, side: np.ndarray, room: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What two streams send into one cell: all where there is room, else shared by priority (Daganzo 1995)."""
    both = main + side <= room
    of_main = np.median(np.stack([main, room - side, _PRIORITY * room]), axis=0)
    of_side = np.median(np.stack([side, room - main, (1 - _PRIORITY) * room]), axis=0)
    return np.where(both, main, of_main), np.where(both, side, of_side)


def _capacity(generator: np.random.Generator, roads: int, cells: int) -> np.ndarray:
    """Vehicles an hour of each cell, shape (roads, cells): a bottleneck or two on each road."""
    made = np.full((roads, cells), _CAPACITY)
    for road in range(roads):
        for place in generator.choice(np.arange(cells // 3, cells - 1), size=min(2, cells // 4), replace=False):
            made[road, place] *= generator.uniform(0.72, 0.85)
    return made


def _demand(generator: np.random.Generator, days: int, roads: int, hours: np.ndarray, ticks_a_step: int) -> np.ndarray:
    """Vehicles an hour that want to enter each road, float64 of shape (ticks, days, roads)."""
    day = np.arange(days)
    weekend = (day % 7 >= 5)[None, :, None]
    hour = hours[:, None, None] % 24

    def bump(middle: float, width: float) -> np.ndarray:
        away = np.abs(hour - middle)
        return np.exp(-0.5 * np.square(np.minimum(away, 24 - away) / width))

    morning = generator.uniform(0.3, 1.0, roads)
    evening = 1.3 - morning
    level = generator.uniform(0.9, 1.05, roads)
    shift = generator.normal(0, 0.2, (days, 1))[None]
    away = np.abs(hour - 7.8 - shift), np.abs(hour - 17.2 - shift)
    working = (
        0.06
        + 0.42 * bump(13.0, 4.5)
        + 0.55 * morning * np.exp(-0.5 * np.square(away[0] / 1.1))
        + 0.55 * evening * np.exp(-0.5 * np.square(away[1] / 1.4))
    )
    free = 0.07 + 0.5 * bump(14.5, 4.0) + 0.06 * bump(21.0, 2.0)
    daily = generator.normal(1.0, 0.05, (days, roads))[None]
    steps = -(-len(hours) // ticks_a_step)
    wander = np.zeros((steps, days, roads))
    for step in range(1, steps):
        wander[step] = 0.9 * wander[step - 1] + generator.normal(0, 0.03, (days, roads))
    wander = np.repeat(wander, ticks_a_step, axis=0)[: len(hours)]
    shape = np.where(weekend, free, working) * level * daily * (1 + wander)
    return np.maximum(0.0, shape) * _DEMAND * _CAPACITY


def _incidents(
    generator: np.random.Generator, days: int, roads: int, cells: int, hours: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """First and last tick, place (day, road, cell) and share of capacity left of each incident."""
    count = int(generator.poisson(0.35 * days * roads))
    place = np.stack(
        [generator.integers(0, days, count), generator.integers(0, roads, count), generator.integers(1, cells, count)],
        axis=1,
    )
    begin = generator.triangular(5.0, 16.0, 23.0, count)
    minutes = generator.lognormal(np.log(35), 0.5, count).clip(10, 150)
    first = np.searchsorted(hours, begin)
    return first, first + (minutes * 60 / _TICK).astype(int), place, generator.uniform(0.3, 0.7, count), count


def _with_faults(generator: np.random.Generator, speed: np.ndarray) -> np.ndarray:
    """Silent detectors report 0 for a while, stuck ones their last value; single reports get lost."""
    made = speed.copy()
    steps, sensors = made.shape
    for kind, rate in (("silent", 0.05), ("stuck", 0.01)):
        for _ in range(int(generator.poisson(rate * sensors * steps / 288))):
            sensor, first = int(generator.integers(sensors)), int(generator.integers(steps))
            stop = first + int(generator.lognormal(np.log(30), 0.7))
            made[first:stop, sensor] = 0.0 if kind == "silent" else made[first, sensor]
    made[generator.random(made.shape) < 0.002] = 0.0
    return made


def _distances(roads: int, places: int) -> np.ndarray:
    """Kilometres by road between detectors."""
    length = _CELL * _CELLS_A_SENSOR
    road, place = np.divmod(np.arange(roads * places), places)
    made = np.full((roads * places, roads * places), np.inf, np.float32)
    same = road[:, None] == road[None, :]
    along = np.abs(place[:, None] - place[None, :]) * length
    made[same] = along[same]
    # From a feeder's detector to its end, and from the junction to the main road's.
    for feeder in range(1, roads, 2):
        ours, theirs = np.flatnonzero(road == feeder), np.flatnonzero(road == feeder - 1)
        way = (places - place[ours])[:, None] * length + np.abs(place[theirs] - places // 2)[None, :] * length
        made[np.ix_(ours, theirs)] = way
        made[np.ix_(theirs, ours)] = way.T
    return made


def _road_name(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(65 + rest) + name
    return name
