"""The online state: the very numbers of the table, kept across a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penjing.errors import DataError
from penjing_fraud_detection.features import DAY, Transactions, point_in_time
from penjing_fraud_detection.reading import History
from penjing_fraud_detection.state import OnlineState


def one_by_one(state: OnlineState, table: Transactions, rows: range | None = None) -> np.ndarray:
    """Features of each transaction; frauds are reported six days later, as they become known."""
    found, waiting = [], 0
    rows = rows or range(len(table))
    waiting = rows.start
    for index in rows:
        while table.time[waiting] <= table.time[index] - 6 * DAY:
            if table.fraud[waiting]:
                assert state.report_fraud(table.time[waiting], table.terminal[waiting])
            waiting += 1
        found.append(
            state.features(table.time[index], table.customer[index], table.terminal[index], table.amount[index])
        )
    return np.array(found)


def test_one_by_one_gives_bit_for_bit_what_the_table_gives(simulated: Transactions) -> None:
    np.testing.assert_array_equal(one_by_one(OnlineState(), simulated), point_in_time(simulated))


def test_a_month_of_the_handbook_one_by_one(handbook: History) -> None:
    month = handbook.transactions.take(slice(0, 60_000))
    np.testing.assert_array_equal(one_by_one(OnlineState(), month), point_in_time(month))


def test_a_state_goes_on_where_it_was_closed(simulated: Transactions, tmp_path: Path) -> None:
    half = len(simulated) // 2
    first = Transactions(**{**vars(simulated), "fraud": np.zeros_like(simulated.fraud)})
    with_none = point_in_time(first)
    state = OnlineState.open(tmp_path / "state")
    before = one_by_one(state, first, range(0, half))
    state.close()
    after = one_by_one(OnlineState.open(tmp_path / "state"), first, range(half, len(first)))
    np.testing.assert_array_equal(np.concatenate([before, after]), with_none)


CHILD = """
import sys, time
from pathlib import Path
from penjing_fraud_detection.state import OnlineState
state = OnlineState.open(Path(sys.argv[1]))
for number in range(100_000):
    state.features(1_000 * number, number % 7, number % 3, 1 + number % 50)
    if number % 5 == 0:
        state.report_fraud(1_000 * number, number % 3)
    if number == 700:
        state.save()
    if number % 100 == 0:
        print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    answered = 0
    while answered < 2_000:
        answered = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    kept = OnlineState.open(tmp_path)
    done = len(kept)
    assert done > answered
    # The last transaction may have been answered and its fraud not yet reported.
    expected = [features_after(done, reported) for reported in (done, done - 1)]
    found = features_later(kept, done)
    assert any(np.array_equal(found, one) for one in expected)


def features_after(done: int, reported: int) -> np.ndarray:
    """Of a state that has seen what the child did, and frauds of the first so many transactions."""
    fresh = OnlineState()
    for number in range(done):
        fresh.features(1_000 * number, number % 7, number % 3, 1 + number % 50)
        if number % 5 == 0 and number < reported:
            fresh.report_fraud(1_000 * number, number % 3)
    return features_later(fresh, done)


def features_later(state: OnlineState, done: int) -> np.ndarray:
    """Ten days on, when all frauds count."""
    later = 1_000 * done + 10 * DAY
    return np.stack([state.features(later, card, card % 3, 9.0) for card in range(7)])


def test_a_record_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    state = OnlineState.open(tmp_path)
    for number in range(10):
        state.features(number, "a", "b", 5.0)
    journal = next(tmp_path.glob("journal-*"))
    journal.write_bytes(journal.read_bytes()[:-3])
    again = OnlineState.open(tmp_path)
    assert len(again) == 9
    assert again.features(20, "a", "b", 5.0)[3] == 10
    assert len(OnlineState.open(tmp_path)) == 10


def test_names_of_cards_and_terminals_stand_in_no_file(tmp_path: Path) -> None:
    state = OnlineState.open(tmp_path)
    for number in range(200):
        state.features(number, "card-4929123412341234", "terminal-77-north", 5.0)
    state.report_fraud(3, "terminal-77-north")
    state.save()
    state.features(300, "card-4929123412341234", "terminal-77-north", 5.0)
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert b"4929123412341234" not in content
        assert b"terminal-77" not in content


def test_a_fraud_that_was_never_seen_is_not_taken(tmp_path: Path) -> None:
    state = OnlineState()
    state.features(5, "a", "b", 1.0)
    assert not state.report_fraud(6, "b")
    assert not state.report_fraud(5, "other")
    assert state.report_fraud(5, "b")
    assert not state.report_fraud(5, "b")


def test_a_fraud_that_is_reported_late_counts_from_then_on() -> None:
    state = OnlineState()
    state.features(0, "a", "b", 1.0)
    assert state.features(20 * DAY, "a", "b", 1.0)[-1] == 0
    state.report_fraud(0, "b")
    assert state.features(20 * DAY, "a", "b", 1.0)[-1] == 1


def test_a_transaction_of_the_past_is_refused() -> None:
    state = OnlineState()
    state.features(10, "a", "b", 1.0)
    with pytest.raises(DataError, match="earlier"):
        state.features(9, "a", "b", 1.0)
    assert len(state) == 1


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -2e9])
def test_an_amount_that_cannot_be_counted_is_refused(amount: float) -> None:
    with pytest.raises(DataError, match="amount"):
        OnlineState().features(1, "a", "b", amount)


def test_a_state_of_other_windows_is_refused(tmp_path: Path) -> None:
    OnlineState.open(tmp_path).close()
    with pytest.raises(DataError, match="other windows"):
        OnlineState.open(tmp_path, delay=3)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    OnlineState.open(tmp_path).close()
    file = next(tmp_path.glob("state-*.npz"))
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DataError, match="damaged"):
        OnlineState.open(tmp_path)


def test_the_history_does_not_grow_without_end() -> None:
    state = OnlineState()
    for day in range(2_000):
        state.features(day * DAY, "a", "b", 1.0)
    assert len(state) < 30 + 64 + 1
