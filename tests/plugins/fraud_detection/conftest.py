"""Transactions that several tests share: the real file, read once, and a small simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from penjing_datasets.transaction_simulation import simulate_transactions
from penjing_fraud_detection.features import Transactions
from penjing_fraud_detection.reading import History, read_table

HANDBOOK = "fraud_detection/transactions_2018-04-01_2018-08-31.csv.xz"
ORACLE = "fraud_detection/transformed_2018-07-25_2018-08-14.csv.gz"


@pytest.fixture(scope="session")
def handbook(penjing_data: Path) -> History:
    """All 1,466,282 transactions of the Fraud Detection Handbook, from a folder with its engineered features beside."""
    if not (penjing_data / HANDBOOK).is_file():
        pytest.skip(f"no {HANDBOOK} in {penjing_data}")
    read = read_table(penjing_data / "fraud_detection", {})
    assert isinstance(read, History)
    return read


@pytest.fixture(scope="session")
def oracle(penjing_data: Path) -> Path:
    """The Handbook's own features of three weeks."""
    return penjing_data / ORACLE


@pytest.fixture(scope="session")
def simulated() -> Transactions:
    """Some weeks of 150 customers."""
    made = simulate_transactions(customers=150, terminals=300, days=60, seed=3)
    return Transactions(
        time=made.time * 1_000,
        customer=made.customer,
        terminal=made.terminal,
        amount=made.amount,
        fraud=made.fraud,
        scenario=made.scenario,
        row=np.arange(1, len(made) + 1),
    )
