"""Recipes that come with penjing, for any model."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from penjing.errors import RecipeError, did_you_mean
from penjing.recipe import Recipe


def shipped_recipes() -> dict[str, Recipe]:
    """By name; each says in its summary when to take it."""
    folder = files("penjing") / "recipes"
    found = {
        entry.name.removesuffix(".toml"): Recipe.from_toml(
            entry.read_text(encoding="utf-8"), source=f"penjing/recipes/{entry.name}"
        )
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "default", name))}


def open_recipe(given: Recipe | str | Path | None) -> Recipe:
    """A recipe for a lone model: as it is, by the name of one that ships, from a file, or the default.

    Raises:
        RecipeError: It is neither a name nor a .toml file, or the file cannot be read.
    """
    if isinstance(given, Recipe):
        return given
    shipped = shipped_recipes()
    if given is None:
        return shipped["default"]
    if str(given) in shipped:
        return shipped[str(given)]
    path = Path(given)
    if path.suffix != ".toml":
        raise RecipeError(
            f"there is no recipe '{given}'",
            hint=(did_you_mean(str(given), shipped) or f"penjing brings {', '.join(shipped)}")
            + " Or give a .toml file.",
        )
    return Recipe.load(path)
