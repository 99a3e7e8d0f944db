"""The kernels that read channels: which channels they can do without, and how a constant goes into their bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds import kernel_bounds
from penjing.compression.bounds.calls import Call
from penjing.compression.bounds.intervals import Interval, joined
from penjing.compression.bounds.propagation import ModelBounds
from penjing.compression.structure.graph import ChannelGraph

layers = keras.layers
RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """One kernel, with everything that it reads in any of its calls."""

    path: str
    layer: Any
    units: np.ndarray
    """Of the channel graph, for each input channel: int64 of shape (channels,)."""
    interval: Interval
    """What the input can be, over all calls of the layer: each of shape (channels,)."""
    sums: np.ndarray
    """What a constant one in each channel adds to each bias, shape (channels, outputs); only where `folds`."""
    unread: np.ndarray
    """Channels whose weights are all zero, bool (channels,)."""
    folds: bool
    """Whether a constant other than zero is the same as a bias: not behind padding zeros."""
    normalization: Any = None
    """A BatchNormalization that alone reads the layer's result and takes up what a missing bias cannot."""

    @property
    def unneeded(self) -> np.ndarray:
        """Channels that the kernel can do without, once their constants are in the bias. bool (channels,)."""
        constant = self.interval.constant & np.isfinite(np.where(self.interval.constant, self.interval.value, 0))
        return self.unread | (constant & (self.folds | (self.interval.value == 0)))

    @property
    def lacks_bias(self) -> bool:
        """Whether it has nowhere to put a constant."""
        return self.folds and _bias(self.layer) is None and self.normalization is None

    def shift(self, removed: np.ndarray) -> np.ndarray:
        """What removed channels (bool, (channels,)) have added to each output: float64 (outputs,)."""
        gone = removed & ~self.unread & self.interval.constant
        return np.where(gone, self.interval.value, 0.0) @ self.sums

    def fold(self, removed: np.ndarray) -> None:
        """Put the constants of removed channels into the bias, or off the mean of the normalization behind it.

        Args:
            removed: bool (channels,); each must be `unneeded`.
        """
        if self.folds:
            self.add(self.shift(removed))

    def add(self, shift: np.ndarray) -> None:
        """Add something to each output: to the bias, or off the mean of the normalization behind. float (outputs,)."""
        if not np.any(shift):
            return
        bias = _bias(self.layer)
        if bias is not None:
            values = np.array(bias, np.float64)
            rows = values if values.ndim == 1 else values[0]  # GRU: the row of the input kernel
            rows += shift
            bias.assign(values.astype(bias.dtype))
        else:
            mean = self.normalization.moving_mean
            mean.assign((np.asarray(mean, np.float64) - shift).astype(mean.dtype))


def find_readers(bounds: ModelBounds, graph: ChannelGraph) -> dict[int, Reader]:
    """Readers by the `id` of their kernel variable. Kernels of other kinds have none: nothing is known of what they
    read."""
    calls: dict[int, list[Call]] = {}
    for call in bounds.graph.calls:
        calls.setdefault(id(call.operation), []).append(call)
    uses = {id(use.variable): use for use in graph.uses if use.role == "reads"}
    found = {}
    following = bounds.graph.readers()
    for several in calls.values():
        layer, kernel = kernel_of(several[0].operation)
        use = uses.get(id(kernel))
        if use is None or any(call.training for call in several):
            continue
        reader = _reader(layer, use.units, several, bounds, following)
        if reader is not None:
            found[id(kernel)] = reader
    return found


def kernel_of(operation: Any) -> tuple[Any, Any]:
    """The layer that reads, and its kernel variable; (None, None) for other kinds."""
    kind = type(operation)
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        return None, None  # bounds are of the last axis
    if kind is layers.TimeDistributed and type(operation.layer) is layers.Dense:
        operation, kind = operation.layer, layers.Dense
    if kind is layers.Dense or kind in kernel_bounds.CONVOLUTIONS or kind in kernel_bounds.TRANSPOSED:
        return operation, operation.kernel
    if kind in kernel_bounds.SEPARABLE:
        return operation, operation.pointwise_kernel
    if kind in RECURRENT:
        return operation, operation.cell.kernel
    return None, None


def _reader(layer: Any, units: np.ndarray, calls: Sequence[Call], bounds: ModelBounds, following: Any) -> Reader | None:
    first = calls[0].inputs[0]
    if any(call.inputs[0].channels != first.channels for call in calls):
        return None
    interval = joined([bounds[call.inputs[0]] for call in calls]).spread(first.channels)
    kind = type(layer)
    padded = any(kernel_bounds.pads(layer, call.inputs[0].shape) for call in calls) if kind not in RECURRENT else False
    if kind in kernel_bounds.SEPARABLE:
        sums, read, interval, units = _separable(layer, interval, units)
    elif kind in RECURRENT:
        sums = np.asarray(layer.cell.kernel, float)
        read = (sums != 0).any(axis=1)
    else:
        weights = kernel_bounds.mixing_weights(layer, first.channels)
        sums, read = weights.sums, ((weights.positive - weights.negative) > 0).any(axis=1)
        units = np.tile(units, first.channels // len(units))  # a grouped kernel has rows for one group
    return Reader(
        path=calls[0].path,
        layer=layer,
        units=units,
        interval=interval,
        sums=sums,
        unread=~read,
        folds=not padded and kind not in kernel_bounds.TRANSPOSED,
        normalization=_normalization_behind(layer, calls, bounds, following),
    )


def _separable(
    layer: Any, interval: Interval, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Interval, np.ndarray]:
    """Rows of the pointwise kernel: each input stands there once for each of the depth multiplier."""
    depthwise = kernel_bounds.depthwise_weights(layer.depthwise_kernel)
    pointwise = np.asarray(layer.pointwise_kernel, float).reshape(-1, layer.pointwise_kernel.shape[-1])
    interval = interval.take(np.repeat(np.arange(interval.channels), layer.depthwise_kernel.shape[-1]))
    read = (pointwise != 0).any(axis=1) & (depthwise.terms > 0)
    return depthwise.sums[:, None] * pointwise, read, interval, units


def _bias(layer: Any) -> Any:
    """The bias variable, None where the layer has none."""
    holder = layer.cell if type(layer) in RECURRENT else layer
    return holder.bias if holder.use_bias else None


def _normalization_behind(layer: Any, calls: Sequence[Call], bounds: ModelBounds, following: Any) -> Any:
    """The one BatchNormalization that reads a layer without bias, and nothing else does."""
    if type(layer) in RECURRENT or layer.use_bias or layer.activation is not keras.activations.linear:
        return None
    value = calls[0].outputs[0]
    behind = following.get(value, [])
    if len(calls) > 1 or len(behind) != 1 or value in bounds.graph.outputs:
        return None
    normalization = behind[0].operation
    shared = sum(call.operation is normalization for call in bounds.graph.calls) > 1
    last = type(normalization) is layers.BatchNormalization and normalization.axis in (-1, len(value.shape) - 1)
    return normalization if last and not shared and not behind[0].training else None
