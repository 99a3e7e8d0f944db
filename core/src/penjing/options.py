"""Options of a domain from a recipe's tables, over its defaults; what is unknown or out of range is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penjing.errors import RecipeError, did_you_mean


def with_defaults(
    domain: str,
    table: str,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    ranges: Mapping[str, tuple[float, float]],
) -> dict[str, Any]:
    """Defaults with the given values in their place.

    Args:
        domain: Its name, for messages.
        table: The recipe's table, for messages.
        given: What the recipe says.
        defaults: A value for every option; its type is the option's type, a list is one of str.
        ranges: Lowest and highest value of each number.

    Raises:
        RecipeError: A key is unknown, a value has another type than its default, or lies outside its range.
    """
    for key, value in given.items():
        if key not in defaults:
            raise RecipeError(
                f"unknown option '{key}' in [{table}]", where=f"domain {domain}", hint=did_you_mean(key, defaults)
            )
        if not _fits(value, defaults[key]):
            raise RecipeError(
                f"option '{key}' in [{table}] cannot be {value!r}",
                where=f"domain {domain}",
                hint=f"its default is {defaults[key]!r}",
            )
        low, high = ranges.get(key, (None, None))
        if low is not None and high is not None and not low <= value <= high:
            raise RecipeError(
                f"option '{key}' in [{table}] cannot be {value!r}",
                where=f"domain {domain}",
                hint=f"it is from {low:g} to {high:g}",
            )
    return {**defaults, **given}


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    wanted = (int, float) if isinstance(default, float) else type(default)
    return isinstance(value, wanted) and isinstance(value, bool) == isinstance(default, bool)
