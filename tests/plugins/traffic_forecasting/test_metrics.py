"""Metrics against plain formulas on small arrays, and published figures on Los-loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_traffic import made_series, made_splits
from penjing.contract import DataRequest
from penjing.verify.statistics import bootstrap_interval
from penjing_traffic_forecasting import baselines, metrics
from penjing_traffic_forecasting.data import load_data
from penjing_traffic_forecasting.system_metrics import congested, congested_hours, rmse_by_hour


def made(n: int = 40, sensors: int = 3, steps: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = generator.uniform(5, 60, (n, sensors, steps)).astype(np.float32)
    outputs = targets[:, :, None, :] + generator.normal(0, 4, (n, sensors, 4, steps)).astype(np.float32)
    return targets, outputs


@given(st.integers(0, 1_000))
def test_errors_are_their_formulas_over_known_targets_alone(seed: int) -> None:
    targets, outputs = made(seed=seed)
    known = np.random.default_rng(seed).random(targets.shape) < 0.7
    hidden = np.where(known, targets, -1)
    error = (outputs[:, :, 0] - targets)[known]
    assert metrics.rmse(hidden, outputs) == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert metrics.mae(hidden, outputs) == pytest.approx(np.mean(np.abs(error)), rel=1e-5)
    assert metrics.mape(hidden, outputs) == pytest.approx(np.mean(np.abs(error) / targets[known]) * 100, rel=1e-5)


def test_at_a_step_and_up_to_it_are_two_figures() -> None:
    targets, outputs = made()
    squared = (outputs[:, :, 0] - targets) ** 2
    at = {step: one.value for step, one in metrics.rmse_at(targets, outputs).items()}
    up_to = {step: one.value for step, one in metrics.rmse_up_to(targets, outputs).items()}
    assert list(at) == list(up_to) == [2, 5, 8, 11], "15, 30, 45 and 60 min of 5 min steps"
    for step in at:
        assert at[step] == pytest.approx(np.sqrt(squared[:, :, step].mean()), rel=1e-5)
        assert up_to[step] == pytest.approx(np.sqrt(squared[:, :, : step + 1].mean()), rel=1e-5)
    assert up_to[11] == pytest.approx(metrics.rmse(targets, outputs))


@pytest.mark.parametrize(("horizon", "steps"), [(12, (2, 5, 8, 11)), (4, (0, 1, 2, 3)), (6, (1, 2, 4, 5)), (1, (0,))])
def test_four_steps_are_named(horizon: int, steps: tuple[int, ...]) -> None:
    assert metrics.named_steps(horizon) == steps


def test_zero_targets_count_but_not_in_percent() -> None:
    targets, outputs = made()
    targets[:10] = 0
    assert np.isfinite(metrics.mape(targets, outputs))
    assert metrics.mape(targets, outputs) == pytest.approx(metrics.mape(targets[10:], outputs[10:]))
    assert metrics.mae(targets, outputs) > metrics.mae(targets[10:], outputs[10:])


def test_coverage_and_pinball_are_their_formulas() -> None:
    targets, outputs = made()
    outputs[:, :, 1] = outputs[:, :, 2] - 5
    outputs[:, :, 3] = outputs[:, :, 2] + 5
    inside = (outputs[:, :, 1] <= targets) & (targets <= outputs[:, :, 3])
    assert metrics.band_coverage(targets, outputs) == pytest.approx(inside.mean())
    assert metrics.band_width(targets, outputs) == pytest.approx(10, rel=1e-5)
    from sklearn.metrics import mean_pinball_loss

    expected = [
        mean_pinball_loss(targets.ravel(), outputs[:, :, place].ravel(), alpha=level)
        for place, level in ((1, 0.1), (2, 0.5), (3, 0.9))
    ]
    assert metrics.pinball(targets, outputs) == pytest.approx(np.mean(expected), rel=1e-5)
    assert metrics.quantile_coverage(targets, outputs)["90%"] == pytest.approx(np.mean(targets <= outputs[:, :, 3]))


def test_a_prepared_bootstrap_gives_what_drawing_windows_gives() -> None:
    targets, outputs = made(30)
    blocks = np.repeat(np.arange(15), 2)

    def plain(t: np.ndarray, o: np.ndarray) -> float:
        return metrics.rmse(t, o)

    slow = bootstrap_interval(plain, targets, outputs, groups=blocks, resamples=200)
    fast = bootstrap_interval(metrics.rmse, targets, outputs, groups=blocks, resamples=200)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), rel=1e-9)


def test_intervals_by_blocks_are_wider_where_neighbouring_windows_err_alike() -> None:
    generator = np.random.default_rng(0)
    targets = np.full((600, 2, 4), 50, np.float32)
    slow = np.repeat(generator.normal(0, 5, 20), 30)
    alike = targets[:, :, None] + np.abs(slow)[:, None, None, None]
    shuffled = alike[generator.permutation(600)]

    def width(outputs: np.ndarray) -> float:
        one = metrics.mae_up_to(targets, outputs)[3]
        assert one.low < one.value < one.high
        assert "blocks of 20 windows" in one.method
        return one.high - one.low

    assert width(np.repeat(alike, 4, axis=2)) > 2 * width(np.repeat(shuffled, 4, axis=2))


def test_congested_hours_are_chosen_by_training_means_not_by_what_came_true() -> None:
    splits = made_splits()
    training = splits.extra["traffic"]
    mask = congested(training, splits.test)
    assert 0.05 < mask.mean() < 0.6
    inputs, test = training.inputs, splits.test
    for window, sensor, step in [(0, 0, 0), (100, 3, 5), (300, 4, 11)]:
        mean = inputs.profile.at(test.raw.seconds[window : window + 1] + (step + 1) * 300)[0, sensor]
        assert mask[window, sensor, step] == (mean < 0.85 * inputs.free_flow[sensor])
    found = congested_hours(lambda x: np.repeat(test.y[:, :, None] + 2.0, 4, axis=2), test, splits)
    assert found["rmse at 15 min"].value == pytest.approx(2, rel=1e-4)
    assert len(found) == 3 * 2 * 4


def test_errors_by_hour_belong_to_the_hour_of_the_target() -> None:
    splits = made_splits()
    test = splits.test
    hours = (test.raw.seconds[:, None] + np.arange(1, 13) * 300) % 86_400 // 3600
    outputs = np.repeat((test.y + np.where(hours == 8, 3.0, 1.0)[:, None, :])[:, :, None], 4, axis=2)
    found = rmse_by_hour(lambda x: outputs, test, splits)
    assert found["08"] == pytest.approx(3, rel=1e-4)
    assert found["07"] == found["09"] == pytest.approx(1, rel=1e-4)


# -------------------------------------------------------------------------------------------------- baselines


def up_to(splits, outputs) -> list[float]:
    return [round(one.value, 3) for one in metrics.rmse_up_to(splits.test.y, outputs).values()]


def test_the_last_value_has_the_published_protocols_figures_on_los_loop(los_loop: Path) -> None:
    """Windows, targets and averages are exactly those of the measured reference."""
    splits = load_data(DataRequest(path=los_loop))
    assert up_to(splits, baselines.fit_last_value(splits, 0).predict(splits.test.x)) == [5.571, 6.727, 7.643, 8.446]


def test_one_linear_map_has_the_measured_figures_on_los_loop(los_loop: Path) -> None:
    """Trained on the whole of the first 80 % on the last 12 values alone."""
    from sklearn.linear_model import LinearRegression

    splits = load_data(DataRequest(path=los_loop))
    values = splits.extra["traffic"].series.values

    def windows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cut = np.lib.stride_tricks.sliding_window_view(rows, 24, axis=0).reshape(-1, 24)
        return cut[:, :12], cut[:, 12:]

    model = LinearRegression().fit(*windows(values[:1612]))
    mean = model.predict(windows(values[1612:])[0]).reshape(-1, 207, 12)
    assert up_to(splits, np.repeat(mean[:, :, None], 4, axis=2)) == [5.371, 6.438, 7.256, 7.942]


def test_last_week_and_time_of_day_are_looked_up() -> None:
    series = made_series(288 * 16, 2)
    splits = made_splits(series)
    test = splits.test
    week = baselines.fit_last_week(splits, 0).predict(test.x)
    end = test.raw.ends[5]
    np.testing.assert_array_equal(week[5, :, 0].T, series.values[end + 1 - 2016 : end + 13 - 2016])
    means = baselines.fit_time_of_day(splits, 0).predict(test.x)
    profile = splits.extra["traffic"].inputs.profile
    np.testing.assert_array_equal(means[5, 0, 0], profile.at(test.raw.seconds[5] + np.arange(1, 13) * 300)[:, 0])


def test_without_a_last_week_the_time_of_day_stands_in_and_the_name_says_so() -> None:
    splits = made_splits(made_series(288 * 4))
    fitted = baselines.fit_last_week(splits, 0)
    assert "time-of-day mean" in fitted.name
    np.testing.assert_array_equal(
        fitted.predict(splits.test.x), baselines.fit_time_of_day(splits, 0).predict(splits.test.x)
    )


def test_ridge_beats_the_last_value_on_slow_noise() -> None:
    splits = made_splits()
    ridge, last = (fit(splits, 0).predict(splits.test.x) for fit in (baselines.fit_ridge, baselines.fit_last_value))
    assert metrics.rmse(splits.test.y, ridge) < 0.9 * metrics.rmse(splits.test.y, last)
