"""LoRA's adapters are added to their kernels; what Keras has quantized is refused by name."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import penjing
from penjing.errors import ModelError
from penjing.runner.model_files import open_model
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
    result = penjing.compress(
        adapted(), "lossless", {"x": words(), "y": np.arange(50) % 2}, budget="drop=1", output=tmp_path / "run"
    )
    assert result.bundle is not None


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
