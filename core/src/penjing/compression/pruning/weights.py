"""The technique `prune-weights`: weights that matter little become zero and stay zero.

Zeros shrink a file only where it is stored compressed (zip) or the runtime has sparse kernels; the size of a plain
.tflite file does not change. The report therefore gives flash and zip bytes apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np

from penjing.bundle.atomic import write_json_atomically
from penjing.cache import cache_folder
from penjing.compression.finetuning import apply_constraints
from penjing.compression.matrix_layout import InputAxes, as_lines, input_axes
from penjing.compression.model_tree import check_matrix_patterns, key_matches, walk_layers, weight_matrices
from penjing.compression.pruning.mask_schedule import MaskSchedule
from penjing.compression.pruning.patterns import block_numbers
from penjing.compression.pruning.sparsity_mask import SparsityMask
from penjing.compression.pruning.sparsity_targets import equal_drop_shares
from penjing.compression.pruning.structured_mask import StructuredMask
from penjing.compression.pruning.weight_selection import Pool, Units, select
from penjing.compression.sensitivity import Sensitivity, hash_split, measure_sensitivity
from penjing.compression.settings.sensitivity import SensitivitySettings
from penjing.compression.settings.weight_pruning import PruneWeightsSettings
from penjing.contract import LayerChange, StepContext, StepOutcome
from penjing.errors import ModelError

SENSITIVITY_FILE = "sensitivity.json"
"""In the step's folder, where the report looks for it."""


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
    scores = {key: np.abs(values) for key, values in weights.items()}
    return select(scores, {}, _scope_pools(list(weights), sparsity, scope), Units())


