"""Load transactions, split them by time with a delay, and turn them into the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError
from penjing.options import with_defaults
from penjing_datasets.transaction_simulation import SCENARIOS, simulate_transactions
from penjing_fraud_detection import DOMAIN, columns
from penjing_fraud_detection.features import DAY, DELAY, WINDOWS, Transactions, feature_names, point_in_time
from penjing_fraud_detection.inputs import Inputs
from penjing_fraud_detection.reading import FlatTable, History, read_table
from penjing_fraud_detection.splitting import Periods, day_number, rows_under_test, training_rows

LABELS = ("genuine", "fraud")
DEFAULTS: dict[str, Any] = {
    **columns.OPTIONS,
    "ignore_columns": [],
    "train_start": "",
    "train_days": 7,
    "delay_days": DELAY,
    "test_days": 7,
    "customers": 2_500,
    "terminals": 5_000,
    "days": 90,
    "validation_share": 0.15,
    "test_share": 0.25,
}
"""Options of the `[data]` table. `train_start = ""` takes the last days of the data (of the Handbook's simulated data
its own, 2018-07-25); `customers`, `terminals` and `days` are the size of the built-in sample; the shares are those of a
flat table."""
RANGES = {
    "train_days": (1, 3_650),
    "delay_days": (0, 365),
    "test_days": (1, 3_650),
    "customers": (50, 100_000),
    "terminals": (50, 1_000_000),
    "days": (1, 3_650),
    "validation_share": (0.01, 0.49),
    "test_share": (0.01, 0.49),
}
HANDBOOK_START = "2018-07-25"
"""First training day of the Handbook's figures."""
_HANDBOOK_COLUMNS = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")
_AMOUNTS = ((20.0, "below 20"), (100.0, "20 to 100"), (np.inf, "100 and above"))
"""(upper limit, name) of the slices by amount."""


def load_data(request: DataRequest) -> Splits:
    """Transactions of a file or folder, or of the built-in sample where no path is given.

    Raises:
        DataError: The data cannot be read, is too short for the split, or a part has no fraud.
        RecipeError: An option is unknown or out of range.
    """
    options = with_defaults(DOMAIN, "data", request.options, DEFAULTS, RANGES)
    if request.path is None:
        return _sample(request, options)
    read = read_table(request.path, options, progress=request.progress)
    source = request.path.resolve().name
    if isinstance(read, FlatTable):
        from penjing_fraud_detection.flat_data import flat_splits

        return flat_splits(read, source=source, seed=request.seed, options=options)
    return splits_of_history(read, source=source, options=options, synthetic=False)


def _sample(request: DataRequest, options: Mapping[str, Any]) -> Splits:
    simulated = simulate_transactions(
        customers=options["customers"], terminals=options["terminals"], days=options["days"], seed=request.seed
    )
    history = History(
        transactions=Transactions(
            time=simulated.time * 1_000,
            customer=simulated.customer,
            terminal=simulated.terminal,
            amount=simulated.amount,
            fraud=simulated.fraud,
            scenario=simulated.scenario,
            row=np.arange(1, len(simulated) + 1),
        ),
        notes=("Transactions of simulated customers with three kinds of fraud; not real payments.",),
        sha256=simulated.sha256,
        columns={},
        counted=False,
    )
    source = f"built-in sample, {options['customers']:,} simulated customers over {options['days']:,} days"
    return splits_of_history(history, source=source, options=options, synthetic=True)


