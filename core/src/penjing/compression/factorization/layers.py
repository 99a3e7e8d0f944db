"""Dense and convolution layers as chains of thinner ones: what each way costs, and the chain itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import keras
import numpy as np

from penjing.compression.factorization.decompositions import (
    join_groups,
    split_groups,
    svd_energies,
    svd_factors,
    tucker_energies,
    tucker_factors,
)
from penjing.compression.factorization.input_moments import roots, unweigh, weigh
from penjing.compression.factorization.rank_choice import Option
from penjing.compression.structure.replacement import Chain, Uses

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)

MOST_TUCKER_RANKS = 64

Method = Literal["best", "svd", "tucker-2"]


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """A layer in numbers: what each option costs follows from it."""

    groups: int
    window: tuple[int, ...]
    inputs: int
    """Of one group."""
    outputs: int
    """Of one group."""
    positions: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    """(input, output) sizes along the window's axes, for each use of the layer; for Dense how many vectors, as (n,)."""


def reason_to_leave(layer: keras.layers.Layer, uses: Uses) -> str:
    """Why a layer cannot be taken apart, by its kind; empty where it can."""
    if type(layer) is not keras.layers.Dense and type(layer) not in _CONVOLUTIONS:
        return f"{type(layer).__name__} is neither Dense, Conv1D nor Conv2D"
    if getattr(layer, "data_format", None) == "channels_first":
        return "its data_format is 'channels_first'"
    if layer.kernel_constraint is not None:
        return "its kernel has a constraint, which a product would not keep"
    if getattr(layer, "lora_rank", None) or getattr(layer, "quantization_mode", None):
        return "its kernel is quantized or adapted"
    if any(size is None for use in uses for shape in use for size in shape[1:]):
        return "sizes of its input are open"
    return ""


def options_of(
    layer: keras.layers.Layer, uses: Uses, method: Method, moments: np.ndarray | None = None
) -> tuple[Option, list[Option]]:
    """(the layer as it is, every product that is smaller in parameters and in MACs).

    Args:
        layer: One that `reason_to_leave` has nothing against.
        uses: What it is used on, for the MACs.
        method: For convolutions with a window; what has none has the SVD alone.
        moments: What the layer reads (`input_moments`); losses are then of its outputs, else of its weights.
    """
    shape = _shape(layer, uses)
    parts, _ = _weighed_parts(layer, moments)
    square = float((parts**2).sum())
    whole = Option(
        method="whole",
        ranks=(),
        parameters=parts.size,
        macs=_convolution_macs(shape, shape.window, shape.inputs, shape.outputs, strided=(True, True)),
        loss=0.0,
    )
    made: list[Option] = []
    if method != "tucker-2" or prod(shape.window) == 1:
        kept = np.cumsum(svd_energies(parts))
        made += [
            Option(method="svd", ranks=(rank,), parameters=parameters, macs=macs, loss=_loss(kept[rank - 1], square))
            for rank in range(1, len(kept) + 1)
            for parameters, macs in [_svd_cost(shape, rank)]
        ]
    if method != "svd" and prod(shape.window) > 1:
        kept = tucker_energies(parts)
        made += [
            Option(
                method="tucker-2",
                ranks=(first, second),
                parameters=parameters,
                macs=macs,
                loss=_loss(kept[first - 1, second - 1], square),
            )
            for first in _ranks(kept.shape[0])
            for second in _ranks(kept.shape[1])
            for parameters, macs in [_tucker_cost(shape, first, second)]
        ]
    return whole, [option for option in made if option.parameters < whole.parameters and option.macs < whole.macs]


