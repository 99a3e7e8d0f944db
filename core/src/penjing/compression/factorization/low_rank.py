"""The technique `factorize`: layers become products of thinner layers, at ranks that a target decides.

Sources: see `penjing.compression.factorization.decompositions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.factorization.layers import make_chain, options_of, reason_to_leave
from penjing.compression.factorization.rank_choice import Option, best_in_total, best_within, cheapest
from penjing.compression.model_tree import check_patterns, count_parameters, matches, walk_layers
from penjing.compression.settings.factorization import FactorizeSettings
from penjing.compression.structure.replacement import replace_layers, replaceable_layers
from penjing.contract import ExportSettings, Invariant, LayerChange, StepContext, StepOutcome
from penjing.errors import ModelError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.measure.macs import count_macs

_BYTES_PER_WEIGHT = {"float32": 4, "float16": 2, "dynamic": 1, "int8": 1}
_ROUNDS = 8
"""How often a file is written to find the ranks that a budget of bytes pays for."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of each layer."""

    model: keras.Model
    """The rebuilt model; the given one where nothing changes."""
    changes: tuple[LayerChange, ...]
    figures: Mapping[str, float]
    chosen: Mapping[str, Option]


def plan(model: keras.Model, settings: FactorizeSettings, promised: Mapping[str, str], examples: Any = None) -> Plan:
    """Choose ranks and rebuild the model.

    Args:
        promised: Paths of layers that carry a promise of an earlier step, with its summary; they are left alone.
        examples: A few inputs, for the size of an int8 file; None takes made-up ones (its size does not depend on
            them).

    Raises:
        ModelError: A pattern fits no layer, or no ranks reach the target; the message says what can be reached.
    """
    check_patterns(model, settings.exclude, "exclude")
    measure = _Measure(settings, examples)
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
            wholes[path], options[path] = options_of(*reachable[path], settings.method)
            if not options[path]:
                left_alone[path] = "at no rank is a product smaller in both parameters and MACs"
    candidates = {path: found for path, found in options.items() if found}
    if settings.target == "flash":
        chosen, rebuilt = _within_flash(model, settings, wholes, candidates, before, measure)
    else:
        chosen = _by_energy_or_macs(settings, wholes, candidates, before)
        rebuilt = _rebuild(model, chosen)
    for path in candidates:
        if path not in chosen:
            left_alone[path] = _why_whole(settings, candidates[path])
    after = measure(rebuilt)
    return Plan(
        model=rebuilt,
        changes=tuple(_changes(model, wholes, chosen, left_alone)),
        figures=_figures(settings, before, after, chosen),
        chosen=chosen,
    )


@dataclass(frozen=True, kw_only=True)
class _Size:
    macs: int
    flash_bytes: int
    parameters: int


class _Measure:
    """MACs and bytes of a model, read from a file that is written for it."""

    def __init__(self, settings: FactorizeSettings, examples: Any) -> None:
        self.mode = settings.flash_format if settings.target == "flash" else "float32"
        self.examples = examples

    def __call__(self, model: keras.Model) -> _Size:
        calibration = None
        if self.mode == "int8":
            calibration = _made_up(model) if self.examples is None else self.examples
        content = to_litert(model, ExportSettings(mode=self.mode), calibration)
        macs = count_macs(FileGraph.from_bytes(content)).total
        return _Size(macs=macs, flash_bytes=len(content), parameters=count_parameters(model))


def _made_up(model: keras.Model) -> Any:
    generator = np.random.default_rng(0)
    arrays = [
        generator.normal(size=(8, *tensor.shape[1:])).astype("float32")
        if "float" in str(tensor.dtype)
        else np.zeros((8, *tensor.shape[1:]), str(tensor.dtype))
        for tensor in model.inputs
    ]
    return arrays if len(arrays) > 1 else arrays[0]


def _by_energy_or_macs(
    settings: FactorizeSettings,
    wholes: Mapping[str, Option],
    candidates: Mapping[str, list[Option]],
    before: _Size,
) -> dict[str, Option]:
    chosen: dict[str, Option | None]
    if settings.target == "energy":
        chosen = {path: cheapest(found, settings.least_energy) for path, found in candidates.items()}
    elif settings.macs_scope == "layer":
        assert settings.macs is not None
        chosen = {path: best_within(found, settings.macs * wholes[path].macs) for path, found in candidates.items()}
    else:
        assert settings.macs is not None
        everything = {path: [wholes[path], *found] for path, found in candidates.items()}
        costs = {path: [float(option.macs) for option in found] for path, found in everything.items()}
        fixed = before.macs - sum(wholes[path].macs for path in candidates)
        budget = settings.macs * before.macs - fixed
        found = best_in_total(everything, costs, budget)
        if found is None:
            least = fixed + sum(min(costs[path]) for path in costs)
            raise _unreachable(
                f"no ranks bring the model to {settings.macs:.0%} of its {before.macs:,} MACs",
                f"at rank 1 everywhere it has {least:,.0f} ({least / before.macs:.1%})",
                "macs",
            )
        chosen = {path: option for path, option in found.items() if option.method != "whole"}
    return {path: option for path, option in chosen.items() if option is not None}


