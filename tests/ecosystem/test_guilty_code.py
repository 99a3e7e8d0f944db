"""Whatever a plugin's own code raises or gives while a run is under way names the plugin with its version."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import BaseModel, Field, field_validator

from penjing.compression.pipeline import check_promises
from penjing.compression.plan import PlannedStep, plan_steps
from penjing.compression.technique_calls import applied, explained, previewed
from penjing.contract import Domain, LayerChange, Metric, Preview, Split, Splits, StepOutcome, Technique
from penjing.errors import DataError, PluginError
from penjing.host import Contribution, PluginSource
from penjing.recipe import Recipe
from penjing.runner.evaluation import score
from penjing.runner.job import domain_job, load_splits

SOURCE = PluginSource(distribution="penjing-odd", version="3.1", entry_point="odd")


class Settings(BaseModel):
    pass


def step_of(**functions: Any) -> tuple[PlannedStep, Callable[[str, Any], Any]]:
    """A step whose technique's code is given, and what resolves its names."""
    names = {f"odd:{key}": function for key, function in functions.items()}
    technique = Technique(
        name="odd",
        summary="Odd.",
        settings="odd:settings",
        **{"apply": "odd:apply", **{key: f"odd:{key}" for key in functions}},
    )
    step = PlannedStep(number=2, technique=technique, settings=Settings(), source=SOURCE)
    return step, lambda name, source: names[name]


def giving(value: Any) -> Callable[..., Any]:
    """A function that gives a value, or raises it."""

    def function(*arguments: Any, **keywords: Any) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    return function


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ValueError("no"), "ValueError: no"),
        (SystemExit(0), "SystemExit: 0"),  # else the process would end, and say that all went well
        (AssertionError(), "AssertionError"),
        (None, "returned NoneType instead of StepOutcome"),
        (5, "returned int instead of StepOutcome"),
        ({"model": None}, "returned NoneType as its model, which must be a keras.Model"),
        ({"summary": None}, "returned None as its summary, which must be a text"),
        ({"layers": (5,)}, "returned layers that are no LayerChange"),
        ({"invariants": (5,)}, "promises a int, which has no method 'hold'"),
        ({"figures": {"a": "b"}}, "returned figures that are no mapping of numbers"),
        ({"figures": 5}, "returned figures that are no mapping of numbers"),
        ({"export": "int8"}, "returned str as its export, which must be ExportSettings"),
    ],
)
def test_a_technique_that_fails_or_gives_something_else_is_named(model: keras.Model, given: Any, said: str) -> None:
    if isinstance(given, dict):
        given = StepOutcome(**{"model": model, "summary": "", **given})
    step, resolve = step_of(apply=giving(given))
    with pytest.raises(PluginError) as error:
        applied(step, None, resolve)  # type: ignore[arg-type]
    assert "the technique 'odd'" in error.value.what and said in str(error.value)
    assert "penjing-odd 3.1 (entry point 'odd')" in str(error.value.where)


def test_an_error_that_says_what_is_wrong_is_left_as_it_is_but_for_its_place(model: keras.Model) -> None:
    step, resolve = step_of(apply=giving(DataError("too few examples", hint="give more")))
    with pytest.raises(DataError, match="too few examples") as error:
        applied(step, None, resolve)  # type: ignore[arg-type]
    assert error.value.where == "step 2, odd" and error.value.hint == "give more"
    good = StepOutcome(model=model, summary="done", figures={"share": np.float32(0.5)})
    step, resolve = step_of(apply=giving(good))
    assert applied(step, None, resolve) is good  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [ValueError("no"), SystemExit(3), None, 5, [5], {"a": 1}])
def test_an_explanation_that_is_none_is_named(model: keras.Model, given: Any) -> None:
    step, resolve = step_of(explain=giving(given))
    with pytest.raises(PluginError, match="the explanation of 'odd'") as error:
        explained(step, model, resolve)
    assert "penjing-odd 3.1" in str(error.value.where)


def test_an_explanation_may_come_bit_by_bit(model: keras.Model) -> None:
    change = LayerChange(layer="a", change="nothing")
    step, resolve = step_of(explain=lambda model, settings: iter([change]))
    assert explained(step, model, resolve) == [change]

    def raising(model: Any, settings: Any) -> Any:
        yield change
        raise ValueError("half-way")

    step, resolve = step_of(explain=raising)
    with pytest.raises(PluginError, match="half-way"):
        explained(step, model, resolve)


@pytest.mark.parametrize("given", [ValueError("no"), None, Preview(model=None)])
def test_a_preview_that_is_none_is_named(model: keras.Model, given: Any) -> None:
    step, resolve = step_of(preview=giving(given))
    with pytest.raises(PluginError, match="the preview of 'odd'") as error:
        previewed(step, model, resolve)
    assert "penjing-odd 3.1" in str(error.value.where)
    assert previewed(step_of()[0], model, resolve) is None


def test_a_promise_that_cannot_be_checked_is_named() -> None:
    class Brittle:
        summary = "nothing breaks"
        check = staticmethod(giving(KeyError("head")))

    with pytest.raises(PluginError, match="a promise could not be checked") as error:
        check_promises([Brittle()], lambda invariant: invariant.check(None))  # type: ignore[list-item]
    assert "Brittle" in str(error.value.where) and "KeyError: 'head'" in str(error.value.why)


class Techniques:
    """Two, of which the second may be asked whether it can follow the first."""

    def __init__(self) -> None:
        first = Technique(name="first", summary="", settings="odd:settings", apply="odd:apply")
        odd = Technique(name="odd", summary="", settings="odd:settings", apply="odd:apply", conflict="odd:conflict")
        self.techniques = {each.name: Contribution(each, SOURCE) for each in (first, odd)}


