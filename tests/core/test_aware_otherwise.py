"""`quantize-aware-training` with `otherwise = "quantize"`: what cannot be trained with its rounding is quantized after
training, and the report says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import penjing
from penjing.compression.quantization.aware_training import explain, preview
from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings
from penjing.errors import ModelError
from penjing.measure.file_graph import FileGraph
from penjing.runner.shipped_recipes import open_recipe

layers = keras.layers
OTHERWISE = QuantizeAwareTrainingSettings(otherwise="quantize")


def recurrent(layer: Callable[..., Any], steps: int = 10) -> keras.Model:
    return keras.Sequential([keras.Input((steps, 3)), layer(16), layers.Dense(2, activation="softmax")])


def attentive() -> keras.Model:
    inputs = keras.Input((10, 3))
    x = layers.Dense(32)(inputs)
    x = layers.GlobalAveragePooling1D()(layers.Attention(name="looks")([x, x]))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Dense(32)(x)))


@pytest.mark.parametrize(
    ("model", "why", "operator"),
    [
        (lambda: recurrent(layers.LSTM), "written out it would take", "UNIDIRECTIONAL_SEQUENCE_LSTM"),
        (lambda: recurrent(layers.GRU), "written out it would take", "WHILE"),
        (attentive, "Attention has no form with simulated quantization (layer 'looks')", "BATCH_MATMUL"),
    ],
    ids=["lstm", "gru", "attention"],
)
def test_the_recipe_accurate_comes_to_a_smaller_file(
    model: Callable[[], keras.Model], why: str, operator: str, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    data = {"x": generator.normal(size=(80, 10, 3)).astype("float32"), "y": generator.integers(0, 2, 80)}
    quick = open_recipe("accurate").with_overrides(["steps.2.epochs=1", "steps.3.epochs=1"])
    result = penjing.compress(model(), quick, data, output=tmp_path / "run")
    assert result.metrics["compressed"]["flash_bytes"] < result.metrics["reference"]["flash_bytes"]
    summary = json.loads((tmp_path / "run/steps/02-quantize-aware-training/outcome.json").read_text())["summary"]
    assert summary.startswith(f"trained in float32 ({why}")
    content = (tmp_path / "run/bundle/model.tflite").read_bytes()
    assert operator in FileGraph.from_bytes(content).operator_counts()


def test_what_can_be_trained_with_its_rounding_is() -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(40, activation="relu"), layers.Dense(40)])
    assert preview(model, OTHERWISE).export.mode == "aware"  # type: ignore[union-attr]
    assert all("after training" not in change.change for change in explain(model, OTHERWISE))


def test_hundreds_of_steps_are_not_written_out_to_know_that_they_are_many() -> None:
    """Writing two thousand steps of a GRU out would take minutes."""
    said = [change.change for change in explain(recurrent(layers.GRU, 2_000), OTHERWISE)]
    assert any("at least 600,000 B" in text for text in said)


def test_a_mistake_stays_an_error() -> None:
    with pytest.raises(ModelError, match="no layer fits 'looks'"):
        explain(recurrent(layers.GRU), QuantizeAwareTrainingSettings(otherwise="quantize", exclude=("looks",)))
    with pytest.raises(ModelError, match="Attention has no form"):
        explain(attentive(), QuantizeAwareTrainingSettings())
