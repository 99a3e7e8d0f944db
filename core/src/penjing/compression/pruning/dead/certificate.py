"""The numerical certificate: what removing channels changed at the outputs, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.pruning.dead.ranges import input_arrays, structured
from penjing.errors import CheckFailedError

LIMIT = 1e-5
"""The largest difference that is allowed, as share of the output's range: some roundings, nothing more."""


FLATTEST = 0.05
"""An output's range counts as no less than this share of its largest magnitude."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far the outputs of two models are apart, at worst."""

    real: float
    """On inputs of the data, as share of the output's range."""
    random: float | None
    """On random inputs within the declared range; None where there is no finite range."""
    examples_real: int
    examples_random: int
    ranges: tuple[tuple[float, float], ...]
    """What each output of the first model spans on all these inputs."""


def compare(before: keras.Model, after: keras.Model, real: Sequence[Any], random: Any) -> Difference:
    """Run both models.

    Args:
        real: Inputs of the data, as `Split.x`, one for each part.
        random: Inputs within the declared range, or None.
    """
    sets = [*real] if random is None else [*real, random]
    outputs = [(_outputs(before, x), _outputs(after, x)) for x in sets]
    ranges = []
    for index in range(len(outputs[0][0])):
        values = np.concatenate([pair[0][index].ravel() for pair in outputs])
        values = values[np.isfinite(values)]
        ranges.append((float(values.min()), float(values.max())) if values.size else (0.0, 0.0))
    shares = []
    for old, new in outputs:
        shares.append(max(_share(a, b, span) for a, b, span in zip(old, new, ranges, strict=True)))
    return Difference(
        real=max(shares[: len(real)]),
        random=None if random is None else shares[-1],
        examples_real=sum(len(first[0][0]) for first in outputs[: len(real)]),
        examples_random=0 if random is None else len(outputs[-1][0][0]),
        ranges=tuple(ranges),
    )


def _share(before: np.ndarray, after: np.ndarray, span: tuple[float, float]) -> float:
    """The largest difference, by the output's range. Where the output hardly varies beside its size, a share of that
    size stands for the range: `LIMIT` of it is then four units in the last place of float32. An output that is one
    number has its size for a range."""
    size = max(abs(span[0]), abs(span[1]))
    width = (max(span[1] - span[0], FLATTEST * size) if span[1] > span[0] else size) or 1.0
    # Where both are the same, infinite or no number at all, nothing changed.
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(before - after))
    worst = float(difference.max(initial=0.0)) / width
    return worst if np.isfinite(worst) else float("inf")


def _outputs(model: keras.Model, x: Any, batch: int = 256) -> list[np.ndarray]:
    """Every output, float64. Called directly: tracing two models takes longer than running them once."""
    arrays = input_arrays(model, x)
    batches = []
    for start in range(0, len(arrays[0]), batch):
        given = structured(model, [array[start : start + batch] for array in arrays])
        batches.append([np.asarray(y, np.float64) for y in keras.tree.flatten(model(given, training=False))])
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def check(difference: Difference, *, proven: bool) -> None:
    """Refuse a change of the outputs. What was only observed on the data is checked on the data only.

    Raises:
        CheckFailedError: An output changed by more than `LIMIT` of its range.
    """
    worst = max(difference.real, difference.random or 0.0) if proven else difference.real
    if not worst <= LIMIT:
        raise CheckFailedError(
            f"removing dead channels would change the outputs by {worst:.2g} of their range",
            why=f"at most {LIMIT:g} is allowed; nothing was removed",
            hint="the model may compute in half precision, or its output hardly varies; leave the step out"
            if proven
            else "set evidence = 'proof'",
        )
