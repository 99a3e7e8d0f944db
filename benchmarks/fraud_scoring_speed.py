"""How long it takes to score one card transaction: history, inputs and network, on one thread.

    python benchmarks/fraud_scoring_speed.py runs/fraud/bundle

The state holds a month of simulated transactions of 5,000 customers and is kept in a folder, journal included.
Processor time is what the thread itself used; wall time also holds what other programs took on a busy machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import penjing
from penjing_datasets.transaction_simulation import simulate_transactions
from penjing_fraud_detection.inputs import Inputs
from penjing_fraud_detection.state import OnlineState

SCORED = 5_000


def main(folder: Path) -> None:
    bundle = penjing.load_bundle(folder)
    inputs = Inputs.from_json(bundle.preprocessing)
    made = simulate_transactions(customers=5_000, terminals=10_000, days=32)
    rows = list(zip(made.time * 1_000, made.customer, made.terminal, made.amount, strict=True))
    wall: dict[str, list[float]] = {"history": [], "inputs": [], "network": [], "all": []}
    used: dict[str, list[float]] = {name: [] for name in wall}
    with tempfile.TemporaryDirectory() as place:
        state = OnlineState.open(Path(place))
        for row in rows[:-SCORED]:
            state.features(*row)
        for row in rows[-SCORED:]:
            clocks = [(time.perf_counter(), time.thread_time())]
            features = state.features(*row)
            clocks.append((time.perf_counter(), time.thread_time()))
            x = inputs.of(features[None])
            clocks.append((time.perf_counter(), time.thread_time()))
            bundle.predict(x)
            clocks.append((time.perf_counter(), time.thread_time()))
            for number, name in enumerate(("history", "inputs", "network")):
                wall[name].append(clocks[number + 1][0] - clocks[number][0])
                used[name].append(clocks[number + 1][1] - clocks[number][1])
            wall["all"].append(clocks[-1][0] - clocks[0][0])
            used["all"].append(clocks[-1][1] - clocks[0][1])
        state.close()
    print(f"{SCORED:,} transactions, {len(rows) - SCORED:,} in the history; microseconds")
    print(f"{'':10}{'processor p50':>15}{'p99':>8}{'wall p50':>12}{'p99':>8}")
    for name in wall:
        figures = [1e6 * float(np.quantile(values[name], q)) for values in (used, wall) for q in (0.5, 0.99)]
        print(f"{name:10}{figures[0]:15.1f}{figures[1]:8.1f}{figures[2]:12.1f}{figures[3]:8.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
