"""Metrics over known targets. AT a step ahead and UP TO it are two figures: of that step alone, and of all steps up to
it together, as T-GCN and others publish it.

Targets are of shape (n, sensors, steps), below 0 where nobody knows; outputs (n, sensors, 4, steps) as in `forecasts`.
The sums of every window are taken once, so that the bootstrap draws windows without looking at values again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from penjing.contract import Estimate
from penjing_traffic_forecasting.forecasts import HIGH, LOW, MEAN, QUANTILES
from penjing_traffic_forecasting.series import pieces

ByCount = Callable[[np.ndarray], Any]
Figure = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(targets, outputs) of some windows -> what each known target adds, shape (n, sensors, steps)."""
RESAMPLES = 2_000
_PIECE_VALUES = 4_000_000


def named_steps(horizon: int) -> tuple[int, ...]:
    """The steps ahead that have figures of their own, from 0: four, evenly spread; of an hour 15, 30, 45 and 60 min."""
    count = min(4, horizon)
    return tuple(-(-horizon * (number + 1) // count) - 1 for number in range(count))


def _squared(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return np.square(outputs[:, :, MEAN] - targets)


def _absolute(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return np.abs(outputs[:, :, MEAN] - targets)


def _percent(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return 100.0 * np.abs(outputs[:, :, MEAN] - targets) / np.where(targets > 0, targets, 1)


def _inside(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return ((outputs[:, :, LOW] <= targets) & (targets <= outputs[:, :, HIGH])).astype(np.float64)


def _width(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return outputs[:, :, HIGH] - outputs[:, :, LOW]


def _pinball(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    total = np.zeros(targets.shape)
    for place, level in QUANTILES.items():
        error = targets - outputs[:, :, place]
        total += np.maximum(level * error, (level - 1) * error)
    return total / len(QUANTILES)


def _root(values: Any) -> Any:
    return np.sqrt(values)


def _same(values: Any) -> Any:
    return values


def window_sums(figure: Figure, targets: Any, outputs: Any, mask: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Sum of a figure and number of known targets by window and step, float64 of shape (n, steps) each.

    Args:
        mask: Which targets count besides, bool of shape (n, sensors, steps).
    """
    n, sensors, steps = targets.shape
    total, count = np.zeros((n, steps)), np.zeros((n, steps))
    for part in pieces(n, max(1, _PIECE_VALUES // (sensors * steps))):
        y = np.asarray(targets[part], np.float64)
        known = y > 0 if figure is _percent else y >= 0
        if mask is not None:
            known &= mask[part]
        found = figure(y, np.asarray(outputs[part], np.float64))
        total[part] = np.where(known, found, 0.0).sum(axis=1)
        count[part] = known.sum(axis=1)
    return total, count


def _over_all(figure: Figure, finish: Callable[[Any], Any]) -> Callable[[Any, Any], float]:
    """A metric over all steps together; NaN without a known target."""

    def prepare(targets: Any, outputs: Any) -> ByCount:
        total, count = (part.sum(axis=1) for part in window_sums(figure, targets, outputs))

        def by_count(counts: np.ndarray) -> float:
            known = float(counts @ count)
            return float(finish(counts @ total / known)) if known else float("nan")

        return by_count

    def metric(targets: Any, outputs: Any) -> float:
        return prepare(targets, outputs)(np.ones(len(targets)))

    metric.prepare = prepare  # type: ignore[attr-defined]
    return metric


def at_steps(total: np.ndarray, count: np.ndarray, finish: Callable[[Any], Any]) -> dict[int, float]:
    """A figure at each named step alone, from sums by step."""
    return {step: _finished(finish, total[step], count[step]) for step in named_steps(len(total))}


def up_to_steps(total: np.ndarray, count: np.ndarray, finish: Callable[[Any], Any]) -> dict[int, float]:
    """A figure of all steps up to each named step together."""
    return at_steps(np.cumsum(total), np.cumsum(count), finish)


def _finished(finish: Callable[[Any], Any], total: float, count: float) -> float:
    return float(finish(total / count)) if count else float("nan")


def _by_step(
    figure: Figure, finish: Callable[[Any], Any], form: Callable[..., dict[int, float]]
) -> Callable[[Any, Any], Mapping[int, Estimate]]:
    def metric(targets: Any, outputs: Any) -> Mapping[int, Estimate]:
        return with_intervals(*window_sums(figure, targets, outputs), finish, form)

    return metric


def with_intervals(
    total: np.ndarray, count: np.ndarray, finish: Callable[[Any], Any], form: Callable[..., dict[int, float]]
) -> dict[int, Estimate]:
    """Figures by step with 95 % intervals by circular block bootstrap (Politis and Romano 1992): blocks of consecutive
    windows are drawn, since neighbouring windows share values and a queue lasts.

    Args:
        total: Sums by window, in the order of time, and step, shape (n, steps).
        count: Number of known targets likewise.
        form: `at_steps` or `up_to_steps`.
    """
    n, steps = total.shape
    length = block_length(n, steps)
    generator = np.random.default_rng(0)
    starts = generator.integers(0, n, (RESAMPLES, -(-n // length)))
    # What a block adds, for every place where it may start.
    blocks = []
    for part in (total, count):
        summed = np.cumsum(np.concatenate([np.zeros((1, steps)), part, part[: length - 1]]), axis=0)
        blocks.append(summed[length:] - summed[:-length])
    drawn = [form(blocks[0][rows].sum(axis=0), blocks[1][rows].sum(axis=0), finish) for rows in starts]
    found = {}
    for step, value in form(total.sum(axis=0), count.sum(axis=0), finish).items():
        values = np.array([one[step] for one in drawn])
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
        found[step] = Estimate(
            value=value,
            low=float(low),
            high=float(high),
            method=f"circular block bootstrap, blocks of {length:,} windows, percentile, {RESAMPLES:,} resamples, 95%",
            n=n,
        )
    return found


def block_length(windows: int, steps: int) -> int:
    """Windows of a block: twice the steps ahead, or a 30th of all where that is more."""
    return min(windows, max(2 * steps, windows // 30))


ERRORS: dict[str, tuple[Figure, Callable[[Any], Any]]] = {
    "rmse": (_squared, _root),
    "mae": (_absolute, _same),
    "mape": (_percent, _same),
}
"""Sum and finish of each error; MAPE in percent, over targets above zero."""

rmse = _over_all(*ERRORS["rmse"])
mae = _over_all(*ERRORS["mae"])
mape = _over_all(*ERRORS["mape"])
rmse_at = _by_step(*ERRORS["rmse"], at_steps)
mae_at = _by_step(*ERRORS["mae"], at_steps)
mape_at = _by_step(*ERRORS["mape"], at_steps)
rmse_up_to = _by_step(*ERRORS["rmse"], up_to_steps)
mae_up_to = _by_step(*ERRORS["mae"], up_to_steps)
mape_up_to = _by_step(*ERRORS["mape"], up_to_steps)
band_coverage = _over_all(_inside, _same)
band_width = _over_all(_width, _same)
pinball = _over_all(_pinball, _same)


def quantile_coverage(targets: Any, outputs: Any) -> dict[str, float]:
    """Share of the targets that are not above each quantile: of an honest 10 % quantile, 10 %."""
    found = {}
    for place, level in QUANTILES.items():
        total, count = window_sums(lambda y, o, place=place: (y <= o[:, :, place]).astype(np.float64), targets, outputs)
        found[f"{level:.0%}"] = float(total.sum() / count.sum()) if count.sum() else float("nan")
    return found
