"""The step: each output channel of a kernel keeps a sign for each weight, or zero, and one magnitude.

Source: Li and Liu 2016, "Ternary weight networks": with D = 0.7 mean|W|, the ternary weights nearest to W in the least
squares sense are about a T, where T is sign(W) where |W| > D and else 0, and a is the mean of |W| where |W| > D. Here
each output channel has an `a` of its own, which its scale in an int8 file then holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import numpy as np
from penjing.contract import LayerChange, StepContext, StepOutcome
from penjing.errors import ModelError

from penjing_ternarize_weights.promise import TernaryWeights
from penjing_ternarize_weights.settings import Settings


def apply(context: StepContext, settings: Settings) -> StepOutcome:
    """Make the kernels ternary. Trains nothing: put a step `finetune` after it, which keeps signs and zeros.

    Raises:
        ModelError: The model has no kernel that may become ternary.
    """
    signs, layers = {}, []
    for variable, why in _kernels(context.model, settings):
        layer = variable.path.rsplit("/", 1)[0]
        if why:
            layers.append(LayerChange(layer=layer, change=f"left alone: {why}"))
            continue
        ternary, magnitude = ternarized(variable.numpy(), settings.threshold)
        variable.assign(ternary * magnitude)
        signs[variable.path] = ternary.astype(np.int8)
        layers.append(_change(layer, ternary))
    if not signs:
        raise ModelError(
            "no kernel may become ternary",
            where=f"model '{context.model.name}'",
            why="; ".join(f"{row.layer}: {row.change}" for row in layers) or "it has no kernels",
            hint="set first_and_last = true, or leave out `protect`",
        )
    total = sum(sign.size for sign in signs.values())
    zeros = sum(int(np.count_nonzero(sign == 0)) for sign in signs.values())
    return StepOutcome(
        model=context.model,
        summary=f"{total:,} weights have one of three values a channel, {zeros:,} of them zero",
        invariants=(TernaryWeights(signs),),
        layers=tuple(layers),
        figures={"ternary_weights": total, "zero_share": zeros / total},
    )


def explain(model: Any, settings: Settings) -> list[LayerChange]:
    """What `apply` would do to each kernel."""
    rows = []
    for variable, why in _kernels(model, settings):
        layer = variable.path.rsplit("/", 1)[0]
        if why:
            rows.append(LayerChange(layer=layer, change=f"left alone: {why}"))
        else:
            rows.append(_change(layer, ternarized(variable.numpy(), settings.threshold)[0]))
    return rows


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"threshold": [0.5, 0.7, 0.9], "first_and_last": [False, True]}


def ternarized(kernel: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The signs of a kernel, and the magnitude of each output channel.

    Args:
        kernel: float32, output channels on the last axis.
        threshold: In mean magnitudes of a channel.

    Returns:
        -1, 0 and 1 of the kernel's shape, and magnitudes of shape (channels,). The largest weight of a channel keeps
        its sign even where the threshold is above it, so that no channel dies.
    """
    axes = tuple(range(kernel.ndim - 1))
    size = np.abs(kernel)
    kept = size > threshold * size.mean(axis=axes)
    kept |= (size == size.max(axis=axes)) & (size > 0)
    magnitude = (size * kept).sum(axis=axes) / np.maximum(1, kept.sum(axis=axes))
    return np.sign(kernel) * kept, magnitude


def _kernels(model: Any, settings: Settings) -> Iterator[tuple[Any, str]]:
    """Every kernel with output channels on its last axis, and why it is left alone; '' where it is not."""
    found = [layer for layer in _layers(model) if isinstance(layer, _kinds()) and layer.trainable_variables]
    for index, layer in enumerate(found):
        pattern = next((pattern for pattern in settings.protect if fnmatch(layer.name, pattern)), None)
        if pattern is not None:
            yield layer.kernel, f"protected by '{pattern}'"
        elif not settings.first_and_last and index in (0, len(found) - 1):
            yield layer.kernel, "first layer" if index == 0 else "last layer"
        elif not np.any(layer.kernel.numpy()):
            yield layer.kernel, "all weights are zero"
        else:
            yield layer.kernel, ""


def _kinds() -> tuple[type, ...]:
    """Depthwise kernels are not among them: they have few weights, and bear it badly."""
    from keras import layers

    return layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D


def _layers(model: Any) -> Iterator[Any]:
    """All layers, those of nested models too, each once."""
    seen = set()
    waiting = list(model.layers)
    while waiting:
        layer = waiting.pop(0)
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if hasattr(layer, "layers"):
            waiting = [*layer.layers, *waiting]
        else:
            yield layer


def _change(layer: str, ternary: np.ndarray) -> LayerChange:
    zeros = int(np.count_nonzero(ternary == 0))
    return LayerChange(layer=layer, change=f"{ternary.size:,} weights ternary, {zeros:,} of them zero")
