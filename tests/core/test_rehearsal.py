"""A run whose later step must fail ends before its first training, and says which step it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import penjing
from penjing.errors import ModelError
from penjing.recipe import Recipe
from penjing.runner.shipped_recipes import open_recipe

layers = keras.layers


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {"x": generator.normal(size=(60, 12, 4)).astype("float32"), "y": generator.integers(0, 2, 60)}


def network(*middle: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    head = [layers.GlobalAveragePooling1D(), layers.Dense(2, activation="softmax", name="head")]
    return keras.Sequential([keras.Input((12, 4)), layers.Conv1D(8, 3, name="conv"), *middle, *head])


def recipe(*steps: str) -> Recipe:
    return Recipe.from_toml("".join(f"[[steps]]\n{step}\n" for step in steps))


@pytest.mark.parametrize(
    ("model", "steps", "message"),
    [
        (
            lambda: network(layers.SpectralNormalization(layers.Dense(6), name="odd")),
            ('technique = "finetune"', 'technique = "quantize-aware-training"'),
            "step 2, quantize-aware-training, layer 'odd'",
        ),
        (
            network,
            ('technique = "finetune"', 'technique = "prune-channels"\nmacs = 3'),
            "step 2, prune-channels",
        ),
        (
            network,
            ('technique = "finetune"', 'technique = "prune-channels"\nprotect = ["conf"]'),
            "step 2, prune-channels",
        ),
    ],
    ids=["no-form", "unreachable", "pattern"],
)
def test_a_later_step_that_must_fail_fails_before_training(
    model: Any, steps: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        penjing.compress(model(), recipe(*steps), arrays(), output=tmp_path / "run")
    assert message in str(caught.value)
    assert not (tmp_path / "run/steps").exists()


def test_the_smallest_recipe_takes_what_a_small_network_has_to_give(tmp_path: Path) -> None:
    """Two of four units, between 40 inputs and 30 outputs: a quarter of the weights is not to be had."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((40,)), layers.Dense(4, activation="relu"), layers.Dense(30)])
    generator = np.random.default_rng(0)
    data = {"x": generator.normal(size=(80, 40)).astype("float32"), "y": generator.integers(0, 30, 80)}
    quick = Recipe.from_toml(
        (Path(penjing.__file__).parent / "recipes/smallest.toml").read_text(), source="smallest"
    ).with_overrides(["steps.2.epochs=1", "steps.2.max_ratio=0.5", "steps.3.epochs=1"])
    penjing.compress(model, quick, data, output=tmp_path / "run")
    summary = json.loads((tmp_path / "run/steps/02-prune-channels/outcome.json").read_text())["summary"]
    assert "78 weights cannot be reached, this is the nearest" in summary


def test_the_smallest_recipe_goes_on_where_no_channel_can_go(tmp_path: Path) -> None:
    """The product of two tensors reads every channel of both."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 4))
    looks, looked_at = (layers.Dense(24)(inputs) for _ in range(2))
    seen = layers.GlobalAveragePooling1D()(layers.Attention(name="looks")([looks, looked_at]))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(seen))
    quick = open_recipe("smallest").with_overrides(["steps.3.epochs=1"])
    penjing.compress(model, quick, arrays(), output=tmp_path / "run")
    assert (tmp_path / "run/bundle/model.tflite").is_file()
    summary = json.loads((tmp_path / "run/steps/02-prune-channels/outcome.json").read_text())["summary"]
    assert summary.startswith("nothing removed: ") and "'looks' (Attention) has no rule for channels" in summary
    strict = recipe('technique = "prune-channels"')
    with pytest.raises(ModelError, match="no channel of the model can be removed"):
        penjing.compress(model, strict, arrays(), output=tmp_path / "strict")
