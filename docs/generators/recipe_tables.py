"""Tables about techniques, the recipes that ship, the order of steps and the limits of a budget."""

from __future__ import annotations

from source_docs import cell

from penjing.compression.catalogue import TECHNIQUES
from penjing.compression.plan import plan_steps
from penjing.contract import Technique
from penjing.errors import RecipeError
from penjing.host import PluginHost
from penjing.recipe import Recipe, Step
from penjing.runner.shipped_recipes import shipped_recipes
from penjing.verify.limits import KINDS


def techniques() -> str:
    """Every technique with what it promises and decides."""
    rows = ["| technique | what it does | promises | decides about |", "|---|---|---|---|"]
    for technique in TECHNIQUES:
        promises = ", ".join(f"`{name.rpartition(':')[2]}`" for name in technique.invariants)
        name = f"[`{technique.name}`]({technique.name}.md)"
        rows.append(f"| {name} | {cell(technique.summary)} | {promises} | {_decides(technique)} |")
    return "\n".join(rows)


def _decides(technique: Technique) -> str:
    if technique.ends_recipe:
        return "the file; ends the recipe"
    if technique.freezes_structure:
        return "the file; only training may follow"
    return "shapes" if technique.changes_structure else "values"


def shipped() -> str:
    """The recipes that come with penjing."""
    rows = ["| name | steps | when to take it |", "|---|---|---|"]
    for name, recipe in shipped_recipes().items():
        steps = ", ".join(f"`{step.technique}`" for step in recipe.steps)
        rows.append(f"| `{name}` | {steps} | {cell(recipe.summary)} |")
    return "\n".join(rows)


def orders() -> str:
    """Which technique may stand anywhere after which, as the planner decides it."""
    names = [technique.name for technique in TECHNIQUES]
    rows = ["| first, then | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for first in names:
        marks = ["yes" if _may_follow(first, second) else "no" for second in names]
        rows.append(f"| `{first}` | " + " | ".join(marks) + " |")
    return "\n".join(rows)


def _may_follow(first: str, second: str) -> bool:
    host = PluginHost.from_modules({})
    try:
        plan_steps(Recipe(name="order", steps=(Step(technique=first), Step(technique=second))), host, host.resolve)
    except RecipeError:
        return False
    return True


def limits() -> str:
    """The limits of a budget with their units."""
    rows = ["| limit | what is measured | units |", "|---|---|---|"]
    for name, kind in KINDS.items():
        units = ", ".join(_spelling(unit) for unit in kind.units if unit)
        rows.append(f"| `{name}` | {kind.meaning} | {units or 'a share'} |")
    return "\n".join(rows)


def _spelling(unit: str) -> str:
    return {"KIB": "KiB", "MIB": "MiB", "US": "us", "MS": "ms", "S": "s"}.get(unit, unit)
