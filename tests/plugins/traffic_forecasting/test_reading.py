"""From files to a series: every format, every repair counted, every wrong cell named with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from made_traffic import MONDAY, read
from penjing.errors import DataError


def times(count: int, minutes: int = 5, start: str = "2024-01-01") -> list[str]:
    first = np.datetime64(f"{start}T00:00")
    return [str(first + np.timedelta64(minutes * step, "m")).replace("T", " ") for step in range(count)]


def table(rows: list[str], header: str = "time,a,b") -> str:
    return "\n".join([header, *rows]) + "\n"


def values(count: int, sensors: int = 2) -> np.ndarray:
    return np.round(np.random.default_rng(1).uniform(20, 60, (count, sensors)), 2)


def write_csv(path: Path, data: np.ndarray, moments: list[str] | None = None, header: str | None = "time,a,b") -> Path:
    rows = [",".join(map(str, row)) for row in data]
    if moments is not None:
        rows = [f"{moment},{row}" for moment, row in zip(moments, rows, strict=True)]
    path.write_text("\n".join([*([header] if header else []), *rows]) + "\n")
    return path


# ----------------------------------------------------------------------------------------------------- formats


def test_a_csv_with_times_keeps_values_names_and_the_first_time(tmp_path: Path) -> None:
    data = values(40)
    series = read(write_csv(tmp_path / "speed.csv", data, times(40)))
    np.testing.assert_allclose(series.values, data, rtol=1e-6)
    assert (series.sensors, series.start, series.step_seconds) == (("a", "b"), MONDAY, 300)
    assert series.quantity == "speed"


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_a_compressed_csv_is_read_as_the_plain_one(tmp_path: Path, suffix: str) -> None:
    import bz2
    import gzip
    import lzma

    opener: Callable = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}[suffix]
    plain = write_csv(tmp_path / "speed.csv", values(30), times(30))
    packed = tmp_path / f"speed.csv{suffix}"
    with opener(packed, "wb") as file:
        file.write(plain.read_bytes())
    np.testing.assert_array_equal(read(packed).values, read(plain).values)


def test_numbers_unlike_the_values_in_the_first_row_are_the_sensors_names(tmp_path: Path) -> None:
    series = read(write_csv(tmp_path / "speed.csv", values(400), header="773869,767541"), step_minutes=5.0)
    assert series.sensors == ("773869", "767541")
    assert len(series) == 400
    assert any("sensors' names" in note for note in series.notes)


def test_a_table_without_header_loses_no_row(tmp_path: Path) -> None:
    series = read(write_csv(tmp_path / "speed.csv", values(400), header=None), step_minutes=5.0)
    assert len(series) == 400
    assert series.sensors == ("column 1", "column 2")


def test_without_times_the_daily_rhythm_tells_the_step(tmp_path: Path) -> None:
    day = 2 * np.pi * np.arange(96 * 10)[:, None] / 96
    data = np.round(40 + 10 * np.cos(day) + np.random.default_rng(0).normal(0, 1, (960, 2)), 2)
    series = read(write_csv(tmp_path / "speed.csv", data, header="a,b"))
    assert series.step_seconds == 900
    assert series.start is None
    assert any("rhythm" in note for note in series.notes)


def test_los_loop_is_known_by_its_shape(los_loop: Path) -> None:
    series = read(los_loop)
    assert series.values.shape == (2016, 207)
    assert series.time_text(0) == "2012-03-01 00:00"
    assert series.adjacency is not None
    assert np.count_nonzero(series.adjacency) == 2833
    assert series.zero_is_missing is False


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_a_pandas_frame_in_hdf5_is_read_without_pytables(tmp_path: Path, unit: str) -> None:
    data, path = values(50, 3), tmp_path / "metr-la.h5"
    index = np.array(times(50), "datetime64[m]").astype(f"datetime64[{unit}]")
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group.create_dataset("axis0", data=np.array([b"773869", b"767541", b"767542"]))
        written = group.create_dataset("axis1", data=index.astype(np.int64))
        written.attrs["kind"] = np.bytes_("datetime64" if unit == "ns" else f"datetime64[{unit}]")
        # Two blocks, as pandas writes columns of two types, in another order than the columns.
        group.create_dataset("block0_items", data=np.array([b"767541", b"773869"]))
        group.create_dataset("block0_values", data=data[:, [1, 0]])
        group.create_dataset("block1_items", data=np.array([b"767542"]))
        group.create_dataset("block1_values", data=data[:, [2]].astype(np.float32))
    series = read(path)
    np.testing.assert_allclose(series.values, data, rtol=1e-6)
    assert series.sensors == ("773869", "767541", "767542")
    assert (series.start, series.step_seconds) == (MONDAY, 300)


def test_a_frame_that_pandas_itself_has_written_is_read(tmp_path: Path) -> None:
    pytest.importorskip("tables", reason="PyTables writes the file; it is not needed for reading")
    data = values(50, 3)
    frame = pd.DataFrame(data, index=pd.DatetimeIndex(times(50)), columns=[400001, 400017, 400030])
    frame.to_hdf(tmp_path / "pems-bay.h5", key="speed")
    series = read(tmp_path / "pems-bay.h5")
    np.testing.assert_allclose(series.values, data, rtol=1e-6)
    assert series.sensors == ("400001", "400017", "400030")
    assert series.start == MONDAY


def test_of_a_pems_archive_a_feature_is_chosen(tmp_path: Path) -> None:
    data = np.random.default_rng(0).uniform(1, 50, (600, 4, 3))
    np.savez(tmp_path / "pems.npz", data=data)
    np.testing.assert_allclose(read(tmp_path / "pems.npz", feature=2).values, data[:, :, 2], rtol=1e-6)
    with pytest.raises(DataError, match="no feature 3"):
        read(tmp_path / "pems.npz", feature=3)


def test_a_pems_archive_finds_its_distances_beside_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "PEMS04.npz", data=np.random.default_rng(0).uniform(1, 50, (600, 3, 1)))
    (tmp_path / "PEMS04.csv").write_text("from,to,cost\n0,1,100\n1,2,300\n")
    adjacency = read(tmp_path / "PEMS04.npz").adjacency
    assert adjacency is not None
    assert adjacency[0, 1] > adjacency[1, 2] >= 0


def test_parquet_is_read_as_the_same_csv(tmp_path: Path) -> None:
    data = values(60)
    pq.write_table(
        pa.table({"time": pa.array(times(60)).cast(pa.timestamp("us")), "a": data[:, 0], "b": data[:, 1]}),
        tmp_path / "speed.parquet",
    )
    series = read(tmp_path / "speed.parquet")
    np.testing.assert_allclose(series.values, data, rtol=1e-6)
    assert series.start == MONDAY


def test_pandas_own_parquet_keeps_its_index_as_times(tmp_path: Path) -> None:
    data = values(60)
    pd.DataFrame(data, index=pd.DatetimeIndex(times(60)), columns=["a", "b"]).to_parquet(tmp_path / "speed.parquet")
    series = read(tmp_path / "speed.parquet")
    np.testing.assert_allclose(series.values, data, rtol=1e-6)
    assert series.start == MONDAY


def test_what_does_not_fit_lies_in_a_file_with_the_same_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from penjing_traffic_forecasting import series as module

    data = values(9_000)
    path = write_csv(tmp_path / "speed.csv", data, times(9_000))
    inside = read(path)
    monkeypatch.setattr(module.RowStore.__init__, "__kwdefaults__", {"largest": 1_000})
    outside = read(path)
    assert isinstance(outside.values, np.memmap)
    np.testing.assert_array_equal(outside.values, inside.values)


# ------------------------------------------------------------------------------------------- repairs, counted


def test_rows_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    data, moments = values(40), times(40)
    order = np.array([0, 2, 1, *range(3, 40)])
    series = read(write_csv(tmp_path / "s.csv", data[order], [moments[place] for place in order]))
    np.testing.assert_allclose(series.values, data, rtol=1e-6)
    assert "1 rows are earlier than the row before them; all were sorted by time" in series.notes


def test_rows_of_one_time_become_their_mean_and_are_counted(tmp_path: Path) -> None:
    rows = ["2024-01-01 00:00,10,1", "2024-01-01 00:05,20,2", "2024-01-01 00:05,30,", "2024-01-01 00:10,40,4"]
    (tmp_path / "s.csv").write_text(table(rows))
    series = read(tmp_path / "s.csv")
    np.testing.assert_allclose(series.values, [[10, 1], [25, 2], [40, 4]])
    assert "1 rows repeat the time of another row; each such time has the mean of its rows" in series.notes


def test_steps_without_a_row_are_missing_and_counted(tmp_path: Path) -> None:
    data, moments = values(40), times(40)
    kept = [place for place in range(40) if place not in (5, 6)]
    series = read(write_csv(tmp_path / "s.csv", data[kept], [moments[place] for place in kept]))
    assert np.isnan(series.values[5:7]).all()
    assert np.isfinite(series.values[7:]).all()
    assert "2 of 40 steps have no row; their values are missing" in series.notes


def test_times_beside_the_grid_go_to_the_nearest_step(tmp_path: Path) -> None:
    moments = times(40)
    moments[3] = moments[3] + ":40"
    series = read(write_csv(tmp_path / "s.csv", values(40), moments))
    assert len(series) == 40
    assert any(note.startswith("1 times lie beside the grid") for note in series.notes)


def test_times_that_are_all_shifted_alike_are_a_grid_of_their_own(tmp_path: Path) -> None:
    moments = [f"2024-01-01 {minute // 60:02d}:{minute % 60:02d}:30" for minute in range(2, 182, 5)]
    series = read(write_csv(tmp_path / "s.csv", values(36), moments))
    assert len(series) == 36
    assert series.start == MONDAY + 150
    assert not any("grid" in note for note in series.notes)


def test_an_empty_cell_is_missing_and_counted(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(table([f"{moment},1,{'' if n == 2 else 3}" for n, moment in enumerate(times(9))]))
    series = read(tmp_path / "s.csv")
    assert np.isnan(series.values[2, 1])
    assert any(note.startswith("1 cells of s.csv are empty") for note in series.notes)


@pytest.mark.parametrize(("option", "gone"), [("yes", True), ("no", False), ("auto", False)])
def test_zero_is_missing_where_the_set_says_so(tmp_path: Path, option: str, gone: bool) -> None:
    data = values(40)
    data[7, 1] = 0
    series = read(write_csv(tmp_path / "s.csv", data, times(40)), zero_is_missing=option)
    assert np.isnan(series.values[7, 1]) == gone
    assert any("1 values (1.25%) are zero" in note for note in series.notes)


def test_in_a_pems_archive_zero_is_missing(tmp_path: Path) -> None:
    data = np.random.default_rng(0).uniform(1, 50, (600, 2, 1))
    data[3, 0, 0] = 0
    np.savez(tmp_path / "pems.npz", data=data)
    series = read(tmp_path / "pems.npz")
    assert np.isnan(series.values[3, 0])
    assert np.isnan(series.values).sum() == 1


def metro(path: Path, count: int = 300) -> Path:
    """A single sensor as the Metro Interstate set has it: weather beside it, rows doubled, an absurd and an empty
    one."""
    moments = times(count, 60)
    rows = [
        f"None,{280 + n % 9}.5,0.0,0.0,40,Clouds,few clouds,{moments[n]},{1000 + 10 * (n % 24)}" for n in range(count)
    ]
    rows.insert(11, rows[10].replace("Clouds", "Mist"))
    rows[20] = rows[20].rsplit(",", 1)[0] + ",98310"
    rows[30] = rows[30].rsplit(",", 1)[0] + ","
    rows[40] = rows[40].rsplit(",", 1)[0] + ",-5"
    header = "holiday,temp,rain_1h,snow_1h,clouds_all,weather_main,weather_description,date_time,traffic_volume"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_single_sensor_among_weather_is_found_and_its_rows_are_repaired(tmp_path: Path) -> None:
    series = read(metro(tmp_path / "Metro_Interstate_Traffic_Volume.csv"))
    assert series.sensors == ("traffic_volume",)
    assert (len(series), series.step_seconds, series.start) == (300, 3600, MONDAY)
    assert np.isnan(series.values[[19, 29, 39], 0]).all()
    assert np.isnan(series.values).sum() == 3
    said = "\n".join(series.notes)
    assert "'traffic_volume' is forecast; left out: holiday, temp" in said
    assert "1 rows repeat the time of another row" in said
    assert "1 values are negative" in said
    assert "1 values are above" in said
    assert "1 cells of" in said


def test_another_column_is_forecast_where_the_recipe_says_so(tmp_path: Path) -> None:
    series = read(metro(tmp_path / "m.csv"), value_column="temp")
    assert series.sensors == ("temp",)
    assert series.values[0, 0] == pytest.approx(280.5)


# --------------------------------------------------------------------------------- what is wrong, and where


def refused(path: Path, *words: str, **options: object) -> None:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    for word in words:
        assert word in str(caught.value)


def test_a_text_among_numbers_is_refused_with_file_row_and_column(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(table([f"{m},1,{'slow' if n == 4 else 2}" for n, m in enumerate(times(9))]))
    refused(tmp_path / "s.csv", "s.csv, row 5, column 'b'", "slow")


def test_a_column_of_texts_is_refused_at_its_first_cell(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(table([f"{m},1,Clouds" for m in times(9)], header="time,a,weather"))
    refused(tmp_path / "s.csv", "s.csv, row 1, column 'weather'", "Clouds")


def test_an_infinite_value_is_refused_in_every_format(tmp_path: Path) -> None:
    data = values(600)
    data[4, 1] = np.inf
    refused(write_csv(tmp_path / "s.csv", data, times(600)), "infinite", "row 5, column 'b'")
    np.savez(tmp_path / "s.npz", data=data)
    refused(tmp_path / "s.npz", "infinite", "row 5, column '1'")
    pq.write_table(pa.table({"a": data[:, 0], "b": data[:, 1]}), tmp_path / "s.parquet")
    refused(tmp_path / "s.parquet", "infinite", "row 5, column 'b'")


def test_two_time_zones_are_refused_with_both_rows(tmp_path: Path) -> None:
    moments = [moment + "+01:00" for moment in times(9)]
    moments[6] = moments[6].replace("+01:00", "+02:00")
    refused(write_csv(tmp_path / "s.csv", values(9), moments), "time zones", "row 7", "row 1", "+02:00")


def test_a_cell_that_is_no_time_is_refused(tmp_path: Path) -> None:
    moments = times(9)
    moments[2] = "yesterday"
    refused(write_csv(tmp_path / "s.csv", values(9), moments), "'yesterday' is no time", "row 3, column 'time'")


def test_a_year_that_slipped_is_refused_and_named(tmp_path: Path) -> None:
    moments = times(20)
    moments[10] = "2124-01-01 00:50"
    refused(write_csv(tmp_path / "s.csv", values(20), moments), "row 11", "2124")


def test_a_row_of_another_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(table([f"{m},1,2{',3' if n == 3 else ''}" for n, m in enumerate(times(9))]))
    refused(tmp_path / "s.csv", "s.csv, row 4", "4 cells")


def test_an_empty_file_and_a_lone_header_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("time,a,b\n")
    refused(tmp_path / "empty.csv", "empty")
    refused(tmp_path / "header.csv", "no rows")


def test_files_of_another_kind_under_a_known_name_are_refused(tmp_path: Path) -> None:
    for name in ("s.h5", "s.npz", "s.parquet"):
        (tmp_path / name).write_bytes(b"not what it says\n" * 9)
        refused(tmp_path / name, name)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "adj_mx.pkl").write_bytes(b"\x80\x04N.")
    refused(tmp_path / "adj_mx.pkl", "pickled")
    write_csv(tmp_path / "speed.csv", values(40), times(40))
    assert any("adj_mx.pkl was left alone" in note for note in read(tmp_path).notes)
    np.savez(tmp_path / "objects.npz", data=np.array([{}], object))
    refused(tmp_path / "objects.npz", "pickled")


def test_two_tables_in_a_folder_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "one.csv", values(40), times(40))
    write_csv(tmp_path / "two.csv", values(40), times(40))
    refused(tmp_path, "2 tables", "one.csv, two.csv")
