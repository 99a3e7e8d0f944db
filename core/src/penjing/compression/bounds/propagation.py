"""What every tensor of a model can be, by interval bound propagation from the input's range to the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from penjing.compression.bounds.calls import CallGraph, Value
from penjing.compression.bounds.intervals import Interval
from penjing.compression.bounds.layer_bounds import call_bounds


@dataclass(frozen=True, kw_only=True)
class ModelBounds:
    """Bounds of every value of a call graph, sound for every input within the declared ranges."""

    graph: CallGraph
    intervals: Mapping[Value, Interval]

    def __getitem__(self, value: Value) -> Interval:
        return self.intervals[value]


Range = tuple[float, float]
UNBOUNDED: Range = (-np.inf, np.inf)


def model_bounds(
    graph: CallGraph, ranges: Sequence[Range], observed: Mapping[Value, Interval] | None = None
) -> ModelBounds:
    """Propagate the inputs' ranges.

    Args:
        ranges: (low, high) of each input of the model, in its order.
        observed: Constants that were seen, not proven: they are taken as if they were proven.
    """
    intervals: dict[Value, Interval] = {}
    for value, (low, high) in zip(graph.inputs, ranges, strict=True):
        # A bound such as 0.6 may be a little larger once it is a float32.
        ends = (float(np.float32(low)), float(np.float32(high)))
        intervals[value] = Interval.between(min(low, ends[0]), max(high, ends[1]), value.channels)
    for call in graph.calls:
        made = call_bounds(call, [intervals[value] for value in call.inputs])
        for value, interval in zip(call.outputs, made, strict=True):
            intervals[value] = _with_observed(interval, (observed or {}).get(value))
    return ModelBounds(graph=graph, intervals=intervals)


def _with_observed(interval: Interval, seen: Interval | None) -> Interval:
    if seen is None:
        return interval
    new = seen.constant & ~interval.constant
    return Interval(
        low=np.where(new, seen.low, interval.low),
        high=np.where(new, seen.high, interval.high),
        value=np.where(new, seen.value, interval.value),
        rule=np.where(new, seen.rule, interval.rule),
    )