def prunable(model: keras.Model, settings: PruneWeightsSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """Weight matrices by key, and those that are left alone with the reason.

    Raises:
        ModelError: Nothing is left to prune, or a pattern fits no layer.
    """
    check_matrix_patterns(model, settings.exclude, "exclude")
    check_matrix_patterns(model, list(settings.layer_sparsity), "layer_sparsity")
    axes = input_axes(model)
    chosen: dict[str, Any] = {}
    left: dict[str, str] = {}
    for key, variable in weight_matrices(model).items():
        why = "fits 'exclude'" if key_matches(key, settings.exclude) else None
        if why is None and (settings.n_m or settings.block):
            why = _no_pattern(np.empty(variable.shape, np.int8), axes[key], settings)
        if why is None:
            chosen[key] = variable
        else:
            left[key] = why
    if not chosen:
        raise ModelError(
            "the model has no weights to prune",
            why="; ".join(f"{key}: {why}" for key, why in left.items())
            or "no layer has weight matrices: Dense, convolutions, recurrent layers, embeddings",
            hint="check 'exclude', 'n_m' and 'block', or leave the step out",
        )
    return chosen, left


def _no_pattern(values: np.ndarray, axes: InputAxes, settings: PruneWeightsSettings) -> str | None:
    """Why a matrix cannot have the pattern that is asked for."""
    if not axes:
        return "its outputs are no sums over inputs, so there is nothing to group"
    if settings.kept_of_group is not None and as_lines(values, axes).shape[-1] < settings.kept_of_group[1]:
        return f"it has {as_lines(values, axes).shape[-1]} inputs, fewer than a group of {settings.n_m}"
    return None


def _scope_pools(keys: Sequence[str], share: float, scope: str) -> list[Pool]:
    if not keys:
        return []
    return [Pool(keys=(key,), share=share) for key in keys] if scope == "layer" else [Pool(keys=(*keys,), share=share)]


def _own_shares(keys: Sequence[str], settings: PruneWeightsSettings) -> dict[str, float]:
    own = {}
    for key in keys:
        fitting = (share for pattern, share in settings.layer_sparsity.items() if key_matches(key, [pattern]))
        share = next(fitting, None)
        if share is not None:
            own[key] = share
    return own


def _pools(keys: Sequence[str], settings: PruneWeightsSettings, shares: Mapping[str, float]) -> list[Pool]:
    """The shares by key (patterns, sensitivity) each apart, the rest by scope."""
    share = settings.sparsity
    if settings.kept_of_group is not None:
        kept, group = settings.kept_of_group
        share = 1.0 - kept / group
    rest = [key for key in keys if key not in shares]
    return [Pool(keys=(key,), share=value) for key, value in shares.items()] + _scope_pools(rest, share, settings.scope)


def _units(variables: Mapping[str, Any], axes: Mapping[str, InputAxes], settings: PruneWeightsSettings) -> Units:
    if settings.block is not None:
        return Units(
            blocks={key: block_numbers(tuple(v.shape), axes[key], settings.block) for key, v in variables.items()}
        )
    if settings.kept_of_group is not None:
        return Units(groups={key: axes[key] for key in variables}, kept_of_group=settings.kept_of_group)
    return Units()


def explain(model: keras.Model, settings: PruneWeightsSettings) -> list[LayerChange]:
    """What the step would do to each layer with weights: by the magnitudes as they are now, where these decide."""
    variables, left = prunable(model, settings)
    keys = list(variables)
    changes = [LayerChange(layer=key, change=f"left alone: {why}") for key, why in left.items()]
    if settings.targets == "sensitivity":
        own = _own_shares(keys, settings)
        decided = "a share from the sensitivity analysis on validation data"
        said = {key: f"{own[key]:.1%} of the weights zero" if key in own else decided for key in keys}
    else:
        scores = {key: np.abs(np.asarray(variable)) for key, variable in variables.items()}
        pools = _pools(keys, settings, _own_shares(keys, settings))
        masks = select(scores, {}, pools, _units(variables, input_axes(model), settings))
        alone = {pool.keys[0] for pool in pools if len(pool.keys) == 1}
        said = {
            key: _zeros(mask)
            if settings.criterion == "magnitude" or key in alone
            else f"how many weights become zero is decided by {settings.criterion} in training"
            for key, mask in masks.items()
        }
    changes += [LayerChange(layer=key, change=change) for key, change in said.items()]
    for path, layer in walk_layers(model):
        if layer.weights and not any(key == path or key.startswith(f"{path}/") for key in (*said, *left)):
            changes.append(
                LayerChange(layer=path, change=f"left alone: {type(layer).__name__} has no weight matrix to prune")
            )
    order = {path: index for index, (path, _) in enumerate(walk_layers(model))}
    return sorted(changes, key=lambda change: _position(change.layer, order))


def _position(key: str, order: Mapping[str, int]) -> int:
    parts = key.split("/")
    return next((order[p] for n in range(len(parts), 0, -1) if (p := "/".join(parts[:n])) in order), len(order))


def apply(context: StepContext, settings: PruneWeightsSettings) -> StepOutcome:
    """Prune along the schedule while training, then hold the masks."""
    model = context.model
    variables, left = prunable(model, settings)
    axes = input_axes(model)
    shares = _own_shares(list(variables), settings)
    if settings.targets == "sensitivity":
        shares |= _sensitivity_shares(context, settings, [key for key in variables if key not in shares])
    earlier = {key: mask for key, mask in _held_masks(context).items() if key in variables}
    schedule = MaskSchedule(
        context,
        settings,
        variables,
        earlier=earlier,
        pools=_pools(list(variables), settings, shares),
        units=_units(variables, axes, settings),
    )
    history = schedule.train()
    apply_constraints(model)
    final = schedule.masks()
    zeros = sum(int(mask.size - mask.sum()) for mask in final.values())
    total = sum(mask.size for mask in final.values())
    if settings.n_m or settings.block:
        promise: SparsityMask = StructuredMask(
            masks=final,
            axes={key: axes[key] for key in final},
            n_m=settings.kept_of_group,
            block=settings.block,
        )
    else:
        promise = SparsityMask(masks=final)
    layers = [LayerChange(layer=key, change=_zeros(mask)) for key, mask in final.items()]
    layers += [LayerChange(layer=key, change=f"left alone: {why}") for key, why in left.items()]
    return StepOutcome(
        model=model,
        summary=f"{zeros:,} of {total:,} weights zero ({zeros / total:.1%}), {_how(settings)}",
        invariants=(promise,),
        layers=tuple(layers),
        figures={"sparsity": zeros / total},
        history=history,
    )


def _how(settings: PruneWeightsSettings) -> str:
    if settings.n_m:
        return f"{settings.n_m} along the inputs by {settings.criterion}"
    what = f"{settings.block[0]}x{settings.block[1]} blocks, " if settings.block else ""
    where = "equal drop by sensitivity," if settings.targets == "sensitivity" else settings.scope
    return f"{what}{where} {settings.criterion}"


def _sensitivity_shares(context: StepContext, settings: PruneWeightsSettings, keys: Sequence[str]) -> dict[str, float]:
    """Sparsities with equal estimated drops; the analysis goes into the step's folder, for the report."""
    if not keys:
        return {}
    levels = [0.3, 0.5, 0.7, 0.9]
    if settings.sparsity > 0.85:
        levels = sorted({*levels, settings.sparsity, (1.0 + settings.sparsity) / 2})
    result: Sensitivity = measure_sensitivity(
        context.model,
        context.evaluate,
        len(context.validation),
        metric=context.metric.name,
        higher_is_better=context.metric.direction == "higher",
        settings=SensitivitySettings(
            bits=(), sparsity=tuple(levels), channels=(), examples=settings.sensitivity_examples
        ),
        seed=context.seed,
        only=keys,
        cache=cache_folder() / "sensitivity",
        data_key=hash_split(context.validation),
        progress=lambda done, of: context.progress(f"sensitivity: {done} of {of}") if done == of else None,
    )
    write_json_atomically(context.folder / SENSITIVITY_FILE, result.to_json())
    return equal_drop_shares(result.drops("sparsity"), result.weights, settings.sparsity)


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
    return {
        "sparsity": [0.3, 0.5, 0.7, 0.8, 0.9],
        "scope": ["global", "layer"],
        "criterion": ["magnitude", "movement", "taylor"],
    }
