"""A recipe is a TOML file; every mistake in it is named with file, line and the nearest valid name."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.compression.plan import plan_steps, reference_training
from penjing.errors import RecipeError, UsageError
from penjing.host import PluginHost
from penjing.recipe import Recipe, Step

TEXT = """\
name = "mine"
summary = "two steps"

[reference]
epochs = 3

[[steps]]
technique = "prune-weights"   # small ones go
sparsity = 0.8

[[steps]]
technique = "distill"
temperature = 2.0

[steps.teacher]
epochs = 7

[[steps]]
technique = "quantize"
"""


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return PluginHost.from_modules({})


def plan(text: str, host: PluginHost):
    return plan_steps(Recipe.from_toml(text, source="mine.toml"), host, host.resolve)


def test_steps_keep_their_order_and_settings(host: PluginHost) -> None:
    steps = plan(TEXT, host)
    assert [step.technique.name for step in steps] == ["prune-weights", "distill", "quantize"]
    assert steps[0].settings.sparsity == 0.8
    assert steps[1].settings.teacher.epochs == 7
    assert reference_training(Recipe.from_toml(TEXT)).epochs == 3


values = st.one_of(
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.lists(st.integers(0, 9), max_size=4),
)
tables = st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=8), values, max_size=4)


@given(tables, tables, st.lists(st.tuples(st.sampled_from(["quantize", "finetune", "odd name"]), tables), max_size=4))
def test_toml_gives_back_what_was_written(model: dict, reference: dict, steps: list) -> None:
    recipe = Recipe(
        name="any",
        model=model,
        reference=reference,
        steps=tuple(
            Step(technique=name, settings={k: v for k, v in table.items() if k != "technique"}) for name, table in steps
        ),
    )
    assert Recipe.from_toml(recipe.to_toml()) == recipe


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "hint"),
    [
        ('"prune-weights"', '"prune-wieghts"', 8, "unknown technique 'prune-wieghts'", "'prune-weights'"),
        ("sparsity", "sparsty", 9, "unknown setting 'sparsty'", "'sparsity'"),
        ("sparsity = 0.8", "sparsity = 1.5", 9, "setting 'sparsity'", "share of the weights"),
        ("epochs = 7", "epoks = 7", 16, "unknown setting 'teacher.epoks'", "'epochs'"),
        ("[reference]", "[refrence]", 4, "unknown key 'refrence'", "'reference'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_nearest_name(
    host: PluginHost, old: str, new: str, line: int, what: str, hint: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(TEXT.replace(old, new), host)
    assert what in caught.value.what
    assert caught.value.where == f"mine.toml, line {line}"
    assert hint in (caught.value.hint or "")


def test_a_mistake_in_the_reference_table_is_named_with_its_line() -> None:
    recipe = Recipe.from_toml(TEXT.replace("epochs = 3", "epocs = 3"), source="mine.toml")
    with pytest.raises(RecipeError) as caught:
        reference_training(recipe)
    assert caught.value.where == "mine.toml, line 5"
    assert "'epochs'" in (caught.value.hint or "")


def test_nothing_may_follow_the_step_that_decides_how_the_file_is_written(host: PluginHost) -> None:
    with pytest.raises(RecipeError, match="stands after 'quantize'"):
        plan(TEXT + '\n[[steps]]\ntechnique = "finetune"\n', host)


CLUSTERED = """
[[steps]]
technique = "cluster-weights"
[[steps]]
technique = "finetune"
[[steps]]
technique = "quantize"
"""


@pytest.mark.parametrize("setting", ['rounding = "adaround"', 'rounding = "gptq"', "equalize = true"])
def test_settings_that_would_break_an_earlier_promise_are_refused_before_anything_runs(
    host: PluginHost, setting: str
) -> None:
    assert len(plan(CLUSTERED + "bias_correction = true\n", host)) == 3
    with pytest.raises(RecipeError, match="would break what step 1, 'cluster-weights', promises") as caught:
        plan(CLUSTERED + setting + "\n", host)
    assert caught.value.where == "mine.toml, line 7"
    assert setting.split()[0] in (caught.value.why or "")


def test_settings_that_contradict_each_other_are_refused(host: PluginHost) -> None:
    with pytest.raises(RecipeError, match="do not fit together") as caught:
        plan(TEXT.replace("sparsity = 0.8", "sparsity = 0.8\nbegin = 0.9"), host)
    assert "begin must be before end" in (caught.value.why or "")


def test_what_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('name = "x\n')
    with pytest.raises(RecipeError) as caught:
        Recipe.load(path)
    assert str(path) in (caught.value.where or "")
    assert "line 1" in (caught.value.why or "")


def test_a_missing_file_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "none.toml")


def test_overrides_change_tables_and_steps_and_leave_the_recipe_alone() -> None:
    recipe = Recipe.from_toml(TEXT)
    changed = recipe.with_overrides(
        ["reference.epochs=9", "steps.1.sparsity=0.25", "steps.2.teacher.epochs=1", "model.kind=wide"]
    )
    assert changed.reference["epochs"] == 9
    assert changed.steps[0].settings["sparsity"] == 0.25
    assert changed.steps[1].settings["teacher"]["epochs"] == 1
    assert changed.model["kind"] == "wide"
    assert recipe.reference["epochs"] == 3


@pytest.mark.parametrize("override", ["epochs=3", "steps.9.sparsity=0.1", "refrence.epochs=1", "reference.epochs"])
def test_an_override_without_a_place_is_refused(override: str) -> None:
    with pytest.raises(UsageError):
        Recipe.from_toml(TEXT).with_overrides([override])
