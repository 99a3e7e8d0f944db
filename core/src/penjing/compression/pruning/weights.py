"""The technique `prune-weights`: small weights become zero and stay zero.

Zeros shrink a file only where it is stored compressed (zip) or the runtime has sparse kernels; the size of a plain
.tflite file does not change. The report therefore gives flash and zip bytes apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np

from penjing.compression.finetuning import apply_constraints
from penjing.compression.model_tree import check_patterns, kernels, matches
from penjing.compression.pruning.schedules import polynomial_sparsity
from penjing.compression.pruning.sparsity_mask import SparsityMask, hold_mask
from penjing.compression.settings.weight_pruning import PruneWeightsSettings
from penjing.contract import LayerChange, StepContext, StepOutcome
from penjing.errors import ModelError


def smallest_masked(
    weights: Mapping[str, np.ndarray], sparsity: float, scope: Literal["global", "layer"]
) -> dict[str, np.ndarray]:
    """Masks (True = kept) that drop the weights of smallest magnitude.

    Exactly round(sparsity * n) weights are dropped, n counted over all layers (global) or in each (layer); ties are
    broken by position. No layer loses its last weight.

    Args:
        weights: Arrays by layer path, of any shape.
        sparsity: Share to drop, 0 to 1.
        scope: One ranking over all layers, or one in each.
    """
    if scope == "layer":
        return {path: smallest_masked({path: values}, sparsity, "global")[path] for path, values in weights.items()}
    flat = np.concatenate([np.abs(values).ravel() for values in weights.values()])
    kept = np.ones(flat.size, bool)
    starts = np.cumsum([0, *(values.size for values in weights.values())])
    candidates = np.ones(flat.size, bool)
    for start, values in zip(starts, weights.values(), strict=False):
        candidates[start + int(np.abs(values).argmax())] = False
    order = np.argsort(flat, kind="stable")
    order = order[candidates[order]]
    kept[order[: round(sparsity * flat.size)]] = False
    return {
        path: kept[start : start + values.size].reshape(values.shape)
        for start, (path, values) in zip(starts, weights.items(), strict=False)
    }


def prunable(model: keras.Model, exclude: Sequence[str]) -> dict[str, Any]:
    """Kernel variables by layer path, but for the excluded.

    Raises:
        ModelError: Nothing is left to prune, or a pattern fits no layer.
    """
    check_patterns(model, exclude, "exclude")
    chosen = {path: kernel for path, kernel in kernels(model).items() if not matches(path, exclude)}
    if not chosen:
        raise ModelError(
            "the model has no weights to prune",
            why="prune-weights handles the kernels of Dense, Conv and DepthwiseConv layers",
            hint="check 'exclude', or leave the step out",
        )
    return chosen


def explain(model: keras.Model, settings: PruneWeightsSettings) -> list[LayerChange]:
    """What the step would do to each layer with weights, by the magnitudes as they are now."""
    from penjing.compression.model_tree import walk_layers

    variables = prunable(model, settings.exclude)
    masks = smallest_masked(
        {path: np.asarray(kernel) for path, kernel in variables.items()},
        settings.sparsity,
        settings.scope,
    )
    changes = []
    for path, layer in walk_layers(model):
        if path in masks:
            changes.append(LayerChange(layer=path, change=_zeros(masks[path])))
        elif matches(path, settings.exclude):
            changes.append(LayerChange(layer=path, change="left alone: fits 'exclude'"))
        elif layer.weights:
            kind = type(layer).__name__
            changes.append(LayerChange(layer=path, change=f"left alone: {kind} has no kernel to prune"))
    return changes


def apply(context: StepContext, settings: PruneWeightsSettings) -> StepOutcome:
    """Prune by magnitude along the schedule while training, then hold the masks."""
    model = context.model
    variables = prunable(model, settings.exclude)
    earlier = _held_masks(context)
    masks = {
        path: keras.Variable(np.ones(kernel.shape, "float32"), trainable=False, name=f"mask_{index}")
        for index, (path, kernel) in enumerate(variables.items())
    }
    for path, kernel in variables.items():
        hold_mask(kernel, masks[path])

    def set_sparsity(sparsity: float) -> None:
        weights = {path: np.asarray(kernel) for path, kernel in variables.items()}
        for path, mask in smallest_masked(weights, sparsity, settings.scope).items():
            masks[path].assign((mask & earlier[path] if path in earlier else mask).astype("float32"))
        for path, kernel in variables.items():
            kernel.assign(kernel * masks[path])

    started = False

    def on_update(done: int, updates: int) -> None:
        nonlocal started
        # A resumed training starts between two changes: weights that were zero are the smallest, so the mask of the
        # last change comes out again.
        if done % settings.frequency == 0 or not started:
            started = True
            set_sparsity(
                polynomial_sparsity(
                    (done - done % settings.frequency) / updates,
                    initial=settings.initial_sparsity,
                    final=settings.sparsity,
                    begin=settings.begin,
                    end=settings.end,
                )
            )

    gradual = settings.schedule_shape == "polynomial" and settings.epochs > 0
    if not gradual:
        set_sparsity(settings.sparsity)
    history = context.fit(model, settings, on_update=on_update if gradual else None)
    if gradual:
        set_sparsity(settings.sparsity)
    apply_constraints(model)
    final = {path: np.asarray(mask) > 0.5 for path, mask in masks.items()}
    zeros = sum(int(mask.size - mask.sum()) for mask in final.values())
    total = sum(mask.size for mask in final.values())
    return StepOutcome(
        model=model,
        summary=f"{zeros:,} of {total:,} weights zero ({zeros / total:.1%}), {settings.scope} magnitude",
        invariants=(SparsityMask(masks=final),),
        layers=tuple(LayerChange(layer=path, change=_zeros(mask)) for path, mask in final.items()),
        figures={"sparsity": zeros / total},
        history=history,
    )


def _held_masks(context: StepContext) -> dict[str, np.ndarray]:
    """Masks of earlier pruning steps, which this step must not undo."""
    held: dict[str, np.ndarray] = {}
    for invariant in context.invariants:
        if isinstance(invariant, SparsityMask):
            for path, mask in invariant.masks.items():
                held[path] = mask & held[path] if path in held else mask
    return held


def _zeros(mask: np.ndarray) -> str:
    zeros = int(mask.size - mask.sum())
    return f"{zeros:,} of {mask.size:,} weights zero ({zeros / mask.size:.1%})"


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"sparsity": [0.3, 0.5, 0.7, 0.8, 0.9], "scope": ["global", "layer"]}
