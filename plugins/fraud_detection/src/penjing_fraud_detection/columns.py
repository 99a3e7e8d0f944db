"""Which column of a table is what: by the recipe's word, or by a name that such tables usually have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penjing.errors import DataError, did_you_mean

USUAL_NAMES = {
    "time": ("tx_datetime", "datetime", "timestamp", "trans_date_trans_time", "tx_time_seconds", "time", "date"),
    "customer": ("customer_id", "card_id", "cc_num", "customer", "card", "nameorig"),
    "terminal": ("terminal_id", "merchant_id", "terminal", "merchant", "namedest"),
    "amount": ("tx_amount", "amount", "amt"),
    "fraud": ("tx_fraud", "is_fraud", "isfraud", "fraud", "class", "label", "target"),
    "scenario": ("tx_fraud_scenario",),
    "id": ("transaction_id",),
}
"""Names by role, in lower case, the first that occurs is taken."""
OPTIONS = {f"{role}_column": "" for role in ("time", "customer", "terminal", "amount", "fraud")}
"""Options of the `[data]` table that name a column; empty looks for a usual name."""
HISTORY = ("time", "customer", "terminal", "amount")
"""What a table of transactions must have, so that features can be computed from the history."""
ENGINEERED = ("tx_during_night", "customer_id_nb_tx_1day_window")
"""A column of this name tells a table of finished features."""


def find_columns(header: Sequence[str], options: Mapping[str, Any], where: str) -> dict[str, str]:
    """Column of each role that the table has.

    Args:
        header: The table's column names.
        options: Values for the keys of `OPTIONS`.
        where: The file, for messages.

    Raises:
        DataError: A column that is asked for does not exist, or a name stands twice.
    """
    twice = sorted({name for name in header if list(header).count(name) > 1})
    if twice:
        raise DataError(f"the column '{twice[0]}' stands twice", where=f"{where}, header")
    by_lower = {name.strip().lower(): name for name in header}
    found = {}
    for role, names in USUAL_NAMES.items():
        asked = options.get(f"{role}_column", "")
        if asked and asked not in header:
            raise DataError(
                f"there is no column '{asked}'",
                where=f"{where}, header",
                why=f"[data] says {role}_column = '{asked}'",
                hint=did_you_mean(asked, header),
            )
        name = asked or next((by_lower[name] for name in names if name in by_lower), "")
        if name:
            found[role] = name
    return found


def is_history(columns: Mapping[str, str]) -> bool:
    """Whether these are transactions with cards and terminals; else the table is a flat one."""
    return all(role in columns for role in HISTORY)


def is_engineered(header: Sequence[str]) -> bool:
    """Whether the table holds features that were computed before."""
    return bool({name.strip().lower() for name in header} & set(ENGINEERED))
