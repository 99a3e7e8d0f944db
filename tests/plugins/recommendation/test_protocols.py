"""Who is in which part: the last out, a cut in time; histories hold what was before; what is unseen is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.contract import DataRequest, Splits
from penjing.errors import DataError, RecipeError
from penjing.runner.data_checks import check_splits
from penjing_recommendation.catalogue import Catalogue
from penjing_recommendation.data import DEFAULTS, load_data, splits_of
from penjing_recommendation.interactions import Interactions, in_order
from penjing_recommendation.windows import windows_of

Row = tuple[int, int, int]


def interactions(rows: Sequence[Row], items: int = 40) -> Interactions:
    user, item, time = (np.array(column) for column in zip(*rows, strict=True))
    return in_order(
        user=user,
        item=item,
        time=time,
        rating=None,
        users=[str(n) for n in range(int(user.max()) + 1)],
        items=[f"item {n}" for n in range(items)],
        source="rows",
        sha256="",
    )


def made(rows: Sequence[Row], **options: Any) -> Splits:
    return splits_of(interactions(rows), {**DEFAULTS, "history": 4, **options}, seed=0, source="rows", synthetic=False)


ALL_ITEMS = [(0, item, item) for item in range(30)]
"""A user who took items 0 to 29 one after the other, so that training knows them but the last two."""


def names(splits: Splits, numbers: np.ndarray) -> list[str]:
    catalogue = Catalogue.from_csv(splits.files["items.csv"])
    return [catalogue.items[number - 1] if number > 0 else "" for number in numbers]


def test_the_last_is_the_tests_the_one_before_the_validations() -> None:
    taken = (5, 8, 6, 7, 9, 10)
    splits = made([*ALL_ITEMS, *[(1, item, second) for second, item in enumerate(taken)]])
    named = [f"item {item}" for item in taken]
    assert names(splits, splits.validation.y[1])[:5] == [named[4], *named[:4]]
    assert names(splits, splits.test.y[1])[:6] == [named[5], *named[:5]]
    assert names(splits, splits.test.x[1]) == named[1:5]  # the newest four
    both = np.concatenate([splits.train.x, splits.train.y[:, :1]], axis=1)
    trained = {tuple(names(splits, row)) for row in both}
    assert ("", "item 5", "item 8", "item 6", "item 7") in trained
    assert ("item 8", "item 6", "item 7", "item 9") not in {row[-4:] for row in trained}
    assert len(splits.train) == 28 + 4
    check_splits(splits, "ranking")


def test_users_with_two_interactions_are_for_training_alone_and_counted() -> None:
    splits = made([*ALL_ITEMS, (1, 3, 1), (1, 4, 2)])
    assert len(splits.test) == 1
    assert any("1 users have fewer than three interactions" in note for note in splits.notes)


def test_a_target_that_training_has_not_seen_stays_and_is_counted() -> None:
    splits = made([*ALL_ITEMS, *[(1, item, item) for item in (5, 6, 29)]])
    assert splits.test.y[:, 0].tolist() == [0, 0]  # item 29, taken last by both
    assert any("2 of 2 test targets are such items; each counts as a miss" in note for note in splits.notes)
    assert any("2 items have no interaction in training" in note for note in splits.notes)
    assert set(splits.test.slices["popularity of the target"]) == {"unseen in training"}


def test_a_cut_in_time_puts_each_later_interaction_to_the_test_with_all_before_it_as_history() -> None:
    rows = [*ALL_ITEMS, *[(1, item, 30 + item) for item in range(10)]]  # user 1 is new after the cut
    splits = made(rows, protocol="time-cut", validation_share=0.1, test_share=0.25)
    assert names(splits, splits.test.y[:, 0]) == [f"item {n}" for n in range(10)]
    assert names(splits, splits.test.x[0]) == [""] * 4
    assert names(splits, splits.test.x[6]) == [f"item {n}" for n in (2, 3, 4, 5)]
    assert any("of 1 users of the test part 1 have no interaction in training" in note for note in splits.notes)
    assert set(splits.test.groups) == {"1"}
    assert splits.source.endswith("time-cut")
    check_splits(splits, "ranking")


rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 39), st.integers(0, 30)), min_size=30, max_size=90)


@given(rows, st.sampled_from(["leave-last-out", "time-cut"]))
def test_no_history_holds_what_came_later_and_no_target_is_trained_on(found: list[Row], protocol: str) -> None:
    try:
        splits = made([*ALL_ITEMS, *found], protocol=protocol)
    except DataError:
        return
    read = interactions([*ALL_ITEMS, *found])
    catalogue = Catalogue.from_csv(splits.files["items.csv"])
    for part in (splits.validation, splits.test):
        for name, target in zip(part.ids, part.y, strict=True):
            row = int(name.split()[1])
            before = {
                catalogue.numbers.get(read.items[i], 0)
                for u, i, t in zip(read.user[:row], read.item[:row], read.time[:row], strict=True)
                if u == read.user[row] and t <= read.time[row]
            }
            seen = target[1:][target[1:] > 0].tolist()
            assert set(seen) == before - {0} and target[0] not in seen
    assert len(splits.train) + len(splits.validation) + len(splits.test) == len(read)


@given(st.integers(1, 9), st.data())
def test_windows_are_the_last_items_of_their_own_sequence(length: int, data: st.DataObject) -> None:
    items = np.arange(100, 130)
    place = data.draw(st.integers(0, 29))
    first = data.draw(st.integers(0, place))
    expected = items[max(first, place - length) : place].tolist()
    (newest_last,) = windows_of(items, np.array([first]), np.array([place]), length)
    (oldest_first,) = windows_of(items, np.array([first]), np.array([place]), length, newest_last=False, empty=-1)
    assert newest_last.tolist() == [0] * (length - len(expected)) + expected
    assert oldest_first.tolist() == expected + [-1] * (length - len(expected))


def test_the_list_is_long_enough_for_the_longest_history() -> None:
    splits = made([*ALL_ITEMS, *[(1, item, item) for item in range(20)]])
    assert splits.extra["list"] == 28  # as many as there are
    large = load_data(DataRequest(options={"users": 60, "items": 700}))
    longest = int((large.test.y[:, 1:] > 0).sum(axis=1).max())
    assert large.extra["list"] == 100 + longest


def test_numbers_fall_with_popularity() -> None:
    splits = made([*ALL_ITEMS, *[(1, item, item) for item in (7, 8, 9, 10)], *[(2, item, item) for item in (7, 8, 9)]])
    catalogue = Catalogue.from_csv(splits.files["items.csv"])
    assert catalogue.items[0] == "item 7" and (np.diff(catalogue.counts) <= 0).all()


def test_examples_beyond_the_most_are_drawn_and_counted() -> None:
    splits = load_data(DataRequest(options={"users": 80, "items": 100, "test_examples": 20, "train_examples": 500}))
    assert (len(splits.test), len(splits.train)) == (20, 500)
    assert any("of 80 test examples 20 were drawn" in note for note in splits.notes)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"protocol": "random"}, "unknown protocol 'random'"),
        ({"history": 0}, "cannot be 0"),
        ({"histroy": 5}, "did you mean 'history'"),
        ({"protocol": "time-cut", "test_share": 0.9}, "cannot be 0.9"),
    ],
)
def test_a_wrong_option_is_refused(options: dict, error: str) -> None:
    with pytest.raises((DataError, RecipeError), match=error):
        load_data(DataRequest(options={"users": 60, "items": 60, **options}))


def test_too_little_data_is_refused() -> None:
    with pytest.raises(DataError, match="no user is left"):
        made([(0, 1, 1), (0, 2, 2)])
    with pytest.raises(DataError, match="2 items only"):
        made([(0, 1, 1), (0, 2, 2), (0, 3, 3), (0, 4, 4)])
    with pytest.raises(DataError, match="nothing lies before the cut"):
        made([(0, item, 5) for item in range(30)], protocol="time-cut")


def test_the_sample_is_the_same_for_a_seed_and_skewed_with_cold_items() -> None:
    first, second = (load_data(DataRequest(seed=2, options={"users": 100, "items": 150})) for _ in range(2))
    assert first.sha256 == second.sha256 and np.array_equal(first.test.x, second.test.x)
    assert first.sha256 != load_data(DataRequest(seed=3, options={"users": 100, "items": 150})).sha256
    counts = first.extra["counts"]
    assert first.synthetic and counts[:15].sum() > 0.2 * counts.sum()
    assert (counts < 5).sum() > 5
