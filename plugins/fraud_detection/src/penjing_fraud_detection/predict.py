"""Score transactions by a bundle, on the device: numpy alone, no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError
from penjing_fraud_detection.alerts import BUDGET, daily_alerts
from penjing_fraud_detection.features import DAY, point_in_time
from penjing_fraud_detection.inputs import Inputs
from penjing_fraud_detection.metrics import probabilities
from penjing_fraud_detection.reading import FlatTable, History, read_table
from penjing_fraud_detection.reasons import reasons
from penjing_fraud_detection.state import OnlineState


def predict(request: PredictRequest) -> Iterator[dict[str, Any]]:
    """Rows for each input file: a transaction's probability of fraud, whether it is an alert, and why.

    Transactions are told apart by their row in the file, counted from 1 without the header; cards are not named.

    Raises:
        DataError: A file cannot be read, or has not the columns that the bundle needs.
        UsageError: No file is given, or an option is out of range.
    """
    if not request.inputs:
        raise UsageError("there is nothing to score", hint="name one or more CSV or Parquet files of transactions")
    options = _checked(request)
    inputs = Inputs.from_json(request.bundle.preprocessing)
    for name in request.inputs:
        read = read_table(Path(name), {}, needs_labels=False)
        if isinstance(read, History) != (inputs.kind == "transactions"):
            raise DataError(
                f"the bundle is for {'transactions' if inputs.kind == 'transactions' else 'a flat table'}, "
                f"the file holds {'transactions' if isinstance(read, History) else 'a flat table'}",
                where=name,
                hint="transactions need columns of time, card, terminal and amount",
            )
        yield from _scored(name, read, inputs, request.bundle, options)


def _checked(request: PredictRequest) -> dict[str, Any]:
    given = request.options
    options = {
        "budget": BUDGET if given.get("alerts") is None else given["alerts"],
        "threshold": given.get("threshold") or 0.0,
        "alerts_only": bool(given.get("alerts_only")),
        "reasons": 3 if given.get("reasons") is None else given["reasons"],
        "state": given.get("state"),
    }
    if options["budget"] < 1:
        raise UsageError(f"--alerts cannot be {options['budget']}", hint="it is how many cards a day, 1 or more")
    if not 0 <= options["threshold"] < 1:
        raise UsageError(f"--threshold cannot be {options['threshold']}", hint="it is a probability, 0 to 1")
    if options["reasons"] < 0:
        raise UsageError(f"--reasons cannot be {options['reasons']}", hint="it is how many reasons, 0 or more")
    return options


def _scored(
    name: str, read: History | FlatTable, inputs: Inputs, bundle: Any, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if isinstance(read, History):
        transactions = read.transactions
        time, card, row = transactions.time, transactions.customer, transactions.row
        assert row is not None
        if options["state"] is not None:
            features = _online(read, inputs, Path(options["state"]))
        else:
            features = point_in_time(transactions, windows=inputs.windows, delay=inputs.delay)
    else:
        features = _columns(name, read, inputs)
        row = np.arange(1, len(features) + 1)
        time = np.zeros(len(features), np.int64) if read.time is None else read.time
        order = np.argsort(time, kind="stable")
        features, row, time = features[order], row[order], time[order]
        card = row
    score = np.asarray(bundle.predict(inputs.of(features))).reshape(-1)
    probability = probabilities(score)
    least = options["threshold"]
    floor = -np.inf if least == 0 else float(np.log(least / (1 - least)))
    alerts = set(daily_alerts(time // DAY, card, score, budget=options["budget"], threshold=floor).rows.tolist())
    told = isinstance(read, History) or read.time is not None
    for index in range(len(row)):
        alert = index in alerts
        if options["alerts_only"] and not alert:
            continue
        found: dict[str, Any] = {"file": name, "row": int(row[index])}
        if told:
            found["time"] = str(np.datetime64(int(time[index]), "ms")).removesuffix(".000").replace("T", " ")
        found |= {"probability": round(float(probability[index]), 6), "alert": alert, "reasons": ""}
        if alert and options["reasons"]:
            given = reasons(features[index], inputs, bundle.predict, most=options["reasons"])
            found["reasons"] = "; ".join(f"{reason.words} (+{reason.log_odds:.2f})" for reason in given)
        yield found


def _online(read: History, inputs: Inputs, folder: Path) -> np.ndarray:
    """Features by the state of a folder, which then holds these transactions too."""
    transactions = read.transactions
    state = OnlineState.open(folder, windows=inputs.windows, delay=inputs.delay)
    rows = np.empty((len(transactions), len(inputs.features)), np.float64)
    try:
        for index in range(len(transactions)):
            time = int(transactions.time[index])
            terminal = read.terminals[transactions.terminal[index]]
            customer = read.customers[transactions.customer[index]]
            rows[index] = state.features(time, customer, terminal, float(transactions.amount[index]))
            if transactions.fraud is not None and transactions.fraud[index]:
                state.report_fraud(time, terminal)
    finally:
        state.close()
    return rows


def _columns(name: str, table: FlatTable, inputs: Inputs) -> np.ndarray:
    missing = [column for column in inputs.features if column not in table.names]
    if missing:
        raise DataError(
            f"there is no column '{missing[0]}'",
            where=f"{name}, header",
            why=f"the bundle takes {len(inputs.features)} columns",
        )
    return table.x[:, [table.names.index(column) for column in inputs.features]]
