"""A flat table of labelled rows, such as the ULB's creditcard.csv: split by time where there is one, else by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import PARTS, Split, Splits
from penjing.errors import DataError
from penjing_fraud_detection.features import DAY
from penjing_fraud_detection.inputs import Inputs
from penjing_fraud_detection.reading import FlatTable

LABELS = ("genuine", "fraud")


def flat_splits(table: FlatTable, *, source: str, seed: int, options: Mapping[str, Any]) -> Splits:
    """Split a flat table and scale its columns by the training part.

    Rows with a time are split in its order, the last for the test; rows at a border's very moment stay on its earlier
    side. Without a time each part gets the same share of frauds.

    Raises:
        DataError: The rows are of one class only, or a part has no fraud.
    """
    if table.fraud is None:
        raise DataError("no column says what was fraud", where=source)
    shares = (options["validation_share"], options["test_share"])
    if table.time is None:
        parts = _by_class(table.fraud, shares, seed)
        note = "there is no time: split by class at random, so the figures are too good for what comes later"
    else:
        parts = _by_time(table.time, shares)
        note = "split in the order of time: training first, then validation, then test"
    for name in PARTS:
        count = int(table.fraud[parts[name]].sum())
        if count == 0 or count == len(parts[name]):
            raise DataError(
                f"the {name} part has {'no fraud' if count == 0 else 'nothing but fraud'} in {len(parts[name]):,} rows",
                where=source,
                hint="give more rows, or other validation_share and test_share in the recipe's [data]",
            )
    inputs = Inputs.fitted("table", table.names, table.x[parts["train"]], (), options["delay_days"])
    fraud = table.fraud
    day = np.full(len(fraud), "1970-01-01") if table.time is None else table.time // DAY
    day = day if table.time is None else day.astype("datetime64[D]").astype(str)

    def part(name: str) -> Split:
        rows = parts[name]
        return Split(
            x=inputs.of(table.x[rows]),
            y=fraud[rows].astype(np.int64),
            ids=[f"row {row + 1}" for row in rows],
            slices={"day": day[rows], "kind of fraud": np.where(fraud[rows] > 0, "fraud", "none")},
            raw=table.x[rows],
        )

    return Splits(
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        source=source,
        sha256=table.sha256,
        labels=LABELS,
        preprocessing=inputs.to_json(),
        input_meaning=f"{len(table.names)} columns of the table, asinh of standard deviations",
        output_meaning="log-odds of fraud",
        notes=(*table.notes, note),
    )


def _by_time(time: np.ndarray, shares: tuple[float, float]) -> dict[str, np.ndarray]:
    order = np.argsort(time, kind="stable")
    sorted_time = time[order]
    validation, test = shares
    borders = [int(len(time) * (1 - validation - test)), int(len(time) * (1 - test))]
    # Rows of one moment may be one event: they stay together.
    borders = [int(np.searchsorted(sorted_time, sorted_time[border - 1], side="right")) for border in borders]
    return dict(zip(PARTS, np.split(order, borders), strict=True))


def _by_class(fraud: np.ndarray, shares: tuple[float, float], seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng([seed, 83])
    validation, test = shares
    found: dict[str, list[np.ndarray]] = {name: [] for name in PARTS}
    for label in (0, 1):
        rows = generator.permutation(np.flatnonzero(fraud == label))
        borders = [round(len(rows) * (1 - validation - test)), round(len(rows) * (1 - test))]
        for name, chosen in zip(PARTS, np.split(rows, borders), strict=True):
            found[name].append(chosen)
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in found.items()}
