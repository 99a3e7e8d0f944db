"""Every layout gives the same interactions; a wrong cell is named with file, row and column; repairs are counted."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movielens_files import TITLES, write_movielens
from penjing.errors import DataError
from penjing_recommendation import pieces
from penjing_recommendation.interactions import Interactions, in_order
from penjing_recommendation.reading import read_interactions

EXPECTED = [("7", "10", 100), ("7", "30", 200), ("7", "20", 300), ("9", "10", 50), ("9", "40", 60), ("9", "20", 60)]
"""By user and time; of the same second the file's order."""


def rows(read: Interactions) -> list[tuple[str, str, int]]:
    return [
        (read.users[u], read.items[i], int(t) // 1000) for u, i, t in zip(read.user, read.item, read.time, strict=True)
    ]


@pytest.mark.parametrize("layout", ["100k", "1M", "latest"])
def test_movielens_layouts_hold_the_same(tmp_path: Path, layout: str) -> None:
    read = read_interactions(write_movielens(tmp_path / "ml", layout), {})
    assert rows(read) == EXPECTED
    assert read.titles["20"] == TITLES[20]


@pytest.mark.parametrize("name", ["u.data", "u.item"])
def test_a_file_of_the_folder_finds_the_other(tmp_path: Path, name: str) -> None:
    folder = write_movielens(tmp_path / "ml", "100k")
    if name == "u.item":
        with pytest.raises(DataError, match="no table that can be read"):
            read_interactions(folder / name, {})
    else:
        assert read_interactions(folder / name, {}).titles["10"] == TITLES[10]


def test_an_archive_unpacked_into_a_folder_of_its_own_is_found(tmp_path: Path) -> None:
    write_movielens(tmp_path / "outer" / "ml-1m", "1M")
    assert len(read_interactions(tmp_path / "outer", {})) == 6


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "parquet", "pieces"])
def test_any_table_with_a_column_map(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame(
        {"who": ["b", "a", "a"], "what": ["x", "x", "y"], "stars": [1.0, 2.0, 3.0], "seen at": [5, 6, 7]}
    )
    path = tmp_path / f"table.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    elif kind == "pieces":
        path.mkdir()
        table[:1].to_parquet(path / "part-0.parquet")
        table[1:].to_parquet(path / "part-1.parquet")
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(table.to_csv(index=False).encode()))
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    options = {"user_column": "who", "item_column": "what", "rating_column": "stars", "time_column": "seen at"}
    assert rows(read_interactions(path, options)) == [("b", "x", 5), ("a", "x", 6), ("a", "y", 7)]


def test_dates_are_read_and_count_as_utc(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user,item,time\na,x,1970-01-01 00:01:00\na,y,1970-01-02\n")
    assert [time for _, _, time in rows(read_interactions(path, {}))] == [60, 86_400]


@pytest.mark.parametrize(
    ("lines", "options", "where", "what"),
    [
        (["a,x,4,soon"], {}, "row 3, column 'timestamp'", "'soon' is no number"),
        (["a,x,four,7"], {}, "row 3, column 'rating'", "'four' is no number"),
        (["a,x,inf,7"], {}, "row 3, column 'rating'", "'inf' is no finite number"),
        (["a,x,-3,7"], {}, "row 3, column 'rating'", "cannot be negative: -3"),
        (["a,x,4,"], {}, "row 3, column 'timestamp'", "a cell is empty"),
        ([",x,4,7"], {}, "row 3, column 'userId'", "a cell is empty"),
        (["a,,4,7"], {}, "row 3, column 'movieId'", "a cell is empty"),
        (["a,x,4"], {}, "row 3, column 'timestamp'", "a cell is empty"),
        (["a,x,4,7,8"], {}, "", "cannot be read as a table"),
        ([], {"rating_column": "rate"}, "header", "no column 'rate' for the rating"),
        ([], {"min_rating": 9.0}, "", "there are no interactions"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, lines: list[str], options: dict, where: str, what: str) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(["userId,movieId,rating,timestamp", "a,w,3,1", "b,w,3,2", *lines, ""]))
    with pytest.raises(DataError) as error:
        read_interactions(path, options)
    assert what in str(error.value) and where in (error.value.where or "")
    assert "ratings.csv" in (error.value.where or "")


def test_a_wrong_cell_of_a_later_piece_has_its_row_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 3)
    path = tmp_path / "ratings.dat"
    path.write_text("".join(f"{n}::{n}::3::{'x' if n == 8 else n}\n" for n in range(1, 11)))
    with pytest.raises(DataError, match="row 8, column 'Timestamp'"):
        read_interactions(path, {})


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99), st.integers(0, 9)), min_size=1, max_size=40))
def test_columns_parted_by_two_colons_survive_any_size_of_read(given_rows: list[tuple[int, int, int]]) -> None:
    text = "".join(f"{a}::{b}::{c}\n" for a, b, c in given_rows)
    import io

    single = pieces._Single(io.StringIO(text))
    found = ""
    while part := single.read(7):
        found += part
    assert found == text.replace("::", "\t")


