"""Transactions that `predict` can be tried on: simulated, with the Handbook's columns."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from penjing_datasets.transaction_simulation import simulate_transactions

COLUMNS = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")


def write_examples(folder: Path, seed: int) -> list[str]:
    """Three days of fifty customers as a CSV file without labels, and its path."""
    simulated = simulate_transactions(customers=50, terminals=50, days=3, seed=seed)
    moments = (simulated.time * 1_000).astype("datetime64[ms]")
    path = folder / "transactions.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in np.argsort(simulated.time, kind="stable"):
            moment = str(moments[row]).removesuffix(".000").replace("T", " ")
            writer.writerow((moment, simulated.customer[row], simulated.terminal[row], f"{simulated.amount[row]:.2f}"))
    return [str(path)]
