"""Matrices and distances: their form, their size, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penjing.errors import DataError
from penjing_traffic_forecasting.adjacency import neighbours, read_adjacency


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_matrix_is_read_with_or_without_names(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.csv", ["1,0.5", "0.25,1"])
    headed = write(tmp_path / "h.csv", ["x,y", "1,0.5", "0.25,1"])
    named = write(tmp_path / "b.csv", [",x,y", "x,1,0.5", "y,0.25,1"])
    expected = np.array([[1, 0.5], [0.25, 1]], np.float32)
    np.testing.assert_array_equal(read_adjacency(plain, ["x", "y"])[0], expected)
    np.testing.assert_array_equal(read_adjacency(headed, ["x", "y"])[0], expected)
    np.testing.assert_array_equal(read_adjacency(named, ["x", "y"])[0], expected)


@pytest.mark.parametrize("rows", [["1,0,0", "0,1,0", "0,0,1"], ["1,0"], ["1,0", "0"]])
def test_a_matrix_of_another_size_is_refused_with_both_numbers(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(DataError, match=r"there are 2 sensors"):
        read_adjacency(write(tmp_path / "a.csv", rows), ["x", "y"])


@pytest.mark.parametrize("cell", ["-1", "inf", "nan", "near"])
def test_a_wrong_weight_is_refused_with_row_and_column(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match="row 2, column 1"):
        read_adjacency(write(tmp_path / "a.csv", ["1,0", f"{cell},1"]), ["x", "y"])


def test_distances_become_a_gaussian_kernel(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", ["from,to,cost", "x,y,100", "y,x,200", "x,z,900", "q,x,5"])
    made, said = read_adjacency(path, ["x", "y", "z"], threshold=0.1)
    spread = np.std([100, 200, 900])
    assert made[0, 1] == pytest.approx(np.exp(-((100 / spread) ** 2)), rel=1e-6)
    assert made[1, 0] == pytest.approx(np.exp(-((200 / spread) ** 2)), rel=1e-6)
    assert made[0, 2] == 0, "exp(-(900/356)^2) is below the threshold"
    assert (np.diag(made) == 1).all()
    assert "1 rows are of sensors that are not in the table" in said


@pytest.mark.parametrize("costs", [("500.1", "500.1", "500.1"), ("310", "392.2", "340"), ("1", "1", "1")])
def test_a_list_of_neighbours_at_like_distances_keeps_them(tmp_path: Path, costs: tuple[str, ...]) -> None:
    """As PEMS04 and PEMS08 list them: their spread is no measure of near and far."""
    rows = ["from,to,cost", *(f"{a},{b},{cost}" for (a, b), cost in zip(("xy", "yz", "zx"), costs, strict=True))]
    made, said = read_adjacency(write(tmp_path / "d.csv", rows), ["x", "y", "z"])
    assert np.count_nonzero(made) == 6, "three neighbours and the sensors themselves"
    assert made[0, 1] == pytest.approx(np.exp(-1), abs=0.15)
    assert "3 distances became weights" in said and said.endswith("3 left")


def test_distances_between_strangers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is of two sensors"):
        read_adjacency(write(tmp_path / "d.csv", ["from,to,cost", "1,2,3"]), ["x", "y"])


@pytest.mark.parametrize("cell", ["-3", "far", "inf"])
def test_a_wrong_distance_is_refused_with_its_row(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match=r"d.csv, row 2"):
        read_adjacency(write(tmp_path / "d.csv", ["from,to,cost", "x,y,3", f"y,x,{cell}"]), ["x", "y"])


@given(hnp.arrays(np.float64, (6, 6), elements=st.sampled_from([0.0, 0.2, 0.5, 0.9])), st.integers(1, 5))
def test_neighbours_are_the_strongest_and_never_the_sensor_itself(weights: np.ndarray, count: int) -> None:
    chosen = neighbours(weights, count)
    for sensor in range(6):
        others = [other for other in range(6) if other != sensor and weights[sensor, other] > 0]
        if not others:
            assert (chosen[sensor] == sensor).all()
            continue
        assert set(chosen[sensor]) <= set(others)
        assert len(set(chosen[sensor])) == min(count, len(others)), "as many different ones as there are"
        left_out = [weights[sensor, other] for other in others if other not in chosen[sensor]]
        assert min(weights[sensor, chosen[sensor]]) >= max(left_out, default=0)
