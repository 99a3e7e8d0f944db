"""From the words of a recipe to steps that can be run: every technique known, every setting valid.

Nothing here imports TensorFlow, so a mistyped recipe fails in a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from penjing.compression.settings.training import TrainingSettings
from penjing.contract import Technique
from penjing.errors import PluginError, RecipeError, as_plugin_error, did_you_mean
from penjing.recipe import Recipe


class TechniqueSource(Protocol):
    """Where techniques come from; `penjing.host.PluginHost` is one."""

    @property
    def techniques(self) -> Mapping[str, Any]:
        """Contributions by name, each with `.value` (a `Technique`) and `.source`."""


Resolve = Callable[[str, Any], Any]
"""(import string, plugin source) -> the object."""


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """A step whose technique is known and whose settings are valid."""

    number: int
    """From 1."""
    technique: Technique
    settings: BaseModel
    source: Any
    """The plugin that contributed the technique; its text names distribution and version."""


def plan_steps(recipe: Recipe, host: TechniqueSource, resolve: Resolve) -> tuple[PlannedStep, ...]:
    """Check the steps of a recipe.

    Raises:
        RecipeError: An unknown technique or setting, a value out of range, or a step that may not stand where it
            stands; `where` is file and line, `hint` the nearest valid name.
        PluginError: What a technique says of its settings or conflicts cannot be used.
    """
    planned: list[PlannedStep] = []
    for index, step in enumerate(recipe.steps):
        contribution = host.techniques.get(step.technique)
        if contribution is None:
            raise RecipeError(
                f"unknown technique '{step.technique}' in step {index + 1}",
                where=recipe.where("steps", index, "technique"),
                hint=did_you_mean(step.technique, host.techniques),
            )
        if planned and planned[-1].technique.ends_recipe:
            raise RecipeError(
                f"step {index + 1}, '{step.technique}', stands after '{planned[-1].technique.name}'",
                where=recipe.where("steps", index, "technique"),
                why=f"'{planned[-1].technique.name}' decides how the file is written; "
                "what changes the model must come before",
                hint=f"move '{planned[-1].technique.name}' to the end",
            )
        technique: Technique = contribution.value
        for before in planned:
            why = _cannot_follow(before.technique, technique)
            if why is not None:
                first, second = before.technique.name, technique.name
                raise RecipeError(
                    f"step {index + 1}, '{second}', stands after '{first}'",
                    where=recipe.where("steps", index, "technique"),
                    why=why,
                    hint=f"leave one of '{first}' and '{second}' out"
                    if technique.ends_recipe
                    else f"move '{second}' before '{first}'",
                )
        model = resolve(technique.settings, contribution.source)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise PluginError(
                f"the settings of '{technique.name}' are no pydantic model",
                where=f"{contribution.source}, {technique.settings}",
            )
        with as_plugin_error(f"'{technique.settings}' failed", str(contribution.source)):
            settings = check_settings(model, step.settings, recipe, ("steps", index), f"technique '{technique.name}'")
        if technique.conflict is not None:
            conflict = resolve(technique.conflict, contribution.source)
            with as_plugin_error(f"'{technique.conflict}' failed", str(contribution.source)):
                _check_conflicts(conflict, planned, settings, recipe, index)
        planned.append(
            PlannedStep(number=index + 1, technique=technique, settings=settings, source=contribution.source)
        )
    return tuple(planned)


def _check_conflicts(
    conflict: Callable[[BaseModel, str], str | None],
    planned: Sequence[PlannedStep],
    settings: BaseModel,
    recipe: Recipe,
    index: int,
) -> None:
    for before in planned:
        why = conflict(settings, before.technique.name)
        if why is not None:
            raise RecipeError(
                f"step {index + 1}, '{recipe.steps[index].technique}', would break what step {before.number}, "
                f"'{before.technique.name}', promises",
                where=recipe.where("steps", index, "technique"),
                why=why,
                hint=f"leave the setting out, or the step '{before.technique.name}'",
            )


def _cannot_follow(before: Technique, after: Technique) -> str | None:
    """Why one technique cannot stand anywhere after another; None where it can."""
    if before.name in after.not_after or after.name in before.not_before:
        return f"'{after.name}' would break what '{before.name}' promises"
    if not before.freezes_structure:
        return None
    if after.changes_structure:
        return f"'{before.name}' fixes the layers and their shapes, '{after.name}' changes them"
    if after.ends_recipe or after.freezes_structure:
        return f"'{before.name}' has already decided how the file is written"
    if after.invariants:
        return f"'{before.name}' fixes which weights the file can have, '{after.name}' decides about them anew"
    return None


def reference_training(recipe: Recipe) -> TrainingSettings:
    """The recipe's `[reference]` table, checked."""
    settings = check_settings(TrainingSettings, recipe.reference, recipe, ("reference",), "[reference]")
    assert isinstance(settings, TrainingSettings)
    return settings


def check_settings(
    model: type[BaseModel],
    values: Mapping[str, Any],
    recipe: Recipe,
    place: Sequence[str | int],
    whose: str,
) -> BaseModel:
    """Build a settings model from a table of the recipe.

    Raises:
        RecipeError: Names the first key at fault, its line and what is allowed.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = [part for part in first["loc"] if isinstance(part, str)]
        key = ".".join(location)
        where = recipe.where(*place, *location)
        if first["type"] == "extra_forbidden":
            fields = _fields_at(model, location[:-1])
            raise RecipeError(
                f"unknown setting '{key}' of {whose}",
                where=where,
                hint=did_you_mean(location[-1], fields),
            ) from error
        what = f"setting '{key}' of {whose}" if key else f"the settings of {whose}"
        raise RecipeError(
            f"{what} cannot be {first['input']!r}" if key else f"{what} do not fit together",
            where=where,
            why=first["msg"],
            hint=_description(model, location),
        ) from error


def _fields_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    for name in location:
        inner = model.model_fields[name].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(model.model_fields)


def _description(model: type[BaseModel], location: Sequence[str]) -> str | None:
    field = model.model_fields.get(location[0]) if location else None
    if field is None or not field.description:
        return None
    return f"{location[0]}: {field.description}"