class Unsettled(BaseModel):
    @field_validator("*", mode="before")
    @classmethod
    def fails(cls, value: Any) -> Any:
        raise KeyError("no such table")

    share: float = Field(default=0.5, validate_default=True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ({"settings": Settings, "conflict": giving(ZeroDivisionError("by zero"))}, "'odd:conflict' failed"),
        ({"settings": dict}, "the settings of 'first' are no pydantic model"),
        ({"settings": 5}, "the settings of 'first' are no pydantic model"),
        ({"settings": BaseModel}, "'odd:settings' failed"),
        ({"settings": Unsettled}, "'odd:settings' failed"),
    ],
)
def test_settings_and_conflicts_that_cannot_be_used_are_named(code: dict[str, Any], said: str) -> None:
    recipe = Recipe.from_toml('[[steps]]\ntechnique = "first"\n[[steps]]\ntechnique = "odd"\n')
    with pytest.raises(PluginError) as error:
        plan_steps(recipe, Techniques(), lambda name, source: code[name.partition(":")[2]])
    assert error.value.what == said and "penjing-odd 3.1 (entry point 'odd')" in str(error.value.where)


class Host:
    """Resolves a domain's names to the code that is given."""

    def __init__(self, **code: Any) -> None:
        self.code = code

    def resolve(self, name: str, source: PluginSource) -> Any:
        return self.code[name.partition(":")[2]]


METRIC = Metric(name="auc", function="odd:auc", direction="higher", primary=True)
DOMAIN = Contribution(
    Domain(
        name="odd",
        summary="Odd.",
        task="binary",
        load_data="odd:load",
        build_model="odd:build",
        build_teacher="odd:teach",
        baselines=("odd:baseline",),
        augment="odd:augment",
        metrics=(METRIC,),
        recipes={},
    ),
    SOURCE,
)
PART = Split(x=np.zeros((4, 2), np.float32), y=np.array([0, 1, 0, 1]), ids=["a", "b", "c", "d"])
SPLITS = Splits(train=PART, validation=PART, test=PART, source="", sha256="", synthetic=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [(OSError("no disk"), "OSError: no disk"), (SystemExit(0), "SystemExit: 0"), (None, "returned NoneType")],
)
def test_a_loader_that_fails_or_gives_something_else_is_named(given: Any, said: str) -> None:
    with pytest.raises(PluginError) as error:
        load_splits(Host(load=giving(given)), DOMAIN, Recipe(name="r"), None, 0)  # type: ignore[arg-type]
    assert said in str(error.value) and "penjing-odd 3.1" in str(error.value.where)
    with pytest.raises(DataError, match="row 3"):
        load_splits(Host(load=giving(DataError("row 3"))), DOMAIN, Recipe(name="r"), None, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [ValueError("no"), SystemExit(0), None, 5])
@pytest.mark.parametrize("name", ["build", "teach", "baseline", "augment"])
def test_code_of_a_domain_that_fails_or_gives_something_else_is_named(name: str, given: Any) -> None:
    code = dict.fromkeys(("build", "teach", "baseline", "augment", "auc"), giving(given))
    job = domain_job(Host(**code), DOMAIN, Recipe(name="r"), SPLITS, 0)  # type: ignore[arg-type]
    assert job.build_teacher is not None and job.augment is not None
    calls: dict[str, Callable[[], Any]] = {
        "build": job.build_model,
        "teach": job.build_teacher,
        "baseline": job.baselines[0],
        "augment": lambda: job.augment(1, 0),  # type: ignore[misc]
    }
    with pytest.raises(PluginError, match=f"'odd:{name}'|'{name}'") as error:
        calls[name]()
    assert f"penjing-odd 3.1 (entry point 'odd'), odd:{name}" in str(error.value.where)


@pytest.mark.parametrize("given", [ValueError("no"), SystemExit(0)])
def test_a_metric_that_fails_is_named(given: BaseException) -> None:
    with pytest.raises(PluginError, match="the metric 'auc' failed") as error:
        score((METRIC,), {"auc": giving(given)}, PART, SPLITS, lambda x: x[:, :1], seed=0)
    assert error.value.where == "odd:auc"


def test_the_command_line_says_so_too(site, tmp_path: Path, model: keras.Model) -> None:
    model.save(tmp_path / "model.keras")
    code = """
    from penjing import hookimpl
    from penjing.contract import Technique

    @hookimpl
    def penjing_techniques():
        names = {name: f"penjing_odd.code:{name}" for name in ("settings", "apply", "explain")}
        yield Technique(name="odd", summary="Odd.", **names)
    """
    odd = """
    from pydantic import BaseModel

    class settings(BaseModel):
        pass

    def apply(context, settings):
        pass

    def explain(model, settings):
        return 5
    """
    site.add("penjing-odd", code, entry_point="odd", extra_files={"code.py": odd})
    (tmp_path / "odd.toml").write_text('[[steps]]\ntechnique = "odd"\n')
    done = site.run("explain", tmp_path / "model.keras", "--recipe", tmp_path / "odd.toml")
    assert done.returncode == 2, done.stderr
    assert "the explanation of 'odd' is no iterable of LayerChange" in done.stderr
    assert "penjing-odd 1.2.3 (entry point 'odd'), penjing_odd.code:explain" in done.stderr
    assert "Traceback" not in done.stderr and sys.executable not in done.stderr
