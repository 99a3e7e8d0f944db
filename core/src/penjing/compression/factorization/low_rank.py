"""The technique `factorize`: layers become products of thinner layers, at ranks that a target decides.

Sources: see `penjing.compression.factorization.decompositions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.factorization.input_moments import input_moments
from penjing.compression.factorization.layers import make_chain, options_of, reason_to_leave
from penjing.compression.factorization.rank_choice import Option
from penjing.compression.factorization.targets import (
    Candidates,
    Measure,
    Size,
    by_energy_or_macs,
    macs_target,
    why_whole,
    within_flash,
)
from penjing.compression.model_tree import check_patterns, matches, walk_layers
from penjing.compression.settings.factorization import FactorizeSettings
from penjing.compression.structure.replacement import replace_layers, replaceable_layers
from penjing.contract import Invariant, LayerChange, Preview, StepContext, StepOutcome


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of each layer."""

    model: keras.Model
    """The rebuilt model; the given one where nothing changes."""
    changes: tuple[LayerChange, ...]
    figures: Mapping[str, float]
    chosen: Mapping[str, Option]


def plan(
    model: keras.Model,
    settings: FactorizeSettings,
    promised: Mapping[str, str],
    moments: Mapping[str, np.ndarray] | None = None,
) -> Plan:
    """Choose ranks and rebuild the model.

    Args:
        promised: Paths of layers that carry a promise of an earlier step, with its summary; they are left alone.
        moments: What layers read (`input_moments`); None keeps energy of the weights.

    Raises:
        ModelError: A pattern fits no layer, or no ranks reach the target; the message says what can be reached.
    """
    check_patterns(model, settings.exclude, "exclude")
    read = moments or {}
    measure = Measure(settings)
    before = measure(model)
    wholes: dict[str, Option] = {}
    options: dict[str, list[Option]] = {}
    left_alone: dict[str, str] = {}
    reachable = {path: (layer, uses) for path, layer, uses in replaceable_layers(model)}
    for path, layer in walk_layers(model):
        if not layer.weights:
            continue
        if matches(path, settings.exclude):
            left_alone[path] = "fits 'exclude'"
        elif path in promised:
            left_alone[path] = f"carries a promise of an earlier step ({promised[path]})"
        elif path not in reachable:
            left_alone[path] = "stands inside a wrapper or a model with a class of its own"
        elif reason := reason_to_leave(*reachable[path]):
            left_alone[path] = reason
        else:
            wholes[path], options[path] = options_of(*reachable[path], settings.method, read.get(path))
            if not options[path]:
                left_alone[path] = "at no rank is a product smaller in both parameters and MACs"
    candidates = Candidates(wholes=wholes, products={path: found for path, found in options.items() if found})
    if settings.target == "flash":
        chosen = within_flash(settings, candidates, before, lambda choice: _rebuild(model, choice, read), measure)
    else:
        chosen = by_energy_or_macs(settings, candidates, before)
    for path, found in candidates.products.items():
        if path not in chosen:
            left_alone[path] = why_whole(settings, found)
    rebuilt = _rebuild(model, chosen, read)
    after = measure(rebuilt)
    return Plan(
        model=rebuilt,
        changes=tuple(_changes(model, wholes, chosen, left_alone)),
        figures=_figures(settings, before, after, chosen),
        chosen=chosen,
    )


def _rebuild(model: keras.Model, chosen: Mapping[str, Option], moments: Mapping[str, np.ndarray]) -> keras.Model:
    if not chosen:
        return model
    layers = {path: layer for path, layer, _ in replaceable_layers(model)}
    taken = [layer.name for layer in layers.values()]
    chains = {path: make_chain(layers[path], option, taken, moments.get(path)) for path, option in chosen.items()}
    return replace_layers(model, chains)


