"""The simulated transactions: the rules of their fraud, and that equal arguments give equal data."""

from __future__ import annotations

import numpy as np
import pytest

from penjing_datasets.errors import DatasetError
from penjing_datasets.transaction_simulation import DAY_SECONDS, SimulatedTransactions, simulate_transactions


@pytest.fixture(scope="module")
def sample() -> SimulatedTransactions:
    return simulate_transactions(customers=500, terminals=1_000, days=90, seed=1)


def test_equal_seeds_give_equal_transactions() -> None:
    small = {"customers": 60, "terminals": 120, "days": 20}
    assert simulate_transactions(**small, seed=4).sha256 == simulate_transactions(**small, seed=4).sha256
    assert simulate_transactions(**small, seed=4).sha256 != simulate_transactions(**small, seed=5).sha256


def test_transactions_are_in_the_order_of_time(sample: SimulatedTransactions) -> None:
    assert (np.diff(sample.time) >= 0).all()
    days = sample.time // DAY_SECONDS - np.datetime64("2018-04-01").astype(int)
    assert (days.min(), days.max()) == (0, 89)


def test_every_large_amount_is_fraud(sample: SimulatedTransactions) -> None:
    assert (sample.fraud[sample.amount > 220] == 1).all()
    assert (sample.amount[sample.scenario == 1] > 220).all()


def test_a_compromised_terminal_has_28_days_of_nothing_but_fraud(sample: SimulatedTransactions) -> None:
    days = sample.time // DAY_SECONDS
    terminal = np.bincount(sample.terminal[sample.scenario == 2]).argmax()
    there = sample.terminal == terminal
    first = days[there & (sample.scenario == 2)].min()
    during = there & (days >= first) & (days < first + 28)
    assert during.sum() > 5
    assert (sample.fraud[during] == 1).all()


def test_leaked_cards_pay_five_times_as_much(sample: SimulatedTransactions) -> None:
    genuine, leaked = sample.scenario == 0, sample.scenario == 3
    counts = np.maximum(np.bincount(sample.customer[genuine], minlength=500), 1)
    usual = np.bincount(sample.customer[genuine], sample.amount[genuine], 500) / counts
    ratio = sample.amount[leaked] / usual[sample.customer[leaked]]
    assert 4 < np.median(ratio) < 6
    spell = [np.ptp(sample.time[leaked & (sample.customer == c)]) for c in np.unique(sample.customer[leaked])]
    assert np.median(spell) <= 14 * DAY_SECONDS


def test_a_small_sample_is_like_a_large_one(sample: SimulatedTransactions) -> None:
    large = simulate_transactions(customers=2_000, terminals=4_000, days=90, seed=2).summary()
    small = sample.summary()
    for name in ("transactions_per_customer_and_day", "mean_amount", "share_before_7", "fraud_share"):
        assert small[name] == pytest.approx(large[name], rel=0.25), name


@pytest.mark.parametrize("argument", [{"customers": 0}, {"days": -1}, {"start": "tomorrow"}])
def test_what_cannot_be_simulated_is_refused(argument: dict) -> None:
    with pytest.raises(DatasetError):
        simulate_transactions(**argument)
