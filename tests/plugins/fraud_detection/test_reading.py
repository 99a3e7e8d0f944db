"""Tables as users have them, and what is said of those that cannot be used."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from penjing.errors import DataError
from penjing_fraud_detection.reading import FlatTable, History, read_table

HEADER = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
ROWS = (
    "0,2018-04-01 00:00:31,596,3156,57.16,0",
    "1,2018-04-01 00:02:10,4961,3412,81.51,1",
    "2,2018-04-02 10:00:00,596,3412,10.00,0",
)


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def history(path: Path, **options: object) -> History:
    read = read_table(path, options)
    assert isinstance(read, History)
    return read


def test_the_handbooks_columns_are_known(tmp_path: Path) -> None:
    read = history(write(tmp_path / "t.csv", *ROWS))
    table = read.transactions
    assert table.time.astype("datetime64[ms]").astype(str).tolist()[0] == "2018-04-01T00:00:31.000"
    assert table.customer.tolist() == [0, 1, 0]
    assert table.terminal.tolist() == [0, 1, 1]
    assert table.amount.tolist() == [57.16, 81.51, 10.0]
    assert table.fraud is not None
    assert table.fraud.tolist() == [0, 1, 0]
    assert read.customers == ("596", "4961")
    assert read.notes == ()


@pytest.mark.parametrize(("suffix", "pack"), [(".csv.gz", gzip.compress), (".csv.xz", lzma.compress)])
def test_compressed_files_are_read(tmp_path: Path, suffix: str, pack) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(pack("\n".join([HEADER, *ROWS]).encode()))
    assert len(history(path).transactions) == 3


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    csv = write(tmp_path / "t.csv", *ROWS)
    frame = pandas.read_csv(csv, parse_dates=["TX_DATETIME"])
    frame.to_parquet(tmp_path / "t.parquet")
    ours, theirs = history(tmp_path / "t.parquet"), history(csv)
    for name, values in vars(theirs.transactions).items():
        np.testing.assert_array_equal(getattr(ours.transactions, name), values)
    assert ours.customers == theirs.customers


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "2020-01-01T10:00:00,a,x,5,False", header="when,who,shop,paid,bad")
    options = {
        f"{role}_column": name
        for role, name in zip(
            ("time", "customer", "terminal", "amount", "fraud"), ("when", "who", "shop", "paid", "bad"), strict=True
        )
    }
    assert history(path, **options).transactions.amount.tolist() == [5.0]


def test_a_folder_of_days_is_one_table(tmp_path: Path) -> None:
    write(tmp_path / "2018-04-02.csv", ROWS[2])
    write(tmp_path / "2018-04-01.csv", *ROWS[:2])
    read = history(tmp_path)
    assert read.customers == ("596", "4961")
    assert (np.diff(read.transactions.time) > 0).all()


def test_features_that_lie_beside_transactions_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", *ROWS)
    write(tmp_path / "b.csv", "1,1", header="TX_DURING_NIGHT,TX_FRAUD")
    read = history(tmp_path)
    assert len(read.transactions) == 3
    assert "b.csv" in read.notes[0]


def test_rows_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    read = history(write(tmp_path / "t.csv", ROWS[2], ROWS[0], ROWS[1]))
    assert read.transactions.amount.tolist() == [57.16, 81.51, 10.0]
    assert read.transactions.row is not None
    assert read.transactions.row.tolist() == [2, 3, 1]
    assert "1 rows are earlier" in read.notes[0]


def test_duplicates_and_refunds_are_kept_and_counted(tmp_path: Path) -> None:
    read = history(write(tmp_path / "t.csv", ROWS[0], ROWS[0], ROWS[1].replace("81.51", "-81.51")))
    assert len(read.transactions) == 3
    assert any("1 amounts are negative" in note for note in read.notes)
    assert any("1 transactions stand twice" in note for note in read.notes)


@pytest.mark.parametrize(
    ("row", "place", "what"),
    [
        ("2,2018-04-03 10:00:00,5,6,much,0", "column 'TX_AMOUNT'", "'much' is no number"),
        ("2,2018-04-03 10:00:00,5,6,inf,0", "column 'TX_AMOUNT'", "no finite number"),
        ("2,2018-04-03 10:00:00,5,6,nan,0", "column 'TX_AMOUNT'", "no finite number"),
        ("2,2018-04-03 10:00:00,5,6,3e12,0", "column 'TX_AMOUNT'", "beyond"),
        ("2,2018-04-03 10:00:00,5,6,,0", "column 'TX_AMOUNT'", "empty"),
        ("2,2018-04-03 10:00:00,,6,1,0", "column 'CUSTOMER_ID'", "empty"),
        ("2,noon,5,6,1,0", "column 'TX_DATETIME'", "'noon' is no time"),
        ("2,,5,6,1,0", "column 'TX_DATETIME'", "empty"),
        ("2,2018-04-03 10:00:00+02:00,5,6,1,0", "column 'TX_DATETIME'", "another time zone"),
        ("2,2018-04-03 10:00:00,5,6,1,maybe", "column 'TX_FRAUD'", "does not say whether"),
        ("2,2018-04-03 10:00:00,5,6,1,-1", "column 'TX_FRAUD'", "does not say whether"),
        ("2,2018-04-03 10:00:00,5,6,1", "row 3", "5 cells instead of 6"),
    ],
)
def test_a_wrong_cell_is_named_with_file_row_and_column(tmp_path: Path, row: str, place: str, what: str) -> None:
    path = write(tmp_path / "wrong.csv", *ROWS[:2], row)
    with pytest.raises(DataError, match=what) as caught:
        read_table(path, {})
    assert caught.value.where is not None
    assert caught.value.where.startswith("wrong.csv, row 3")
    assert place in caught.value.where


def test_one_time_zone_throughout_is_local_time(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", *(row.replace(",596,", "+02:00,596,") for row in (ROWS[0], ROWS[2])))
    read = history(path)
    assert read.transactions.time[0] == np.datetime64("2018-04-01T00:00:31", "ms").astype(int)
    assert any("+02:00" in note for note in read.notes)


@pytest.mark.parametrize(
    ("content", "what"),
    [("", "empty"), (HEADER + "\n", "no rows"), ("A,B,A,TX_FRAUD\n1,2,3,0\n", "stands twice"), ("A,B\n1,2\n", "fraud")],
)
def test_a_table_without_what_is_needed_is_refused(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=what):
        read_table(path, {})


def test_a_column_that_does_not_exist_is_offered_another(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TX_AMOUNT"):
        read_table(write(tmp_path / "t.csv", *ROWS), {"amount_column": "TX_AMOUN"})


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.xz"
    path.write_bytes(lzma.compress("\n".join([HEADER, *ROWS * 500]).encode())[:-40])
    with pytest.raises(DataError, match=r"t\.csv\.xz"):
        read_table(path, {})


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "2018-04-01.pkl").write_bytes(b"\x80\x04.")
    for path in (tmp_path, tmp_path / "2018-04-01.pkl"):
        with pytest.raises(DataError, match="any code"):
            read_table(path, {})


def test_a_table_without_cards_is_flat(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "0,-1.3,2.5,149.62,0", "1,1.1,0.2,2.69,1", header="Time,V1,V2,Amount,Class")
    read = read_table(path, {})
    assert isinstance(read, FlatTable)
    assert read.names == ("V1", "V2", "Amount")
    assert read.x.tolist() == [[-1.3, 2.5, 149.62], [1.1, 0.2, 2.69]]
    assert read.time is not None
    assert read.time.tolist() == [0, 1_000]


def test_a_column_of_strings_in_a_flat_table_can_be_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "1,red,0", "2,blue,1", header="V1,colour,Class")
    with pytest.raises(DataError, match="ignore_columns"):
        read_table(path, {})
    read = read_table(path, {"ignore_columns": ["colour"]})
    assert isinstance(read, FlatTable)
    assert read.names == ("V1",)
