"""Options from a recipe's tables, with the domain's defaults; unknown ones are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penjing.errors import RecipeError, did_you_mean


def with_defaults(table: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults with the given values in their place.

    Raises:
        RecipeError: A key is unknown, or a value has another type than its default.
    """
    for key, value in given.items():
        if key not in defaults:
            raise RecipeError(
                f"unknown option '{key}' in [{table}]",
                where="domain keyword-spotting",
                hint=did_you_mean(key, defaults),
            )
        default = defaults[key]
        wanted = (int, float) if isinstance(default, float) else type(default)
        if default is not None and (
            not isinstance(value, wanted) or isinstance(value, bool) != isinstance(default, bool)
        ):
            raise RecipeError(
                f"option '{key}' in [{table}] cannot be {value!r}",
                where="domain keyword-spotting",
                hint=f"its default is {default!r}",
            )
    return {**defaults, **given}
