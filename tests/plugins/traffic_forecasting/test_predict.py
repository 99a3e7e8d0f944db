"""Forecasting on the device: what a forecast rests on when sensors are silent, stuck, late, new or old."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_traffic import MONDAY, made_series, made_splits
from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError
from penjing_traffic_forecasting.inputs import Inputs
from penjing_traffic_forecasting.predict import predict
from penjing_traffic_forecasting.series import time_text

SPLITS = made_splits(made_series(zero_is_missing=True))
INPUTS: Inputs = SPLITS.extra["traffic"].inputs
NOW = MONDAY + 20 * 86_400 + 8 * 3600


@dataclass
class Bundle:
    """A bundle whose network forecasts the last value, and remembers what it was asked."""

    preprocessing: dict[str, Any] = field(default_factory=lambda: dict(SPLITS.preprocessing))
    asked: list[np.ndarray] = field(default_factory=list)

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.asked.append(x)
        return np.repeat(INPUTS.last_values(x)[:, :, None, None], 4, axis=2).repeat(12, axis=3)


def recent(path: Path, values: np.ndarray, sensors: tuple[str, ...] = INPUTS.sensors, last: int = NOW) -> Path:
    """A CSV of rows that end at a time; NaN becomes an empty cell."""
    first = last - (len(values) - 1) * 300
    rows = [
        ",".join([time_text(first + 300 * n), *("" if np.isnan(v) else f"{v:.2f}" for v in row)])
        for n, row in enumerate(values)
    ]
    path.write_text("\n".join([",".join(["time", *sensors]), *rows]) + "\n")
    return path


def steady(rows: int = 30) -> np.ndarray:
    return 40 + np.random.default_rng(0).normal(0, 1, (rows, 5)).round(2)


def run(path: Path, **options: Any) -> list[dict[str, Any]]:
    return list(predict(PredictRequest(bundle=Bundle(), inputs=(str(path),), options=options)))


def of_sensor(rows: list[dict[str, Any]], sensor: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["sensor"] == sensor]


def means(sensor: int) -> list[float]:
    return [round(float(INPUTS.profile.at(np.array(NOW + m * 60))[sensor]), 2) for m in (15, 30, 45, 60)]


def test_each_sensor_has_four_steps_with_times_and_quantiles(tmp_path: Path) -> None:
    rows = run(recent(tmp_path / "r.csv", steady()))
    assert len(rows) == 5 * 4
    assert [row["ahead"] for row in rows[:4]] == ["15 min", "30 min", "45 min", "60 min"]
    assert rows[0]["time"] == time_text(NOW + 900)
    assert {row["rests on"] for row in rows} == {"network"}
    assert rows[0]["mean"] == pytest.approx(steady()[-1, 0], abs=0.01)
    assert len(run(tmp_path / "r.csv", all_steps=True)) == 5 * 12


def test_the_network_is_asked_what_training_would_ask_it(tmp_path: Path) -> None:
    values = steady()
    bundle = Bundle()
    path = recent(tmp_path / "r.csv", values)
    list(predict(PredictRequest(bundle=bundle, inputs=(str(path),))))
    expected = INPUTS.of_values(values[None, -12:].astype(np.float32), np.array([NOW]))
    np.testing.assert_allclose(bundle.asked[0], expected, atol=1e-3)


def test_a_silent_sensor_gets_its_time_of_day_mean_and_says_so(tmp_path: Path) -> None:
    values = steady()
    values[-12:, 2] = np.nan
    rows = of_sensor(run(recent(tmp_path / "r.csv", values)), "s2")
    assert {row["rests on"] for row in rows} == {"time-of-day mean"}
    assert [row["mean"] for row in rows] == pytest.approx(means(2), abs=0.02)
    assert all(row["10 %"] <= row["mean"] <= row["90 %"] for row in rows)
    assert "stale: the last value is of" in rows[0]["remark"]
    assert "60 min before" in rows[0]["remark"]


def test_zero_is_silence_where_it_was_in_training(tmp_path: Path) -> None:
    values = steady()
    values[-12:, 1] = 0
    assert of_sensor(run(recent(tmp_path / "r.csv", values)), "s1")[0]["rests on"] == "time-of-day mean"


def test_old_rows_are_stale_as_a_whole(tmp_path: Path) -> None:
    path = recent(tmp_path / "r.csv", steady(), last=NOW - 7200)
    rows = run(path, at=time_text(NOW))
    assert {row["rests on"] for row in rows} == {"time-of-day mean"}
    assert [row["mean"] for row in of_sensor(rows, "s0")] == pytest.approx(means(0), abs=0.02)
    assert "120 min before" in rows[0]["remark"]


def test_rows_that_are_a_little_late_still_go_to_the_network(tmp_path: Path) -> None:
    rows = run(recent(tmp_path / "r.csv", steady(), last=NOW - 600), at=time_text(NOW))
    assert {row["rests on"] for row in rows} == {"network"}
    assert rows[0]["remark"] == "the last 2 values are missing"


def test_a_stuck_detector_is_not_believed(tmp_path: Path) -> None:
    values = steady(60)
    values[:, 3] = 44.0
    rows = run(recent(tmp_path / "r.csv", values))
    assert of_sensor(rows, "s3")[0]["rests on"] == "time-of-day mean"
    assert "stuck" in of_sensor(rows, "s3")[0]["remark"]
    assert of_sensor(rows, "s0")[0]["rests on"] == "network"


def test_a_sensor_that_training_never_saw_gets_its_last_value(tmp_path: Path) -> None:
    values = np.concatenate([steady(), np.full((30, 1), 33.0)], axis=1)
    rows = of_sensor(run(recent(tmp_path / "r.csv", values, (*INPUTS.sensors, "new"))), "new")
    assert [row["mean"] for row in rows] == [33.0] * 4
    assert {row["rests on"] for row in rows} == {"last value"}
    widths = [row["90 %"] - row["10 %"] for row in rows]
    assert widths == sorted(widths), "the further ahead, the wider"
    assert widths[0] > 0
    assert "not in training" in rows[0]["remark"]


def test_columns_are_found_by_name_and_a_missing_one_is_a_silent_sensor(tmp_path: Path) -> None:
    values = steady()[:, [4, 2, 0, 1]]
    rows = run(recent(tmp_path / "r.csv", values, ("s4", "s2", "s0", "s1")))
    assert of_sensor(rows, "s4")[0]["mean"] == pytest.approx(values[-1, 0], abs=0.01)
    assert of_sensor(rows, "s3")[0]["remark"] == "the file has no such sensor"


def test_a_single_row_is_enough(tmp_path: Path) -> None:
    assert run(recent(tmp_path / "r.csv", steady(1)))[0]["rests on"] == "network"


def test_no_sensor_of_the_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the bundle's sensors"):
        run(recent(tmp_path / "r.csv", steady(), ("v", "w", "x", "y", "z")))


def test_rows_without_times_are_refused_where_the_bundle_knows_dates(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("s0,s1,s2,s3,s4\n" + "40,41,42,43,44.5\n" * 30)
    with pytest.raises(DataError, match="no times"):
        run(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"at": "soon"}, "--at cannot be 'soon'"),
        ({"at": "2001-01-01 00:00"}, "before the first row"),
        ({"sensors": "s0,s99"}, "no sensor 's99'"),
        ({"plot": "picture.txt"}, "--plot cannot write"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(recent(tmp_path / "r.csv", steady()), **options)


def test_nothing_to_forecast_from_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to forecast from"):
        list(predict(PredictRequest(bundle=Bundle(), inputs=())))


def test_a_picture_appears_whole(tmp_path: Path) -> None:
    picture = tmp_path / "forecast.png"
    run(recent(tmp_path / "r.csv", steady()), plot=picture, sensors="s0,s3")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_way_to_a_forecast_imports_nothing_heavy() -> None:
    """A process that does all but run the network knows neither TensorFlow nor pandas nor scikit-learn."""
    code = (
        "import sys\n"
        "import penjing_traffic_forecasting.plugin, penjing_traffic_forecasting.predict\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'matplotlib', 'h5py', 'pyarrow', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
