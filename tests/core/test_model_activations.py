"""Activations of a user's model: functions of TensorFlow and layers inside of layers are taken over, and a function
that no file can name is refused before the run."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import penjing
from penjing.errors import ModelError, plain_text, reason_of
from penjing.recipe import Recipe
from penjing.runner.model_files import open_model
from penjing.runner.takeover import taken_over

layers = keras.layers


def of_tensorflow() -> keras.Model:
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(160, activation=tf.nn.relu, name="hidden")
    return keras.Sequential([keras.Input((9,)), hidden, layers.Dense(3, activation=tf.nn.softmax, name="out")])


def with_layers_inside() -> keras.Model:
    """Slopes other than the zeros that PReLU begins with, in a nested model and outside of it."""
    keras.utils.set_random_seed(0)
    slopes = keras.initializers.RandomUniform(-0.5, 0.5, seed=1)
    nested = keras.Sequential(
        [keras.Input((9,)), layers.Dense(40, activation=layers.PReLU(slopes), name="first")], name="nested"
    )
    x = inputs = keras.Input((9,))
    x = layers.Dense(80, activation=layers.PReLU(slopes), name="second")(nested(x))
    x = layers.Dense(40, activation=layers.LeakyReLU(0.1), name="third")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="out")(x))


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {"x": generator.normal(size=(120, 9)).astype("float32"), "y": generator.integers(0, 3, 120)}


@pytest.mark.parametrize("build", [of_tensorflow, with_layers_inside])
@pytest.mark.parametrize("called", [True, False], ids=["called", "never called"])
def test_what_is_taken_over_answers_the_same(build, called: bool) -> None:
    model, x = build(), arrays()["x"]
    before = model.predict(x, verbose=0) if called else None
    taken = taken_over(model)
    assert taken is not model
    assert np.array_equal(taken.predict(x, verbose=0), model.predict(x, verbose=0) if before is None else before)
    assert taken_over(taken) is taken


def test_each_layer_has_a_name_that_patterns_find() -> None:
    taken = taken_over(with_layers_inside())
    assert isinstance(taken.get_layer("second"), layers.PReLU)
    assert isinstance(taken.get_layer("second_kernel"), layers.Dense)
    assert isinstance(taken.get_layer("nested").get_layer("first"), layers.PReLU)


@pytest.mark.parametrize("build", [of_tensorflow, with_layers_inside])
def test_channels_go_and_training_knows_the_rounding(build, tmp_path: Path) -> None:
    recipe = Recipe.from_toml(
        '[[steps]]\ntechnique = "prune-channels"\nratio = 0.5\nepochs = 0\n'
        '[[steps]]\ntechnique = "quantize-aware-training"\nepochs = 1\n'
    )
    result = penjing.compress(build(), recipe, arrays(), output=tmp_path / "run")
    compressed, reference = result.metrics["compressed"], result.metrics["reference"]
    assert compressed["flash_bytes"] < reference["flash_bytes"] and compressed["macs"] < 0.6 * reference["macs"]
    last = json.loads((tmp_path / "run/steps/02-quantize-aware-training/outcome.json").read_text())["figures"]
    assert last["largest_difference_steps"] == 0


def test_a_file_with_a_function_of_tensorflow_opens(tmp_path: Path) -> None:
    model, x = of_tensorflow(), arrays()["x"]
    model.save(tmp_path / "model.keras")
    opened = open_model(tmp_path / "model.keras")
    assert opened.get_layer("out").activation is keras.activations.softmax
    assert np.array_equal(opened.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_function_that_no_file_can_name_is_refused_before_the_run(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((9,)), layers.Dense(8, activation=lambda x: keras.ops.relu(x) * 2, name="own"), layers.Dense(3)]
    )
    with pytest.raises(ModelError, match="cannot be read from a file") as caught:
        penjing.compress(model, None, arrays(), output=tmp_path / "run")
    assert caught.value.where == "layer 'own'"
    assert not (tmp_path / "run").exists()


def test_the_reason_of_an_error_of_keras_is_its_own_sentence() -> None:
    layer = layers.Dense(3, name="narrow", activation=lambda x: keras.ops.reshape(x, (7, 7)))
    with pytest.raises(Exception) as shape:
        layer(np.zeros((2, 5), "float32"))
    assert "Arguments received" in str(shape.value) and "\x1b" in str(shape.value)
    assert "Arguments received" not in reason_of(shape.value) and "\x1b" not in reason_of(shape.value)
    assert "reshape" in reason_of(shape.value)
    config = {**keras.Sequential([keras.Input((5,)), layer]).get_config()}
    config["layers"][-1]["config"]["activation"] = "there is none such"
    with pytest.raises(Exception) as unknown:
        keras.Sequential.from_config(config)
    said = reason_of(unknown.value)
    assert "there is none such" in said and len(said) < 300
    assert plain_text("only this") == "only this"