def _changes(
    model: keras.Model,
    wholes: Mapping[str, Option],
    chosen: Mapping[str, Option],
    left_alone: Mapping[str, str],
) -> list[LayerChange]:
    changes = []
    for path, _ in walk_layers(model):
        if path in chosen:
            option, whole = chosen[path], wholes[path]
            ranks = " and ".join(str(rank) for rank in option.ranks)
            changes.append(
                LayerChange(
                    layer=path,
                    change=f"{option.method}, rank {ranks}: {whole.parameters:,} -> {option.parameters:,} parameters, "
                    f"{whole.macs:,} -> {option.macs:,} MACs, {1 - option.loss:.1%} of the energy kept",
                    before=whole.macs,
                    after=option.macs,
                    unit="MACs",
                )
            )
        elif path in left_alone:
            changes.append(LayerChange(layer=path, change=f"left alone: {left_alone[path]}"))
    return changes


def _figures(settings: FactorizeSettings, before: Size, after: Size, chosen: Mapping[str, Option]) -> dict[str, float]:
    figures: dict[str, float] = {
        "factorized_layers": len(chosen),
        "parameters_before": before.parameters,
        "parameters_after": after.parameters,
        "macs_before": before.macs,
        "macs_after": after.macs,
        "flash_bytes_before": before.flash_bytes,
        "flash_bytes_after": after.flash_bytes,
        "least_energy_kept": 1.0 - max((option.loss for option in chosen.values()), default=0.0),
    }
    if settings.target == "energy":
        figures["energy_target"] = settings.least_energy
    elif settings.target == "macs":
        figures["macs_target"] = macs_target(settings, before)
    else:
        figures["flash_bytes_target"] = settings.flash or 0
    return figures


def explain(model: keras.Model, settings: FactorizeSettings) -> list[LayerChange]:
    """The ranks that each layer would get, by the weights as they are now: without data nothing is known of outputs."""
    return list(plan(model, settings, {}).changes)


def preview(model: keras.Model, settings: FactorizeSettings) -> Preview:
    """The rebuilt model, not trained."""
    return Preview(model=plan(model, settings, {}).model)


def apply(context: StepContext, settings: FactorizeSettings) -> StepOutcome:
    """Choose ranks, rebuild the model, train it."""
    moments = None
    if settings.energy_of == "outputs":
        moments = input_moments(context.model, context.train.x, settings.examples)
    made = plan(context.model, settings, promised_layers(context.invariants), moments)
    figures = dict(made.figures)
    history: Mapping[str, Any] = {}
    if made.chosen:
        figures["validation_before_training"] = context.evaluate(made.model)
        history = context.fit(made.model, settings)
    return StepOutcome(
        model=made.model,
        summary=_summary(settings, made),
        layers=made.changes,
        figures=figures,
        history=history,
    )


def _summary(settings: FactorizeSettings, made: Plan) -> str:
    figures = made.figures
    if not made.chosen:
        return "no layer was factorized: none becomes smaller, or the target was reached before"
    target = {
        "energy": f"energy {figures['least_energy_kept']:.1%} (asked {figures.get('energy_target', 0):.1%})",
        "macs": f"asked {figures.get('macs_target', 0):,.0f} MACs",
        "flash": f"asked {figures.get('flash_bytes_target', 0):,} bytes ({settings.flash_format})",
    }[settings.target]
    return (
        f"{len(made.chosen)} layers factorized, {target}: "
        f"{figures['macs_before']:,} -> {figures['macs_after']:,} MACs, "
        f"{figures['parameters_before']:,} -> {figures['parameters_after']:,} parameters, "
        f"{figures['flash_bytes_before']:,} -> {figures['flash_bytes_after']:,} bytes"
    )


def promised_layers(invariants: Any) -> dict[str, str]:
    """Layers that promises of earlier steps speak of, with the promise's summary: a product has other kernels, so the
    promise could not be kept. Promises keep what they know of a layer by its path, under one of three names."""
    promised: dict[str, str] = {}
    invariant: Invariant
    for invariant in invariants:
        for attribute in ("masks", "codebooks", "shapes"):
            for path in getattr(invariant, attribute, {}):
                promised[path] = invariant.summary
    return promised


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"energy": [0.7, 0.8, 0.9, 0.95], "method": ["best", "svd", "tucker-2"]}
