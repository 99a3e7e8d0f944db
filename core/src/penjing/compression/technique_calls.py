"""Calls of a technique's own code: whatever goes wrong in it, or with what it gives, is said to be its plugin's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import keras

from penjing.compression.plan import PlannedStep, Resolve
from penjing.contract import ExportSettings, LayerChange, Preview, StepContext, StepOutcome
from penjing.errors import PenjingError, PluginError, as_plugin_error

_OF_INVARIANT = ("hold", "check", "check_file", "resized", "to_state", "from_state")


def applied(step: PlannedStep, context: StepContext, resolve: Resolve) -> StepOutcome:
    """What the step's technique makes of the model.

    Raises:
        PluginError: It failed in a way of its own, or gave something else than a `StepOutcome` whose parts are what the
            contract says.
    """
    name, apply = step.technique.name, resolve(step.technique.apply, step.source)
    try:
        with as_plugin_error(f"the technique '{name}' failed", f"{step.source}, step {step.number}"):
            outcome = apply(context, step.settings)
    except PenjingError as error:
        if error.where is None:
            raise error.within(f"step {step.number}, {name}") from error
        raise
    fault = _fault_of_outcome(outcome)
    if fault is not None:
        raise PluginError(f"the technique '{name}' {fault}", where=f"{step.source}, {step.technique.apply}")
    found: StepOutcome = outcome
    return found


def explained(step: PlannedStep, model: Any, resolve: Resolve) -> list[LayerChange]:
    """What the step would do to each layer, as its technique says.

    Raises:
        PluginError: As for `applied`.
    """
    name = step.technique.explain
    if name is None:
        return [LayerChange(layer="", change="the technique does not explain itself")]
    what = f"the explanation of '{step.technique.name}'"
    explain = resolve(name, step.source)
    with as_plugin_error(f"{what} failed", f"{step.source}, step {step.number}"):
        given = explain(model, step.settings)
        changes = list(given) if isinstance(given, Iterable) else None
    if changes is None or not all(isinstance(change, LayerChange) for change in changes):
        raise PluginError(f"{what} is no iterable of LayerChange", where=f"{step.source}, {name}")
    return changes


def previewed(step: PlannedStep, model: Any, resolve: Resolve) -> Preview | None:
    """What the step's dry run leaves for the next; None where its technique has none.

    Raises:
        PluginError: As for `applied`.
    """
    name = step.technique.preview
    if name is None:
        return None
    what = f"the preview of '{step.technique.name}'"
    preview = resolve(name, step.source)
    with as_plugin_error(f"{what} failed", f"{step.source}, step {step.number}"):
        given = preview(model, step.settings)
    if not isinstance(given, Preview) or not isinstance(given.model, keras.Model):
        raise PluginError(f"{what} is no Preview with a keras.Model", where=f"{step.source}, {name}")
    return given


def _fault_of_outcome(outcome: Any) -> str | None:
    """What is wrong with what `apply` gave, as the end of a sentence; None when nothing is."""
    if not isinstance(outcome, StepOutcome):
        return f"returned {type(outcome).__name__} instead of StepOutcome"
    if not isinstance(outcome.model, keras.Model):
        return f"returned {type(outcome.model).__name__} as its model, which must be a keras.Model"
    if not isinstance(outcome.summary, str):
        return f"returned {outcome.summary!r} as its summary, which must be a text"
    if not all(isinstance(layer, LayerChange) for layer in outcome.layers):
        return "returned layers that are no LayerChange"
    for invariant in outcome.invariants:
        missing = [method for method in _OF_INVARIANT if not callable(getattr(invariant, method, None))]
        if missing:
            return f"promises a {type(invariant).__name__}, which has no method '{missing[0]}'"
    if not isinstance(outcome.figures, Mapping) or not all(isinstance(each, Real) for each in outcome.figures.values()):
        return "returned figures that are no mapping of numbers"
    if outcome.export is not None and not isinstance(outcome.export, ExportSettings):
        return f"returned {type(outcome.export).__name__} as its export, which must be ExportSettings"
    return None
