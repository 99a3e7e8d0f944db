"""LoRA's adapters are added to their kernels, adaptive pooling becomes plain; what Keras has quantized is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import penjing
from penjing.errors import ModelError
from penjing.recipe import Recipe
from penjing.runner.model_files import open_model
from penjing.runner.shipped_recipes import open_recipe
from penjing.runner.takeover import taken_over

layers = keras.layers


def adapted() -> keras.Model:
    """A Dense, a convolution and an Embedding, each with adapters that are not zero; the Dense in a nested model."""
    keras.utils.set_random_seed(0)
    nested = keras.Sequential([keras.Input((4,)), layers.Dense(30, activation="relu", name="wide")], name="nested")
    words = inputs = keras.Input((12,), dtype="int32")
    words = layers.Embedding(20, 8, name="words")(words)
    x = layers.Conv1D(4, 3, use_bias=False, name="narrow")(words)
    outputs = layers.Dense(2, name="out")(nested(layers.GlobalAveragePooling1D()(x)))
    model = keras.Model(inputs, outputs)
    for layer in (model.get_layer("words"), model.get_layer("narrow"), nested.get_layer("wide")):
        layer.enable_lora(2)
        for variable in layer.trainable_variables:
            if "lora" in variable.name:
                variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    return model


def words() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 20, (50, 12)).astype("int32")


def test_adapters_are_added_to_their_kernels(tmp_path: Path) -> None:
    model, x = adapted(), words()
    taken, expected = taken_over(model), model.predict(x, verbose=0)
    assert np.allclose(taken.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)
    assert not any("lora" in variable.path for variable in taken.weights)
    assert model.get_layer("words").lora_enabled  # the user's own is as it was
    model.save(tmp_path / "adapted.keras")
    opened = open_model(tmp_path / "adapted.keras")
    assert np.allclose(opened.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)
    assert not any("lora" in variable.path for variable in opened.weights)


def test_a_model_with_adapters_is_compressed(tmp_path: Path) -> None:
    model, x = adapted(), words()
    result = penjing.compress(
        model, "lossless", {"x": x, "y": np.arange(50) % 2}, budget="drop=1", output=tmp_path / "run"
    )
    answers = penjing.load_bundle(result.bundle).predict(x)
    assert np.allclose(answers, model.predict(x, verbose=0), rtol=1e-4, atol=1e-4)


def test_adapters_inside_another_layer_are_refused_by_name(tmp_path: Path) -> None:
    inputs = keras.Input((6, 8))
    attention = layers.MultiHeadAttention(2, 4)
    outputs = layers.Dense(2)(layers.Flatten()(attention(inputs, inputs)))
    attention._query_dense.enable_lora(2)
    data = {"x": np.zeros((40, 6, 8), "float32"), "y": np.arange(40) % 2}
    with pytest.raises(ModelError, match="LoRA") as caught:
        penjing.compress(keras.Model(inputs, outputs), "lossless", data, output=tmp_path / "run")
    assert caught.value.where == "layer 'query'" and not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_a_model_that_keras_has_quantized_is_refused_before_the_run(mode: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((9,)), layers.Dense(8, name="first"), layers.Dense(3, name="second")])
    model.quantize(mode)
    with pytest.raises(ModelError, match=rf"quantized already, by Keras \({mode}\)") as caught:
        penjing.compress(model, None, {"x": np.zeros((40, 9)), "y": np.arange(40) % 3}, output=tmp_path / "run")
    assert caught.value.where == "layer 'first'" and "before model.quantize()" in caught.value.hint
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="quantized already"):
        open_model(tmp_path / "model.keras")


def test_a_stateful_layer_is_named_before_the_run(tmp_path: Path) -> None:
    inputs = keras.Input(batch_shape=(1, 5, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.GRU(4, stateful=True, name="memory")(inputs)))
    data = {"x": np.zeros((40, 5, 3), "float32"), "y": np.arange(40) % 2}
    with pytest.raises(ModelError, match="stateful") as caught:
        penjing.compress(model, None, data, output=tmp_path / "run")
    assert caught.value.where == "layer 'memory'" and "stateful=False" in caught.value.hint
    assert not (tmp_path / "run").exists()


def pooled(kind: str, sizes: tuple[int, ...], left: int) -> keras.Model:
    """A convolution of 3 channels, in as many dimensions as there are sizes, and adaptive pooling to `left` of each."""
    rank = len(sizes)
    inputs = keras.Input((*sizes, 1))
    x = getattr(layers, f"Conv{rank}D")(8, 3, padding="same", name="narrow")(inputs)
    x = getattr(layers, f"Adaptive{kind}Pooling{rank}D")(left, name="pool")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


@pytest.mark.skipif(not hasattr(layers, "AdaptiveMaxPooling2D"), reason="this Keras has no adaptive pooling")
@pytest.mark.parametrize("kind", ["Average", "Max"])
@pytest.mark.parametrize("sizes", [(12,), (12, 8), (4, 8, 4)])
def test_adaptive_pooling_with_windows_of_one_size_is_plain_pooling(kind: str, sizes: tuple[int, ...]) -> None:
    model = pooled(kind, sizes, 4 if len(sizes) < 3 else 2)
    x = np.random.default_rng(0).normal(size=(5, *sizes, 1)).astype("float32")
    taken = taken_over(model)
    assert type(taken.get_layer("pool")) is getattr(layers, f"{kind}Pooling{len(sizes)}D")
    assert np.allclose(taken.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.skipif(not hasattr(layers, "AdaptiveMaxPooling2D"), reason="this Keras has no adaptive pooling")
def test_other_adaptive_pooling_stays_and_lets_channels_go(tmp_path: Path) -> None:
    model = pooled("Average", (10, 7), 4)
    assert taken_over(model) is model
    data = {"x": np.random.default_rng(0).normal(size=(60, 10, 7, 1)).astype("float32"), "y": np.arange(60) % 2}
    recipe = Recipe.from_toml('[[steps]]\ntechnique = "prune-channels"\nratio = 0.5\nepochs = 0\n')
    result = penjing.compress(model, recipe, data, budget="drop=1", output=tmp_path / "run")
    assert result.metrics["compressed"]["macs"] < 0.6 * result.metrics["reference"]["macs"]


@pytest.mark.parametrize(("recipe", "said"), [("smallest", True), ("lossless", False)])
def test_a_run_says_that_a_part_of_the_model_cannot_learn(recipe: str, said: bool, tmp_path: Path) -> None:
    base = keras.Sequential([keras.Input((9,)), layers.Dense(40, activation="relu"), layers.Dense(4)], name="base")
    base.trainable = False
    model = keras.Sequential([keras.Input((9,)), base, layers.Dense(2, name="head")])
    x = np.random.default_rng(0).normal(size=(60, 9)).astype("float32")
    chosen = open_recipe(recipe).with_overrides(["steps.2.epochs=1", "steps.3.epochs=1"] if said else [])
    result = penjing.compress(model, chosen, {"x": x, "y": np.arange(60) % 2}, budget="drop=1", output=tmp_path / "run")
    notes = " ".join(result.metrics["data"]["notes"])
    assert ("564 of 574 weights are frozen" in notes) == said


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.IntegerLookup(vocabulary=[3, 5, 7], name="table"),
        lambda: layers.Hashing(9, name="table"),
        lambda: layers.StringLookup(vocabulary=["a", "b"], name="table"),
        lambda: layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=2, name="table"),
    ],
    ids=["integers", "hashing", "strings", "text"],
)
def test_a_layer_that_looks_values_up_is_named_before_the_run(make: Any, tmp_path: Path) -> None:
    table = make()
    text = isinstance(table, (layers.StringLookup, layers.TextVectorization))
    inputs = keras.Input((1,), dtype="string" if text else "int64")
    embedded = layers.Flatten()(layers.Embedding(12, 4)(table(inputs)))
    model = keras.Model(inputs, layers.Dense(2)(embedded))
    data = {"x": np.full((40, 1), 3), "y": np.arange(40) % 2}
    with pytest.raises(ModelError, match="no operator in LiteRT") as caught:
        penjing.compress(model, None, data, output=tmp_path / "run")
    assert caught.value.where == "layer 'table'" and "beforehand" in caught.value.hint
    assert not (tmp_path / "run").exists()
