"""What is done to values that cannot be right: they become missing, by stated rules, and are counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing_traffic_forecasting.series import pieces

PIECE = 16_384
FACTOR = 5.0
"""So many times the 99th percentile is more than any road carries."""
SHARE_LOOKED_AT = 0.5
"""The limit is taken from the first rows, so that the rows to be forecast have no part in it."""


def repair(values: Any, *, zero_is_missing: bool, largest: float) -> tuple[Any, float, list[str]]:
    """Make impossible values missing, in place.

    The rules: a negative value, one above the limit, and, where zero stands for a missing value, zero.

    Args:
        values: float32 of shape (steps, sensors), NaN where missing.
        largest: The limit; 0 takes 5 times the 99th percentile of the positive values in the first half.

    Returns:
        The values, the limit, and a note for each rule that met something.
    """
    if not isinstance(values, np.memmap) and not values.flags.writeable:
        values = np.array(values)
    limit = largest or _limit(values)
    counts = {"negative": 0, "large": 0, "zero": 0, "missing": 0}
    for part in pieces(len(values), PIECE):
        block = values[part]
        with np.errstate(invalid="ignore"):
            negative, large, zero = block < 0, block > limit, block == 0
        counts["negative"] += int(negative.sum())
        counts["large"] += int(large.sum())
        counts["zero"] += int(zero.sum())
        gone = negative | large
        if zero_is_missing:
            gone |= zero
        if gone.any():
            block = np.where(gone, np.nan, block)
            values[part] = block
        counts["missing"] += int(np.isnan(block).sum())
    total = max(1, values.size)
    notes = []
    if counts["negative"]:
        notes.append(f"{counts['negative']:,} values are negative; they are taken for missing")
    if counts["large"]:
        rule = (
            "the limit that the recipe says" if largest else f"{FACTOR:g} times the 99th percentile of the first half"
        )
        notes.append(f"{counts['large']:,} values are above {limit:.6g} ({rule}); they are taken for missing")
    if counts["zero"]:
        share = counts["zero"] / total
        if zero_is_missing:
            notes.append(f"{counts['zero']:,} values ({share:.2%}) are zero and taken for missing")
        else:
            notes.append(
                f"{counts['zero']:,} values ({share:.2%}) are zero and taken as measured; "
                'zero_is_missing = "yes" in the recipe\'s [data] says otherwise'
            )
    if counts["missing"]:
        notes.append(f"{counts['missing']:,} of {total:,} values ({counts['missing'] / total:.2%}) are missing")
    return values, limit, notes


def _limit(values: Any) -> float:
    seen = np.asarray(values[: max(1, int(SHARE_LOOKED_AT * len(values)))])
    if seen.size > 4_000_000:
        seen = seen[:: seen.size // 4_000_000 + 1]
    seen = seen[np.isfinite(seen) & (seen > 0)]
    return FACTOR * float(np.percentile(seen, 99)) if len(seen) else np.inf
