"""Additions of a branch that is always the same: its numbers go into a bias, and the branch goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.bounds import kernel_bounds
from penjing.compression.bounds.calls import Call, Value
from penjing.compression.bounds.propagation import ModelBounds
from penjing.compression.pruning.dead.readers import Reader, find_readers, kernel_of
from penjing.compression.pruning.dead.rewriting import makes_output
from penjing.compression.structure.graph import ChannelGraph

layers = keras.layers

_MAKERS = (
    layers.Dense,
    *kernel_bounds.CONVOLUTIONS,
    *kernel_bounds.TRANSPOSED,
    *kernel_bounds.SEPARABLE,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.BatchNormalization,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConstantBranch:
    """An addition that can be left out once a constant is in the biases behind it, or in the one before it."""

    path: str
    kept: int
    """The number of the input that varies."""
    shift: np.ndarray
    """What the addition adds to each channel, float64 (channels,)."""
    readers: Sequence[Reader] = ()
    """The kernels that read the sum; empty where `maker` takes the constant."""
    maker: Any = None
    """The layer that makes the input that varies."""

    @property
    def why(self) -> str:
        """What became of the branch."""
        names = [reader.layer.name for reader in self.readers] or [self.maker.name]
        return "the other branch is constant and went into " + ", ".join(f"'{name}'" for name in names)

    def lack_bias(self) -> list[Any]:
        """Layers that have nowhere to put the constant."""
        if self.maker is not None:
            return [] if _offset(self.maker) is not None else [self.maker]
        return [reader.layer for reader in self.readers if reader.lacks_bias]

    def fold(self) -> None:
        """Put the constant into the biases. Until the addition is left out, the model computes something else."""
        for reader in self.readers:
            reader.add(self.shift @ reader.sums)
        if self.maker is not None:
            offset = _offset(self.maker)
            offset.assign((np.asarray(offset, np.float64) + self.shift).astype(offset.dtype))


def find_constant_branches(bounds: ModelBounds, graph: ChannelGraph) -> list[ConstantBranch]:
    """Sums and differences of one tensor that varies and others that are constant per channel, and not all zero.

    The constant goes into the kernels behind, where all that read the sum are kernels that pad nothing; else into the
    layer before, where the sum alone reads it and no activation stands between. An addition that is an output, or that
    is called more than once, is left alone.
    """
    readers = find_readers(bounds, graph)
    following = bounds.graph.readers()
    times: dict[int, int] = {}
    made_by: dict[Value, Call] = {}
    for call in bounds.graph.calls:
        times[id(call.operation)] = times.get(id(call.operation), 0) + 1
        made_by.update(dict.fromkeys(call.outputs, call))
    found = []
    for call in bounds.graph.calls:
        shift = _shift(call, bounds) if times[id(call.operation)] == 1 and not makes_output(call, bounds) else None
        if shift is None:
            continue
        kept, values = shift
        behind = [_reader_of(each, readers, times) for each in following.get(call.outputs[0], [])]
        if behind and all(reader is not None and reader.folds for reader in behind):
            found.append(ConstantBranch(path=call.path, kept=kept, shift=values, readers=behind))  # type: ignore[arg-type]
            continue
        value = call.inputs[kept]
        maker = made_by.get(value)
        alone = len(following[value]) == 1 and id(value.tensor) not in bounds.graph.emitted
        if maker is not None and alone and times[id(maker.operation)] == 1 and _takes_offset(maker):
            found.append(ConstantBranch(path=call.path, kept=kept, shift=values, maker=maker.operation))
    return found


def _shift(call: Call, bounds: ModelBounds) -> tuple[int, np.ndarray] | None:
    """The number of the input that varies, and what the others add to each of its channels."""
    kind = type(call.operation)
    if kind not in (layers.Add, layers.Subtract) or len(call.outputs) != 1:
        return None
    busy = [index for index, value in enumerate(call.inputs) if not bounds[value].constant.all()]
    if len(busy) != 1 or (kind is layers.Subtract and busy == [1]):
        return None
    kept = busy[0]
    channels = call.inputs[kept].channels
    if call.inputs[kept].shape != call.outputs[0].shape or call.inputs[kept].shape[-1] is None:
        return None
    total = np.zeros(channels)
    for index, value in enumerate(call.inputs):
        if index != kept:
            total += (-1.0 if kind is layers.Subtract else 1.0) * bounds[value].spread(channels).value
    return (kept, total) if np.isfinite(total).all() else None


def _reader_of(call: Call, readers: dict[int, Reader], times: dict[int, int]) -> Reader | None:
    _, kernel = kernel_of(call.operation)
    return readers.get(id(kernel)) if kernel is not None and times[id(call.operation)] == 1 else None


def _takes_offset(call: Call) -> bool:
    """Whether a call's layer adds a bias of its own last, or could."""
    layer = call.operation
    if type(layer) not in _MAKERS or call.training:
        return False
    if type(layer) is layers.BatchNormalization:
        return bool(layer.center) and layer.axis in (-1, len(call.outputs[0].shape) - 1)
    last = getattr(layer, "data_format", "channels_last") == "channels_last"
    return last and layer.activation is keras.activations.linear


def _offset(layer: Any) -> Any:
    """The variable that is added last; None where there is none."""
    if type(layer) is layers.BatchNormalization:
        return layer.beta
    return layer.bias if layer.use_bias else None
