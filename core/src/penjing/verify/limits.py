"""Budgets: limits in units, checked against what was measured on the artefact."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penjing.errors import BudgetError, did_you_mean

_BYTES = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "KIB": 1024, "MIB": 1024**2}
_COUNT = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}
_TIME = {"": 1, "US": 1, "MS": 1e3, "S": 1e6}
_SHARE = {"": 1.0, "%": 0.01}


@dataclass(frozen=True, kw_only=True)
class _Kind:
    limit: str
    """The key in JSON, with its unit."""
    units: Mapping[str, float]
    meaning: str


KINDS: dict[str, _Kind] = {
    "flash": _Kind(limit="flash_bytes", units=_BYTES, meaning="bytes of model.tflite"),
    "arena": _Kind(limit="arena_bytes", units=_BYTES, meaning="working memory in TFLM"),
    "macs": _Kind(limit="macs", units=_COUNT, meaning="multiply-accumulates of one inference"),
    "latency": _Kind(limit="latency_us", units=_TIME, meaning="median of one inference, here"),
    "drop": _Kind(limit="drop", units=_SHARE, meaning="loss of the primary metric"),
}
_BY_LIMIT = {kind.limit: name for name, kind in KINDS.items()}

_VALUE = re.compile(r"^\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([A-Za-zµ%]*)\s*$")


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """A limit beside what was measured."""

    limit: str
    """With its unit: flash_bytes, arena_bytes, macs, latency_us, drop."""
    value: float
    measured: float | None
    holds: bool
    note: str = ""


@dataclass(frozen=True)
class Budget:
    """Upper limits by JSON key."""

    limits: Mapping[str, float]

    @classmethod
    def parse(cls, given: str | Mapping[str, Any] | None) -> Budget:
        """Read "flash=32KB,drop=0.01", or a mapping with the same keys.

        Units: B, KB (1,000), KiB (1,024), MB, MiB; K, M, G for MACs; us, ms, s; a share or a percentage for drop.
        A plain number is bytes, MACs, microseconds or a share.

        Raises:
            BudgetError: An unknown limit or unit, a value that is no number, a limit given twice.
        """
        if given is None:
            return cls({})
        pairs: list[tuple[str, Any]] = []
        if isinstance(given, str):
            for part in filter(None, (part.strip() for part in given.split(","))):
                key, separator, value = part.partition("=")
                if not separator:
                    raise BudgetError(f"cannot read the limit '{part}'", hint="write limit=value: flash=32KB,drop=0.01")
                pairs.append((key.strip(), value))
        else:
            pairs = list(given.items())
        limits: dict[str, float] = {}
        for key, value in pairs:
            name = _BY_LIMIT.get(key, key)
            if name not in KINDS:
                raise BudgetError(f"unknown limit '{key}'", hint=did_you_mean(key, KINDS))
            kind = KINDS[name]
            if kind.limit in limits:
                raise BudgetError(f"the limit '{name}' is given twice")
            limits[kind.limit] = _number(name, value, kind)
        return cls(limits)

    def merged(self, stronger: Budget) -> Budget:
        """This budget with the other's limits in place of its own where both have one."""
        return Budget({**self.limits, **stronger.limits})

    def check(
        self, measured: Mapping[str, float | None], notes: Mapping[str, str] | None = None
    ) -> tuple[BudgetLine, ...]:
        """Hold each limit against what was measured. A limit that could not be measured does not hold.

        Args:
            measured: By JSON key; None where measuring failed.
            notes: Why a figure is missing, or what to bear in mind, by JSON key.
        """
        lines = []
        for limit, value in self.limits.items():
            found = measured.get(limit)
            note = (notes or {}).get(limit, "")
            if found is None:
                note = note or "it could not be measured"
            lines.append(
                BudgetLine(
                    limit=limit,
                    value=value,
                    measured=found,
                    holds=found is not None and found <= value,
                    note=note,
                )
            )
        return tuple(lines)


def _number(name: str, value: Any, kind: _Kind) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BudgetError(f"the limit '{name}' cannot be {value!r}")
    match = _VALUE.match(value) if isinstance(value, str) else None
    if isinstance(value, str) and not match:
        raise BudgetError(
            f"the limit '{name}' cannot be '{value}'",
            hint=f"write a number ({kind.meaning}): {_example(name)}",
        )
    if match:
        unit = match[2].upper().replace("µ", "U").replace("Μ", "U")
        if unit not in kind.units:
            raise BudgetError(
                f"'{match[2]}' is no unit of the limit '{name}'",
                hint=f"{kind.meaning}; for example {_example(name)}",
            )
        number = float(match[1].replace("_", "")) * kind.units[unit]
    else:
        number = float(value)
    if not 0 <= number < float("inf"):
        raise BudgetError(f"the limit '{name}' cannot be {value!r}", hint="it is a number from 0 up")
    return number


def _example(name: str) -> str:
    examples = {
        "flash": "flash=32KB",
        "arena": "arena=24KiB",
        "macs": "macs=2.5M",
        "latency": "latency=500us",
        "drop": "drop=0.01",
    }
    return examples[name]
