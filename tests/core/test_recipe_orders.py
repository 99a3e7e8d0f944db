"""Techniques in any legal order keep each other's promises; an illegal order is refused before anything is imported."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

import penjing
from penjing import hookimpl
from penjing.compression.plan import plan_steps
from penjing.contract import Technique
from penjing.errors import RecipeError
from penjing.host import PluginHost
from penjing.recipe import Recipe

STEPS = {
    "remove-dead": "",
    "prune-channels": "ratio = 0.25\nepochs = 1\nmin_channels = 4",
    "prune-weights": "sparsity = 0.4\nepochs = 1",
    "cluster-weights": "clusters = 12\nepochs = 1",
    "factorize": "energy = 0.95\nepochs = 1",
    "finetune": "epochs = 1",
    "distill": 'epochs = 1\nteacher.source = "reference"',
    "quantize-aware-training": "epochs = 1",
    "quantize": "calibration_examples = 50",
}
"""A mild form of each technique."""


def recipe(names: tuple[str, ...]) -> Recipe:
    return Recipe.from_toml("".join(f'[[steps]]\ntechnique = "{name}"\n{STEPS.get(name, "")}\n' for name in names))


def is_legal(names: tuple[str, ...]) -> bool:
    host = PluginHost.from_modules({})
    try:
        plan_steps(recipe(names), host, host.resolve)
    except RecipeError:
        return False
    return True


def legal_orders(length: int, count: int, seed: int) -> list[tuple[str, ...]]:
    """Orders of distinct techniques that a plan accepts, drawn without choosing."""
    orders = list(itertools.permutations(STEPS, length))
    random.Random(seed).shuffle(orders)
    return list(itertools.islice((names for names in orders if is_legal(names)), count))


def check(names: tuple[str, ...], toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    """A run checks every promise after every step, on the model and on the file, and fails where one is broken."""
    result = penjing.compress(toy_model, recipe=recipe(names), data=toy_data, output=tmp_path / "run")
    assert result.metrics["recipe"]["steps"] == list(names)
    # Nothing is lost on the way: the toy task stays far above chance, one in four.
    assert result.metrics["compressed"]["metrics"]["accuracy"] > 0.5


@pytest.mark.parametrize("names", legal_orders(4, 3, seed=1), ids=" > ".join)
def test_any_legal_order_keeps_every_promise(
    names: tuple[str, ...], toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    check(names, toy_model, toy_data, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("names", legal_orders(5, 20, seed=2), ids=" > ".join)
def test_many_legal_orders_keep_every_promise(
    names: tuple[str, ...], toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    check(names, toy_model, toy_data, tmp_path)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("quantize", "finetune"), "decides how the file is written"),
        (("quantize-aware-training", "prune-channels"), "changes them"),
        (("quantize-aware-training", "finetune", "factorize"), "changes them"),
        (("quantize-aware-training", "prune-weights"), "decides about them anew"),
        (("quantize-aware-training", "quantize"), "already decided how the file is written"),
        (("cluster-weights", "finetune", "prune-weights"), "would break what 'cluster-weights' promises"),
    ],
)
def test_an_illegal_order_is_refused_with_the_way_out(names: tuple[str, ...], reason: str) -> None:
    host = PluginHost.from_modules({})
    with pytest.raises(RecipeError) as caught:
        plan_steps(recipe(names), host, host.resolve)
    assert reason in (caught.value.why or "")
    assert caught.value.hint and caught.value.hint.startswith(("move ", "leave one of "))


def test_an_outside_technique_says_what_would_break_its_promise() -> None:
    class Outside:
        @hookimpl
        def penjing_techniques(self):
            yield Technique(
                name="outside",
                summary="",
                settings="penjing.compression.settings.training:FinetuneSettings",
                apply="penjing.compression.finetuning:apply",
                not_before=("cluster-weights",),
            )

    host = PluginHost.from_modules({"outside": Outside()})
    plan_steps(recipe(("cluster-weights", "outside", "finetune")), host, host.resolve)
    with pytest.raises(RecipeError, match="'cluster-weights' would break what 'outside' promises"):
        plan_steps(recipe(("outside", "finetune", "cluster-weights")), host, host.resolve)
