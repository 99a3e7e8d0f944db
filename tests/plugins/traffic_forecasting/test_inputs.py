"""Time-of-day means and what is made of a window, gaps included."""

from __future__ import annotations

import json

import numpy as np
import pytest

from made_traffic import MONDAY, made_series, made_splits
from penjing.errors import DataError
from penjing_traffic_forecasting.inputs import Inputs, Windows, preprocess
from penjing_traffic_forecasting.profile import ProfileSums, kind_of_day

DAY = 86_400


def weekly_series(weeks: int = 3):
    """10 on working days, 30 on week-ends, all day long."""
    steps = 288 * 7 * weeks
    weekend = kind_of_day(MONDAY + np.arange(steps) * 300) > 0
    values = np.where(weekend, 30.0, 10.0)[:, None].repeat(2, axis=1).astype(np.float32)
    return made_series(values=values)


def test_saturday_and_sunday_are_the_week_end() -> None:
    assert kind_of_day(MONDAY + np.arange(7) * DAY).tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_week_ends_have_means_of_their_own_where_dates_are_known() -> None:
    series = weekly_series()
    profile = ProfileSums(series, len(series), 48).profile()
    assert profile.kinds == 2
    assert profile.at(np.array([MONDAY + 40_000, MONDAY + 5 * DAY + 40_000]))[:, 0].tolist() == [10, 30]


def test_without_dates_all_days_are_one() -> None:
    series = made_series(values=weekly_series().values, start=None)
    profile = ProfileSums(series, len(series), 48).profile()
    assert profile.kinds == 1
    assert profile.at(np.array([0]))[0, 0] == pytest.approx(110 / 7, rel=1e-4)


def test_means_are_those_of_their_half_hour_and_between_middles_interpolated() -> None:
    series = made_series(288 * 4, 3)
    profile = ProfileSums(series, len(series), 48).profile()
    rows = np.arange(len(series))
    first = series.values[rows % 288 // 6 == 20].mean(axis=0)
    second = series.values[rows % 288 // 6 == 21].mean(axis=0)
    middle = MONDAY + 20 * 1800 + 900
    np.testing.assert_allclose(profile.at(np.array(middle)), first, rtol=1e-5)
    np.testing.assert_allclose(profile.at(np.array(middle + 900)), (first + second) / 2, rtol=1e-5)


def test_a_day_left_out_has_no_part_in_the_means() -> None:
    series = made_series(288 * 5, 2)
    sums = ProfileSums(series, len(series), 48)
    values = np.array(series.values)
    values[288 * 2 : 288 * 3] = np.nan
    without = ProfileSums(made_series(values=values), len(series), 48).profile()
    np.testing.assert_allclose(sums.profile(without_day=MONDAY // DAY + 2).grid, without.grid, rtol=1e-4)


def test_parts_of_the_day_without_a_value_lie_between_their_neighbours() -> None:
    values = np.array(made_series(288 * 4, 2).values)
    values[:, 0] = 10
    values[np.arange(len(values)) % 288 // 6 == 20, 0] = np.nan
    values[:, 1] = np.nan
    grid = ProfileSums(made_series(values=values), len(values), 48).profile().grid
    np.testing.assert_allclose(grid, 10, rtol=1e-6, err_msg="a sensor without any value has the network's mean")


def test_parameters_survive_the_bundle_and_give_the_very_same_inputs() -> None:
    splits = made_splits()
    parameters = json.loads(json.dumps(splits.preprocessing))
    np.testing.assert_allclose(preprocess(splits.test.raw, parameters), splits.test.x, atol=1e-3)
    again = Inputs.from_json(parameters)
    np.testing.assert_array_equal(again.profile.grid, splits.extra["traffic"].inputs.profile.grid)


def test_means_in_a_bundle_are_off_by_half_a_step_at_most() -> None:
    series = made_series()
    profile = ProfileSums(series, len(series), 48).profile()
    step = np.ptp(profile.grid, axis=(0, 1)) / 255
    assert (np.abs(profile.rounded().grid - profile.grid) <= step / 2 + 1e-4).all()


def test_other_sensors_than_the_bundles_are_refused() -> None:
    splits = made_splits()
    other = Windows(**{**vars(splits.test.raw), "sensors": ("s0", "s1", "s2", "s3", "new")})
    with pytest.raises(DataError, match="sensor 'new' is not in the bundle"):
        preprocess(other, splits.preprocessing)


# ------------------------------------------------------------------------------------------------------ gaps


def window_of(values: list[float]) -> tuple[Inputs, np.ndarray]:
    """The inputs' values of one sensor, in the data's unit, and the share that is known."""
    inputs: Inputs = made_splits().extra["traffic"].inputs
    window = np.full((1, 12, 5), 40.0, np.float32)
    window[0, :, 0] = values
    x = inputs.of_values(window, np.array([MONDAY + 288 * 300]))
    return inputs, np.append(x[0, 0, :12] * inputs.scale + inputs.mean, x[0, 0, 12])


NAN = float("nan")


def test_a_gap_takes_the_last_value_before_it_and_the_first_one_the_next_after() -> None:
    _, found = window_of([NAN, NAN, 30, NAN, 50, NAN, NAN, 60, 61, 62, 63, NAN])
    np.testing.assert_allclose(found[:12], [30, 30, 30, 30, 50, 50, 50, 60, 61, 62, 63, 63], rtol=1e-5)
    assert found[12] == pytest.approx(6 / 12)


def test_a_silent_sensor_has_its_means_for_values() -> None:
    inputs, found = window_of([NAN] * 12)
    times = MONDAY + 288 * 300 + np.arange(-11, 1) * 300
    np.testing.assert_allclose(found[:12], inputs.profile.at(times)[:, 0], rtol=1e-4)
    assert found[12] == 0
