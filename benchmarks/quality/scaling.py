"""Recipes with other epochs, for the same share of them in each step."""

from __future__ import annotations

import tomllib

import tomli_w


def recipe_epochs(text: str) -> int:
    """Epochs of all steps of a recipe together; a step that prunes in rounds trains after each."""
    return sum(step.get("epochs", 0) * step.get("iterations", 1) for step in tomllib.loads(text).get("steps", []))


def scaled_recipe(text: str, epochs: int) -> str:
    """The recipe with so many epochs in all; what a step has is in proportion, and at least 1 where it had any.

    Args:
        text: TOML. A recipe without training stays as it is.
        epochs: Of all steps together.
    """
    document = tomllib.loads(text)
    whole = recipe_epochs(text)
    for step in document.get("steps", []):
        if step.get("epochs"):
            step["epochs"] = max(1, round(step["epochs"] * epochs / whole))
    return tomli_w.dumps(document)
