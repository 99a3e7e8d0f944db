"""Normalizations that divide by roots of small numbers: an integer file keeps them in float32, and says so."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from penjing.compression.quantization.layer_plan import plan_layers
from penjing.compression.quantization.post_training import explain, precisions
from penjing.compression.settings.quantization import QuantizeSettings
from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.runtime import LiteRTModel

layers = keras.layers

KINDS = {
    "layer": lambda: layers.LayerNormalization(epsilon=1e-6, name="norm"),
    "group": lambda: layers.GroupNormalization(4, epsilon=1e-6, name="norm"),
    "rms": lambda: layers.RMSNormalization(name="norm"),
    "unit": lambda: layers.UnitNormalization(name="norm"),
}


def network(kind: str) -> tuple[keras.Model, np.ndarray]:
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    x = generator.normal(0, 0.3, (120, 8, 8, 3)) + generator.integers(0, 2, (120, 1, 1, 1))
    inputs = keras.Input((8, 8, 3))
    hidden = layers.Conv2D(8, 3, activation="relu", name="first")(inputs)
    hidden = layers.Conv2D(4, 1, name="second")(KINDS[kind]()(hidden))
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="pool")(hidden)), x.astype("float32")


def written(model: keras.Model, x: np.ndarray, settings: QuantizeSettings) -> bytes:
    layers = precisions(settings, plan_layers(model, settings))
    return to_litert(model, ExportSettings(mode=settings.mode, layers=layers), x)


def error(content: bytes, model: keras.Model, x: np.ndarray) -> float:
    expected = model.predict(x, verbose=0)
    found = LiteRTModel(content, kernels="reference").predict(x)
    return float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


@pytest.mark.parametrize("mode", ["int8", "int16x8"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_normalization_by_small_numbers_does_not_ruin_the_file(kind: str, mode: Any) -> None:
    model, x = network(kind)
    settings = QuantizeSettings(mode=mode)
    content = written(model, x, settings)
    assert error(content, model, x) < {"int8": 0.1, "int16x8": 0.03}[mode]
    graph = FileGraph.from_bytes(content).main
    weights = [graph.tensors[op.inputs[1]].dtype for op in graph.operators if op.name == "CONV_2D"]
    assert weights == ["int8", "int8"]
    (row,) = (row for row in explain(model, settings) if row.layer == "norm")
    assert "left in float32: roots of small numbers need it" in row.change


def test_all_in_integers_is_what_would_be_ruined() -> None:
    """The reason for the rule, by the converter's own file."""
    model, x = network("unit")
    assert error(to_litert(model, ExportSettings(mode="int8"), x), model, x) > 0.3


def test_a_pattern_has_the_last_word_and_a_usual_epsilon_needs_none() -> None:
    model, _ = network("rms")
    plan = plan_layers(model, QuantizeSettings(layers={"norm": "int8"}))
    assert plan["norm"].precision == "int8" and not plan["norm"].delicate
    assert not plan_layers(model, QuantizeSettings(mode="dynamic"))["norm"].delicate
    inputs = keras.Input((4,))
    usual = keras.Model(inputs, layers.LayerNormalization()(inputs))
    settings = QuantizeSettings()
    assert precisions(settings, plan_layers(usual, settings)) == {}
