"""Splits by time, windows that cross no border, and nothing of the future in what is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_traffic import made_series, made_splits
from penjing.contract import DataRequest
from penjing.errors import DataError, RecipeError
from penjing_traffic_forecasting.augmentation import augment
from penjing_traffic_forecasting.data import load_data

PARTS = ("train", "validation", "test")


def rows_of(splits, name: str) -> tuple[int, int]:
    """The first and the last row that windows of a part touch."""
    ends = getattr(splits, name).raw.ends
    inputs = splits.extra["traffic"].inputs
    return int(ends.min()) - inputs.history + 1, int(ends.max()) + inputs.horizon


@given(
    steps=st.integers(400, 900),
    history=st.integers(2, 20),
    test=st.floats(0.1, 0.4),
    validation=st.floats(0.1, 0.3),
)
def test_no_window_crosses_a_border_and_no_row_is_left_out(
    steps: int, history: int, test: float, validation: float
) -> None:
    splits = made_splits(
        made_series(steps, 2), history=history, test_share=test, validation_share=validation, validation_windows=10_000
    )
    spans = [rows_of(splits, name) for name in PARTS]
    assert spans[0][0] == 0
    assert spans[-1][1] == steps - 1
    assert spans[0][1] + 1 == spans[1][0], "validation begins where training ends"
    assert spans[1][1] + 1 == spans[2][0], "the test begins where validation ends"
    assert spans[2][0] == int(steps * (1 - test))


def test_what_is_fitted_knows_nothing_of_validation_and_test() -> None:
    series = made_series()
    changed = np.array(series.values)
    first = rows_of(made_splits(series), "validation")[0]
    changed[first:] = 7.0
    before, after = made_splits(series), made_splits(made_series(values=changed))
    assert before.preprocessing == after.preprocessing
    np.testing.assert_array_equal(before.train.x, after.train.x)
    np.testing.assert_array_equal(before.train.y, after.train.y)


def test_inputs_and_targets_are_the_rows_before_and_after_the_end() -> None:
    series = made_series()
    splits = made_splits(series)
    inputs = splits.extra["traffic"].inputs
    row = 17
    end = splits.test.raw.ends[row]
    window = splits.test.x[row, :, : inputs.history] * inputs.scale + inputs.mean
    np.testing.assert_allclose(window.T, series.values[end - 11 : end + 1], rtol=1e-5)
    np.testing.assert_array_equal(splits.test.y[row].T, series.values[end + 1 : end + 13])


def test_a_training_window_does_not_meet_its_own_day_in_its_means() -> None:
    series = made_series()
    changed = np.array(series.values)
    changed[288 * 2 : 288 * 3, 0] += 20  # the whole of one day
    plain, raised = made_splits(series), made_splits(made_series(values=changed))
    inside = plain.train.raw.ends // 288 == 2
    means = slice(13, 18)

    def of_means(splits) -> np.ndarray:
        inputs = splits.extra["traffic"].inputs
        return splits.train.x[:, 0, means] * inputs.scale + inputs.mean

    np.testing.assert_allclose(of_means(plain)[inside], of_means(raised)[inside], atol=0.02)
    assert np.abs(of_means(plain)[~inside] - of_means(raised)[~inside]).max() > 2


def test_ids_are_unique_and_groups_are_blocks_of_consecutive_windows() -> None:
    splits = made_splits()
    ids = [name for part in PARTS for name in getattr(splits, part).ids]
    assert len(set(ids)) == len(ids)
    groups = splits.test.groups
    changes = np.count_nonzero(groups[1:] != groups[:-1])
    assert changes + 1 == len(set(groups)), "a block is never left and entered again"


def test_missing_targets_are_marked_and_windows_without_any_are_left_out() -> None:
    series = made_series()
    values = np.array(series.values)
    values[1_700:1_740] = np.nan
    values[1_800, 0] = np.nan
    splits = made_splits(made_series(values=values))
    y = splits.test.y
    assert (y.max(axis=(1, 2)) > 0).all()
    assert np.count_nonzero(y[:, 0] == -1) > np.count_nonzero(y[:, 1] == -1) > 0
    assert any("have no known target" in note for note in splits.notes)
    assert np.isfinite(splits.test.x).all()


@pytest.mark.parametrize(
    ("step", "horizon", "last"), [(300, 12, "60 min"), (900, 4, "60 min"), (600, 6, "60 min"), (3600, 4, "240 min")]
)
def test_an_hour_ahead_is_so_many_steps(step: int, horizon: int, last: str) -> None:
    splits = made_splits(made_series(step_seconds=step))
    assert splits.test.y.shape[2] == horizon
    assert splits.labels[-1] == last
    assert any("a step is" in note for note in splits.notes) == (step != 300)


def test_other_minutes_ahead_must_be_whole_steps() -> None:
    assert made_splits(horizon_minutes=30).test.y.shape[2] == 6
    with pytest.raises(DataError, match="no whole number of steps"):
        made_splits(horizon_minutes=32)


def test_a_short_series_is_refused_with_its_numbers() -> None:
    with pytest.raises(DataError, match=r"100 steps of 5 min are too few"):
        made_splits(made_series(100))


def test_of_many_windows_so_many_are_taken_evenly_and_said() -> None:
    splits = made_splits(train_windows=100, validation_windows=20, test_values=10_000)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (100, 20, 166)
    assert rows_of(splits, "test")[1] == 1_999, "spread over the whole part"
    assert sum("windows" in note and "are used" in note for note in splits.notes) == 3


@pytest.mark.parametrize(("sensors", "windows"), [(1, 60_000), (12, 5_000), (20, 3_000), (30, 3_000)])
def test_few_sensors_bring_more_windows_to_an_epoch(sensors: int, windows: int) -> None:
    splits = made_splits(made_series(7_200, sensors), train_windows=0)
    assert len(splits.train) == min(windows, len(splits.extra["traffic"].ends))


def test_one_sensor_alone_is_a_network_too() -> None:
    splits = made_splits(made_series(sensors=1, quantity="volume"))
    assert splits.train.x.shape[1] == 1


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(RecipeError, match="histroy"):
        load_data(DataRequest(options={"histroy": 12}))


def test_the_sample_is_the_same_for_the_same_seed_and_says_what_it_is() -> None:
    options = {"sample_sensors": 6, "sample_days": 8}
    one, other = (load_data(DataRequest(seed=4, options=options)) for _ in range(2))
    np.testing.assert_array_equal(one.train.x, other.train.x)
    assert one.sha256 == other.sha256
    assert load_data(DataRequest(seed=5, options=options)).sha256 != one.sha256
    assert one.synthetic
    assert any("not real traffic" in note for note in one.notes)


def test_los_loop_is_split_as_t_gcn_splits_it(los_loop: Path) -> None:
    splits = load_data(DataRequest(path=los_loop))
    assert rows_of(splits, "test") == (1612, 2015)
    assert splits.test.y.shape == (381, 207, 12)


# ------------------------------------------------------------------------------------------------ augmentation


def test_an_epoch_is_the_same_for_the_same_seed_and_another_for_the_next() -> None:
    splits = made_splits(train_windows=200)
    first, again, later = (augment(splits.train, splits, epoch=epoch, seed=3, options={})[0] for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)


def test_sensors_fall_silent_as_often_as_asked() -> None:
    splits = made_splits()
    x, _ = augment(splits.train, splits, epoch=0, seed=0, options={"silent_sensors": 0.3, "late_sensors": 0.0})
    share = x[:, :, 12]
    assert set(np.unique(share)) == {0.0, 1.0}
    assert np.mean(share == 0) == pytest.approx(0.3, abs=0.03)


def test_over_the_epochs_every_window_is_drawn() -> None:
    splits = made_splits(train_windows=300)
    training = splits.extra["traffic"]
    quiet = {"silent_sensors": 0.0, "late_sensors": 0.0}
    seen: set[float] = set()
    for epoch in range(80):
        seen |= set(augment(splits.train, splits, epoch=epoch, seed=0, options=quiet)[1][:, 0, 0].tolist())
    every = set(training.series.values[training.ends + 1, 0].tolist())
    assert seen == every


def test_without_dropout_an_epoch_is_the_training_part() -> None:
    splits = made_splits()
    x, y = augment(splits.train, splits, epoch=5, seed=1, options={"silent_sensors": 0.0, "late_sensors": 0.0})
    np.testing.assert_array_equal(x, splits.train.x)
    np.testing.assert_array_equal(y, splits.train.y)