def test_mixed_time_zones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user,item,time\na,x,2020-01-01T00:00:00+01:00\na,y,2020-01-01T00:00:00Z\n")
    with pytest.raises(DataError, match="another time zone") as error:
        read_interactions(path, {})
    assert error.value.where == "t.csv, row 2, column 'time'"


@pytest.mark.parametrize("content", ["", "userId,movieId,rating,timestamp\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=r"empty|no rows"):
        read_interactions(path, {})


@pytest.mark.parametrize("name", ["nothing.csv", "model.pkl", "ml.zip"])
def test_what_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name != "nothing.csv":
        path.write_bytes(b"\x80\x04")
    with pytest.raises(DataError):
        read_interactions(path, {})


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match="cannot be read"):
        read_interactions(path, {})


def test_pieces_of_two_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,time\na,x,1\n")
    (tmp_path / "b.csv").write_text("user,item,when\na,x,1\n")
    with pytest.raises(DataError, match=r"b.csv has other columns than a.csv"):
        read_interactions(tmp_path, {})


def test_repairs_are_counted(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "ml", "latest")
    with (folder / "ratings.csv").open("a") as stream:
        stream.write("7,10,5.0,400\n7,99,5.0,500\n")  # a repeat, and an item without a title
    notes = " ".join(read_interactions(folder, {}).notes)
    assert "1 rows are earlier than a row of the same user before them" in notes
    assert "1 rows are of the same user and moment" in notes
    assert "1 rows repeat an item of the same user; the earliest of each was kept" in notes
    assert "1 interactions are with 1 items that the list of titles does not know" in notes


def test_a_threshold_makes_interactions_of_ratings(tmp_path: Path) -> None:
    read = read_interactions(write_movielens(tmp_path / "ml", "latest"), {"min_rating": 3.5})
    assert rows(read) == [("7", "10", 100), ("7", "20", 300), ("9", "10", 50)]
    assert "3 ratings below 3.5" in read.notes[0]


interactions = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=60)


@given(interactions)
def test_order_is_that_of_a_stable_sort_and_the_first_of_a_pair_stays(found: list[tuple[int, int, int]]) -> None:
    user, item, time = (np.array(column) for column in zip(*found, strict=True))
    made = in_order(
        user=user,
        item=item,
        time=time,
        rating=None,
        users=[str(n) for n in range(5)],
        items=[str(n) for n in range(7)],
        source="",
        sha256="",
    )
    expected = []
    for u, i, t in sorted(found, key=lambda row: (row[0], row[2])):
        if (u, i) not in [(a, b) for a, b, _ in expected]:
            expected.append((u, i, t))
    assert [
        (int(made.users[u]), int(made.items[i]), int(t))
        for u, i, t in zip(made.user, made.item, made.time, strict=True)
    ] == expected


def test_the_real_file_has_its_published_counts(penjing_data: Path) -> None:
    folder = penjing_data / "recommendation/ml-latest-small"
    if not folder.is_dir():
        pytest.skip(f"no ml-latest-small in {penjing_data}")
    read = read_interactions(folder, {})
    assert (len(read), len(read.users), len(read.items)) == (100_836, 610, 9_724)
    assert read.titles["1"] == "Toy Story (1995)"
