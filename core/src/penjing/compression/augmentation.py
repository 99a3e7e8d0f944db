"""A domain's augmentation with the options that a training uses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Draws the inputs of an epoch; all that they depend on is here, in the epoch's number and in the seed."""

    draw: Callable[[int, int, Mapping[str, Any]], tuple[Any, Any]]
    """(epoch, seed, options) -> inputs and targets of one epoch."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The recipe's `[augment]` table, for a teacher with its own options over it."""
    name: str = ""
    """Plugin, version and import string."""
    code: str = ""
    """Hash of the code that draws."""

    def __call__(self, epoch: int, seed: int) -> tuple[Any, Any]:
        return self.draw(epoch, seed, self.options)

    def changed(self, options: Mapping[str, Any]) -> Augmentation:
        """The same with other values of some options."""
        return replace(self, options={**self.options, **options})

    @property
    def key(self) -> str:
        """What the inputs depend on besides epoch and seed, for the teacher's cache."""
        return f"{self.name}/{table_key(self.options)}/{self.code}"


def table_key(table: Mapping[str, Any]) -> str:
    """A table of a recipe as one text, whatever the order of its entries: equal tables, equal texts."""
    return json.dumps(dict(table), sort_keys=True, default=str)
