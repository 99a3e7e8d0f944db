"""From features to what the network takes: curbed, centred and scaled, so that 8 bits tell them apart.

Counts and amounts spread over decades: their logarithms do not. How far an amount is from what the card usually pays
is what gives a leaked card away; a network of a few units does not divide, so the ratio is an input of its own. Numpy
only: this runs on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from penjing_fraud_detection.features import DELAY, WINDOWS

LARGEST_INPUT = 4.0
"""Inputs are clipped here, in standard deviations of the training part."""
LARGEST_AMOUNT = 300.0
"""Up to here an amount is also an input as it is, so that a sharp limit can be learned."""
_SELDOM = "root of the terminal's share of fraud"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What turns features into inputs, fitted to a training part."""

    kind: str
    """'transactions' for the features of `point_in_time`, 'table' for the columns of a flat table."""
    features: tuple[str, ...]
    """Names of the features."""
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    """Of each input, after it was curbed."""
    median: tuple[float, ...]
    """Of each feature in the training part: what an explanation puts in its place."""
    windows: tuple[int, ...] = WINDOWS
    delay: int = DELAY

    @classmethod
    def fitted(cls, kind: str, features: Sequence[str], rows: np.ndarray, windows: Sequence[int], delay: int) -> Inputs:
        """Fit to the training part's features, float64 of shape (n, features)."""
        curbed = _CURBED[kind](rows, windows)
        mean, scale = curbed.mean(axis=0), curbed.std(axis=0)
        if kind == "transactions":
            # Nearly all are 0 here: in standard deviations the others would lie beyond any limit.
            seldom = [name.startswith(_SELDOM) for name in input_names(windows)]
            mean[seldom], scale[seldom] = 0.0, 1 / LARGEST_INPUT
        return cls(
            kind=kind,
            features=tuple(features),
            mean=tuple(map(float, mean)),
            scale=tuple(float(value) if value > 1e-9 else 1.0 for value in scale),
            median=tuple(map(float, np.median(rows, axis=0))),
            windows=tuple(windows),
            delay=delay,
        )

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Inputs, float32 of shape (n, inputs), of features of shape (n, features)."""
        curbed = _CURBED[self.kind](np.asarray(rows, np.float64), self.windows)
        mean, scale = self._moments
        scaled = (curbed - mean) / scale
        if self.kind == "table":
            scaled = np.arcsinh(scaled)
        return np.clip(scaled, -LARGEST_INPUT, LARGEST_INPUT).astype(np.float32)

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean), np.array(self.scale)

    def to_json(self) -> dict[str, Any]:
        """For the bundle."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, parameters: Mapping[str, Any]) -> Inputs:
        """The inverse of `to_json`."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()})


def preprocess(raw: Any, parameters: Mapping[str, Any]) -> np.ndarray:
    """Inputs, float32 of shape (n, inputs), of features of shape (n, features), by a bundle's parameters."""
    return Inputs.from_json(parameters).of(raw)


def input_names(windows: Sequence[int] = WINDOWS) -> tuple[str, ...]:
    """What the inputs of transactions are, in their order."""
    return (
        "log amount",
        "amount, linear up to a limit",
        "week-end",
        "night",
        *(f"log of the card's transactions in {days} d" for days in windows),
        *(f"log of the card's mean amount in {days} d" for days in windows),
        *(f"log of amount over the card's mean in {days} d" for days in windows),
        *(f"log of the terminal's transactions in {days} d" for days in windows),
        *(f"root of the terminal's share of fraud in {days} d" for days in windows),
    )


def _transactions(rows: np.ndarray, windows: Sequence[int]) -> np.ndarray:
    # By position and not by name, since this also runs for a single transaction: see `features.feature_names`.
    first, last = 3, 3 + 2 * len(windows)
    amount, means = _log(rows[:, :1]), _log(rows[:, first + 1 : last : 2])
    return np.concatenate(
        [
            amount,
            np.clip(rows[:, :1], 0, LARGEST_AMOUNT),
            rows[:, 1:3],
            _log(rows[:, first:last:2]),
            means,
            amount - means,
            _log(rows[:, last::2]),
            np.sqrt(rows[:, last + 1 :: 2]),
        ],
        axis=1,
    )


def _table(rows: np.ndarray, windows: Sequence[int]) -> np.ndarray:
    return rows


def _log(values: np.ndarray) -> np.ndarray:
    # A refund is negative.
    return np.copysign(np.log1p(np.abs(values)), values)


_CURBED: dict[str, Callable[[np.ndarray, Sequence[int]], np.ndarray]] = {"transactions": _transactions, "table": _table}
