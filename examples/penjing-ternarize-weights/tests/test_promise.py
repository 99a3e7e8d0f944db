"""What is particular to this technique: the three values, and how training keeps them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from penjing import Recipe

from penjing_ternarize_weights.promise import TernaryWeights, _Ternary
from penjing_ternarize_weights.settings import Settings
from penjing_ternarize_weights.technique import explain, ternarized


def test_a_channel_keeps_signs_and_the_mean_of_what_is_kept() -> None:
    kernel = np.array([[1.0, 4.0], [-0.1, -4.0], [-2.0, 0.0]], np.float32)
    signs, magnitude = ternarized(kernel, 0.7)
    assert signs.tolist() == [[1, 1], [0, -1], [-1, 0]]
    assert (signs * magnitude).tolist() == [[1.5, 4.0], [0.0, -4.0], [-1.5, 0.0]]


@pytest.mark.parametrize("threshold", [0.3, 0.7, 1.5, 2.9])
def test_no_channel_dies_and_the_magnitude_is_the_best_for_its_signs(threshold: float) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 8, 5)).astype(np.float32)
    signs, magnitude = ternarized(kernel, threshold)
    assert (np.abs(signs).sum(axis=(0, 1, 2)) > 0).all()
    error = np.sum((kernel - signs * magnitude) ** 2)
    for factor in (0.99, 1.01):
        assert np.sum((kernel - signs * magnitude * factor) ** 2) > error


def test_depthwise_kernels_and_both_ends_are_left_alone_and_it_is_said() -> None:
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="stem"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            keras.Sequential([keras.Input((4, 4, 4)), layers.Conv2D(6, 1, name="pointwise")], name="inside"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="head"),
        ]
    )
    rows = {row.layer.split("/")[-1]: row.change for row in explain(model, Settings())}
    assert rows["stem"] == "left alone: first layer" and rows["head"] == "left alone: last layer"
    assert rows["pointwise"].startswith("24 weights ternary")
    assert "depthwise" not in rows
    rows = {row.layer.split("/")[-1]: row.change for row in explain(model, Settings(protect=("point*",)))}
    assert rows["pointwise"] == "left alone: protected by 'point*'"


def test_the_constraint_gives_the_nearest_kernel_with_the_same_signs() -> None:
    signs = np.sign(np.random.default_rng(0).normal(size=(6, 3))).astype(np.int8)
    signs[:2] = 0
    constraint = _Ternary(signs, None)
    moved = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32) * 0.1 + signs
    found = np.asarray(constraint(moved))
    assert (np.sign(found) == signs).all()
    best = [(moved[:, c] * signs[:, c]).sum() / 4 for c in range(3)]
    assert np.abs(found).max(axis=0) == pytest.approx(best, rel=1e-5)
    # A step along its gradient stays within the ternary kernels.
    step = np.asarray(constraint.gradient(moved))
    assert np.asarray(constraint(found - 0.1 * step)) == pytest.approx(found - 0.1 * step, abs=1e-6)


def test_another_magnitude_and_a_turned_sign_are_noticed() -> None:
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
    kernel = model.layers[0].kernel
    promise = TernaryWeights({kernel.path: np.array([[1, 0], [1, 0], [0, -1]])})
    kernel.assign(np.array([[2, 0], [2, 0], [0, -1]]))
    assert not promise.check(model)
    kernel.assign(np.array([[2, 0], [1, 0], [0, 1]]))
    (violation,) = promise.check(model)
    assert violation.detail == "1 of 2 channels have other values, 1 signs have turned"


def test_the_readmes_recipe_is_one() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    found = Recipe.from_toml(recipe)
    assert [step.technique for step in found.steps] == ["ternarize-weights", "finetune", "quantize"]


def test_the_promise_follows_the_channels_that_are_left() -> None:
    promise = TernaryWeights({"head/kernel": np.array([[1, 0, -1], [0, 0, 1]])})
    smaller = promise.resized({"head": (None, [0, 2])})
    assert smaller.signs["head/kernel"].tolist() == [[1, -1], [0, 1]]