def _ranks(largest: int) -> range:
    """Ranks to offer, down from the largest: all of them, or in steps where pairs would be many thousands."""
    step = -(-largest // MOST_TUCKER_RANKS)
    return range(largest, 0, -step)


def _weighed_parts(layer: Any, moments: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """(the kernel by groups, weighed by the root of what the layer reads; that root)."""
    groups = getattr(layer, "groups", 1)
    parts = split_groups(np.asarray(layer.kernel), groups)
    if moments is None:
        return parts, None
    root = roots(moments, groups)
    return weigh(parts, root), root


def make_chain(
    layer: keras.layers.Layer, option: Option, taken: Sequence[str], moments: np.ndarray | None = None
) -> Chain:
    """The chain of layers that an option stands for. Strides and dilation go with the window axis that they belong to;
    bias and activation with the last layer. At full rank it computes what the layer computes.

    Args:
        taken: Names that new layers must not have.
        moments: As in `options_of`.
    """
    parts, root = _weighed_parts(layer, moments)
    if option.method == "svd":
        made = list(svd_factors(parts, *option.ranks))
    else:
        inputs, core, outputs = tucker_factors(parts, *option.ranks)
        point = (1,) * (core.ndim - 3)  # the 1 x 1 windows
        made = [core]
        if option.ranks[0] < parts.shape[-2]:
            made.insert(0, inputs.reshape(len(inputs), *point, *inputs.shape[1:]))
        if option.ranks[1] < parts.shape[-1]:
            made.append(outputs.reshape(len(outputs), *point, *outputs.shape[1:]))
    if root is not None:
        made[0] = unweigh(made[0], root)
    kernels = [join_groups(kernel) for kernel in made]
    layers, weights = [], []
    for number, kernel in enumerate(kernels):
        last = number + 1 == len(kernels)
        config = layer.get_config()
        if isinstance(layer, _CONVOLUTIONS):
            config |= _window_config(config, option.method, [k.shape[:-2] for k in kernels], number)
            config["filters"] = kernel.shape[-1]
        else:
            config["units"] = kernel.shape[-1]
        if not last:
            config |= {"name": _free_name(layer.name, number + 1, taken), "activation": "linear", "use_bias": False}
            config |= {"activity_regularizer": None}
        layers.append(type(layer).from_config(config))
        weights.append([kernel, np.asarray(layer.bias)] if last and layer.use_bias else [kernel])
    return Chain(layers=tuple(layers), weights=tuple(weights))


def _window_config(
    config: dict[str, Any], method: str, windows: Sequence[tuple[int, ...]], number: int
) -> dict[str, Any]:
    """Window, strides and dilation of one link of a chain."""
    strides, dilation = config["strides"], config["dilation_rate"]
    window = windows[number]
    if method == "tucker-2":
        # The link with the window strides; the 1 x 1 ones before and after it see every place.
        core = next(place for place, other in enumerate(windows) if prod(other) > 1)
        own = number == core
        chosen = (strides, dilation) if own else ((1,) * len(window), (1,) * len(window))
    elif len(window) == 1:
        chosen = (strides, dilation) if number == 0 else ((1,), (1,))
    else:
        first_strides, second_strides = _svd_strides(windows[1][1], strides)
        chosen = (first_strides, (dilation[0], 1)) if number == 0 else (second_strides, (1, dilation[1]))
    return {"kernel_size": window, "strides": chosen[0], "dilation_rate": chosen[1]}


def _svd_strides(width: int, strides: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Strides of (k x 1) and (1 x width). Where the second has no width, the first can skip columns for it."""
    if width == 1:
        return (strides[0], strides[1]), (1, 1)
    return (strides[0], 1), (1, strides[1])


def _free_name(name: str, number: int, taken: Sequence[str]) -> str:
    made = f"{name}_factor{number}"
    while made in taken:
        made += "_"
    return made


# ---------------------------------------------------------------------------------------------------------- costs


def _shape(layer: Any, uses: Uses) -> _Shape:
    kernel = tuple(layer.kernel.shape)
    groups = getattr(layer, "groups", 1)
    positions = [(before[1:-1], after[1:-1]) for before, after in uses]
    if type(layer) is keras.layers.Dense:
        positions = [((prod(before),), (prod(after),)) for before, after in positions]
    return _Shape(
        groups=groups,
        window=kernel[:-2],
        inputs=kernel[-2],
        outputs=kernel[-1] // groups,
        positions=tuple(positions),
    )


def _convolution_macs(
    shape: _Shape, window: Sequence[int], inputs: int, outputs: int, *, strided: tuple[bool, bool]
) -> int:
    """MACs of a convolution of the layer's groups whose output is as high and as wide as the layer's output (True) or
    as its input (False)."""
    places = 0
    for before, after in shape.positions:
        flags = strided[: len(before)]
        places += prod(after[axis] if flag else before[axis] for axis, flag in enumerate(flags))
    return places * shape.groups * prod(window) * inputs * outputs


def _svd_cost(shape: _Shape, rank: int) -> tuple[int, int]:
    height = shape.window[0] if shape.window else 1
    width = shape.window[1] if len(shape.window) == 2 else 1
    parameters = shape.groups * rank * (height * shape.inputs + width * shape.outputs)
    macs = _convolution_macs(shape, (height,), shape.inputs, rank, strided=(True, width == 1))
    macs += _convolution_macs(shape, (width,), rank, shape.outputs, strided=(True, True))
    return parameters, macs


def _tucker_cost(shape: _Shape, first: int, second: int) -> tuple[int, int]:
    parameters = shape.groups * prod(shape.window) * first * second
    macs = _convolution_macs(shape, shape.window, first, second, strided=(True, True))
    if first < shape.inputs:
        parameters += shape.groups * shape.inputs * first
        macs += _convolution_macs(shape, (1,), shape.inputs, first, strided=(False, False))
    if second < shape.outputs:
        parameters += shape.groups * second * shape.outputs
        macs += _convolution_macs(shape, (1,), second, shape.outputs, strided=(True, True))
    return parameters, macs


def _loss(kept: float, square: float) -> float:
    return float(min(1.0, max(0.0, 1.0 - kept / square))) if square else 0.0
