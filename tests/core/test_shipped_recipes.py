"""Recipes that ship are found by name, are valid, say when to take them, and can be the start of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penjing.compression.plan import plan_steps
from penjing.errors import RecipeError
from penjing.host import PluginHost
from penjing.recipe import Recipe
from penjing.runner.shipped_recipes import open_recipe, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_is_valid_and_says_when_to_take_it(name: str) -> None:
    recipe = shipped_recipes()[name]
    host = PluginHost.from_modules({})
    assert plan_steps(recipe, host, host.resolve)
    assert recipe.name == name
    assert len(recipe.summary.split()) >= 6
    assert Recipe.from_toml(recipe.to_toml()).steps == recipe.steps


def test_an_unknown_name_meets_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        open_recipe("defualt")
    assert "default" in caught.value.hint


def test_the_command_lists_and_prints_them(run_penjing, tmp_path: Path) -> None:
    listed = json.loads(run_penjing("recipes", "--json").stdout)
    assert {row["name"] for row in listed} == set(shipped_recipes())
    printed = run_penjing("recipes", "default").stdout
    assert Recipe.from_toml(printed).steps == shipped_recipes()["default"].steps
    table = run_penjing("recipes").stdout
    assert "when to take it" in table and "quantize" in table


def test_explain_goes_on_with_the_smaller_model(run_penjing, toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(
        'name = "two"\n[[steps]]\ntechnique = "prune-weights"\n[[steps]]\ntechnique = "prune-channels"\n'
        'ratio = 0.5\n[[steps]]\ntechnique = "quantize"\n'
    )
    done = run_penjing("explain", toy_model, "--recipe", tmp_path / "two.toml", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    first, second, third = document["steps"]
    assert "put it first" in first["notes"][0]
    assert "kept for the channels that are left" in second["notes"][0]
    assert {row["layer"]: row["change"] for row in second["layers"]}["hidden"].startswith("40 -> 20 channels")
    # 16 * 20 weights and 20 biases of 'hidden' are left for the third step to speak of: 6 of 12 channels, 4 x 4 each.
    assert "(1,940 parameters)" in {row["layer"]: row["change"] for row in third["layers"]}["hidden"]
    assert document["expected"]["mode"] == "int8"
    assert document["expected"]["flash_bytes"] < document["before"]["flash_bytes"] / 3
    assert document["expected"]["macs"] < document["before"]["macs"]