def _within_flash(
    model: keras.Model,
    settings: FactorizeSettings,
    wholes: Mapping[str, Option],
    candidates: Mapping[str, list[Option]],
    before: _Size,
    measure: Callable[[keras.Model], _Size],
) -> tuple[dict[str, Option], keras.Model]:
    """The ranks of least loss whose file has no more bytes than asked.

    Weights are counted exactly, what a further operator and its tensors cost is not known before the file is written.
    So the file is written, the difference taken into account, and the ranks are chosen anew, a few times.
    """
    assert settings.flash is not None
    if before.flash_bytes <= settings.flash:
        return {}, model
    weight = _BYTES_PER_WEIGHT[settings.flash_format]
    everything = {path: [wholes[path], *found] for path, found in candidates.items()}
    costs = {path: [float(weight * option.parameters) for option in found] for path, found in everything.items()}
    fixed = before.flash_bytes - sum(weight * wholes[path].parameters for path in candidates)
    best: tuple[float, dict[str, Option], keras.Model] | None = None
    seen: list[dict[str, Option]] = []
    offset, smallest = 0.0, before.flash_bytes
    for _ in range(_ROUNDS):
        found = best_in_total(everything, costs, settings.flash - fixed - offset)
        if found is None:
            cheap = {path: min(options, key=lambda o: (o.parameters, o.loss)) for path, options in everything.items()}
            found = cheap
        if found in seen:
            break
        seen.append(found)
        chosen = {path: option for path, option in found.items() if option.method != "whole"}
        rebuilt = _rebuild(model, chosen)
        reached = measure(rebuilt).flash_bytes
        smallest = min(smallest, reached)
        loss = sum(option.loss for option in chosen.values())
        if reached <= settings.flash and (best is None or loss < best[0]):
            best = (loss, chosen, rebuilt)
        offset = reached - fixed - sum(weight * option.parameters for option in found.values())
    if best is None:
        raise _unreachable(
            f"no ranks were found whose {settings.flash_format} file has at most {settings.flash:,} bytes",
            f"the smallest that was written has {smallest:,}; the model as it is {before.flash_bytes:,}",
            "flash",
        )
    return best[1], best[2]


def _unreachable(what: str, why: str, setting: str) -> ModelError:
    return ModelError(what, why=why, hint=f"raise '{setting}', take patterns out of 'exclude', or prune channels")


def _rebuild(model: keras.Model, chosen: Mapping[str, Option]) -> keras.Model:
    if not chosen:
        return model
    layers = {path: layer for path, layer, _ in replaceable_layers(model)}
    taken = [layer.name for layer in layers.values()]
    return replace_layers(model, {path: make_chain(layers[path], option, taken) for path, option in chosen.items()})


def _why_whole(settings: FactorizeSettings, options: list[Option]) -> str:
    if settings.target == "energy":
        most = 1.0 - min(option.loss for option in options)
        return f"products that are smaller keep at most {most:.1%} of its energy, not {settings.least_energy:.1%}"
    if settings.target == "macs" and settings.macs_scope == "layer":
        least = min(option.macs for option in options)
        return f"even the smallest product has {least:,} MACs, more than asked"
    return "the target is reached without it"


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
                )
            )
        elif path in left_alone:
            changes.append(LayerChange(layer=path, change=f"left alone: {left_alone[path]}"))
    return changes


def _figures(
    settings: FactorizeSettings, before: _Size, after: _Size, chosen: Mapping[str, Option]
) -> dict[str, float]:
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
        figures["macs_target"] = (settings.macs or 0.0) * before.macs
    else:
        figures["flash_bytes_target"] = settings.flash or 0
    return figures


def explain(model: keras.Model, settings: FactorizeSettings) -> list[LayerChange]:
    """The ranks that each layer would get, by the weights as they are now."""
    return list(plan(model, settings, {}).changes)


def apply(context: StepContext, settings: FactorizeSettings) -> StepOutcome:
    """Choose ranks, rebuild the model, train it."""
    examples = context.train.x
    if isinstance(examples, dict):
        examples = {name: np.asarray(values)[:8] for name, values in examples.items()}
    else:
        examples = np.asarray(examples)[:8]
    made = plan(context.model, settings, promised_layers(context.invariants), examples)
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
    promise could not be kept. Promises keep arrays by path under `masks` or `codebooks`."""
    promised: dict[str, str] = {}
    invariant: Invariant
    for invariant in invariants:
        for attribute in ("masks", "codebooks"):
            for path in getattr(invariant, attribute, {}):
                promised[path] = invariant.summary
    return promised


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"energy": [0.7, 0.8, 0.9, 0.95], "method": ["best", "svd", "tucker-2"]}