def splits_of_history(history: History, *, source: str, options: Mapping[str, Any], synthetic: bool) -> Splits:
    """Split transactions in time and compute the features of the parts.

    Args:
        source: Where they come from, in words.
        options: Every key of `DEFAULTS`.

    Raises:
        DataError: The data is too short for the split, or a part has no fraud.
    """
    transactions = history.transactions
    if transactions.fraud is None:
        raise DataError("no column says what was fraud", where=source)
    periods, notes = _periods(history, source, options)
    parts = {
        "train": training_rows(transactions, periods),
        "validation": rows_under_test(transactions, periods.before),
        "test": rows_under_test(transactions, periods),
    }
    for name, rows in parts.items():
        count = int(transactions.fraud[rows].sum())
        if count == 0 or count == len(rows):
            found = "no fraud" if count == 0 else "nothing but fraud"
            raise DataError(
                f"the {name} part has {found} in {len(rows):,} transactions",
                where=source,
                hint="take other days: train_start, train_days, test_days in the recipe's [data]",
            )
    rows = np.concatenate(list(parts.values()))
    features = point_in_time(transactions, windows=WINDOWS, delay=options["delay_days"], rows=rows)
    borders = np.cumsum([0, *map(len, parts.values())])
    raw = {name: features[borders[i] : borders[i + 1]] for i, name in enumerate(parts)}
    inputs = Inputs.fitted("transactions", feature_names(WINDOWS), raw["train"], WINDOWS, options["delay_days"])
    _, numbers = np.unique(transactions.customer, return_inverse=True)
    card = np.char.add("card ", numbers.astype(str))

    def part(name: str) -> Split:
        chosen = parts[name]
        taken = transactions.take(chosen)
        assert taken.row is not None and taken.fraud is not None
        return Split(
            x=inputs.of(raw[name]),
            y=taken.fraud.astype(np.int64),
            ids=[f"row {row}" for row in taken.row],
            # A card pays before and after: time is what keeps the parts apart. The validation part names no cards, so
            # that cards in several parts are not taken for a mistake; in the others they are drawn together.
            groups=None if name == "validation" else card[chosen],
            slices=_slices(taken, raw[name], numbers[chosen]),
            raw=raw[name],
        )

    return Splits(
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        source=source,
        sha256=history.sha256,
        synthetic=synthetic,
        labels=LABELS,
        preprocessing=inputs.to_json(),
        input_meaning="log amount, week-end, night, the card's and the terminal's history, in standard deviations",
        output_meaning="log-odds of fraud",
        notes=(*history.notes, *notes),
    )


def _periods(history: History, source: str, options: Mapping[str, Any]) -> tuple[Periods, list[str]]:
    """Days of the parts, and what was decided."""
    time = history.transactions.time
    first, last = int(time[0] // DAY), int(time[-1] // DAY)
    lengths = {name: options[name] for name in ("train_days", "delay_days", "test_days")}
    notes = []
    if options["train_start"]:
        start = day_number(options["train_start"])
    else:
        start = last + 1 - sum(lengths.values())
        handbook = day_number(HANDBOOK_START)
        its_columns = set(_HANDBOOK_COLUMNS) <= set(history.columns.values())
        if its_columns and first < handbook - 30 and start > handbook:
            start = handbook
            notes.append(f"the Handbook's columns and dates: training begins on its day, {HANDBOOK_START}")
    periods = Periods(train_start=start, **lengths)
    if periods.end > last + 1 or periods.before.test_start < first:
        raise DataError(
            f"{last - first + 1:,} days are too few for the split",
            where=source,
            why=(
                f"validation begins on {_date(periods.before.test_start)}, the test ends on {_date(periods.end - 1)}; "
                f"the data goes from {_date(first)} to {_date(last)}"
            ),
            hint="fewer train_days, delay_days or test_days, or another train_start, in the recipe's [data]",
        )
    before = periods.before
    notes.append(
        f"training {_span(start, periods.train_days)}; test {_span(periods.test_start, periods.test_days)}, "
        f"{periods.delay_days} days later, without cards known by then to be defrauded; "
        f"validation {_span(before.test_start, before.test_days)}, chosen in the same way, "
        f"{periods.delay_days} days before training"
    )
    history_days = before.test_start - first
    needed = max(WINDOWS) + periods.delay_days
    if history_days < needed:
        notes.append(
            f"there are {history_days:,} days of history before the validation part, and windows reach back {needed}: "
            "its counts are too low"
        )
    return periods, notes


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


def _span(start: int, days: int) -> str:
    return f"{_date(start)} to {_date(start + days - 1)}"


def _slices(taken: Transactions, raw: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
    amount = np.array([name for _, name in _AMOUNTS])[np.digitize(taken.amount, [limit for limit, _ in _AMOUNTS])]
    visits = raw[:, feature_names(WINDOWS).index(f"CUSTOMER_ID_NB_TX_{max(WINDOWS)}DAY_WINDOW")]
    assert taken.fraud is not None
    if taken.scenario is None:
        kind = np.where(taken.fraud > 0, "fraud", "none")
    else:
        kind = np.array(SCENARIOS)[np.clip(taken.scenario, 0, len(SCENARIOS) - 1)]
    return {
        "amount": amount,
        "time of day": np.where(raw[:, 2] > 0, "night", "day"),
        "card": np.where(visits < 15, "seldom used", np.where(visits < 60, "used", "much used")),
        "day": (taken.time // DAY).astype("datetime64[D]").astype(str),
        "kind of fraud": kind,
        "card number": numbers.astype(str),
    }
