"""Reasons: exact Shapley values of the groups, and words that say what was seen."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from penjing_fraud_detection.features import Transactions, feature_names, point_in_time
from penjing_fraud_detection.inputs import Inputs
from penjing_fraud_detection.reasons import contributions, groups_of, reasons


@pytest.fixture(scope="module")
def rows(simulated: Transactions) -> np.ndarray:
    return point_in_time(simulated)


@pytest.fixture(scope="module")
def inputs(rows: np.ndarray) -> Inputs:
    return Inputs.fitted("transactions", feature_names(), rows, (1, 7, 30), 7)


def network(x: np.ndarray) -> np.ndarray:
    """Something that is not additive in its inputs."""
    generator = np.random.default_rng(3)
    hidden = np.maximum(x @ generator.normal(size=(x.shape[1], 12)), 0)
    return hidden @ generator.normal(size=(12, 1)) - 4


def test_every_feature_stands_in_one_group(inputs: Inputs) -> None:
    columns = [column for group in groups_of(inputs).values() for column in group]
    assert sorted(columns) == list(range(len(inputs.features)))


def test_contributions_add_up_to_what_is_unlike_the_median(inputs: Inputs, rows: np.ndarray) -> None:
    for row in rows[:: len(rows) // 9]:
        added = contributions(row, inputs, network)
        both = network(inputs.of(np.stack([row, np.array(inputs.median)])))
        assert sum(added.values()) == pytest.approx(float(both[0, 0] - both[1, 0]), abs=1e-6)


def test_contributions_are_the_mean_over_all_orders(inputs: Inputs, rows: np.ndarray) -> None:
    row = rows[-1]
    groups = groups_of(inputs)
    expected = dict.fromkeys(groups, 0.0)
    orders = list(permutations(groups))
    for order in orders:
        changed = np.array(inputs.median)
        steps = [changed.copy()]
        for group in order:
            changed[list(groups[group])] = row[list(groups[group])]
            steps.append(changed.copy())
        gains = np.diff(network(inputs.of(np.stack(steps)))[:, 0])
        for group, gain in zip(order, gains, strict=True):
            expected[group] += float(gain) / len(orders)
    found = contributions(row, inputs, network)
    for group, value in expected.items():
        assert found[group] == pytest.approx(value, abs=1e-6)


def test_a_group_that_the_model_ignores_adds_nothing(inputs: Inputs, rows: np.ndarray) -> None:
    only_amount = contributions(rows[-1], inputs, lambda x: x[:, :1])
    assert only_amount["amount"] != 0
    assert [value for group, value in only_amount.items() if group != "amount"] == pytest.approx([0.0] * 5)


def test_words_name_the_numbers(inputs: Inputs, rows: np.ndarray) -> None:
    row = np.array(inputs.median)
    names = list(inputs.features)
    row[names.index("TERMINAL_ID_RISK_7DAY_WINDOW")] = 0.5
    row[names.index("TERMINAL_ID_NB_TX_7DAY_WINDOW")] = 8
    risk = [index for index, name in enumerate(names_of_inputs()) if "share of fraud" in name]
    told = reasons(row, inputs, lambda x: x[:, risk].sum(axis=1, keepdims=True))
    assert [reason.group for reason in told] == ["terminal's frauds"]
    assert told[0].words == "4 of the terminal's 8 transactions in 7 d, up to 7 d ago, were fraud"


def names_of_inputs() -> tuple[str, ...]:
    from penjing_fraud_detection.inputs import input_names

    return input_names()


def test_columns_of_a_flat_table_are_put_to_their_median() -> None:
    generator = np.random.default_rng(0)
    flat = Inputs.fitted("table", ("a", "b"), generator.normal(size=(99, 2)), (), 7)
    row = np.array([2.0, -1.0])

    def product(x: np.ndarray) -> np.ndarray:
        return x[:, :1] * x[:, 1:]

    added = contributions(row, flat, product)
    at = [product(flat.of(np.array([one])))[0, 0] for one in (row, [flat.median[0], -1.0], [2.0, flat.median[1]])]
    assert added["a"] == pytest.approx(at[0] - at[1])
    assert added["b"] == pytest.approx(at[0] - at[2])
