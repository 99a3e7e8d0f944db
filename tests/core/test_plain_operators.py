"""Integer files of models with operators that have no integer kernel: negations, variances, squares."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.export.plain_operators import with_plain_operators
from penjing.measure.file_graph import FileGraph
from penjing.runtime import LiteRTModel

GONE = {"NEG", "SQUARE", "SQUARED_DIFFERENCE"}


def names(content: bytes) -> list[str]:
    return [operator.name for operator in FileGraph.from_bytes(content).main.operators]


def negating(kind: str) -> keras.Model:
    layers = keras.layers
    inputs = keras.Input((6, 8))
    hidden = layers.Dense(8, name="first")(inputs)
    if kind == "negative":
        hidden = layers.ReLU()(-hidden) - keras.ops.square(hidden)
    elif kind == "layer":
        hidden = layers.LayerNormalization()(hidden)
    else:
        hidden = layers.GroupNormalization(4 if kind == "group" else -1)(hidden)
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(hidden)))
    generator = np.random.default_rng(2)
    for layer in model.layers:
        for name in ("gamma", "beta", "bias"):
            variable = getattr(layer, name, None)
            if variable is not None:
                variable.assign(generator.normal(1.0 if name == "gamma" else 0.0, 0.3, variable.shape))
    return model


@pytest.mark.parametrize("settings", [{"mode": "int16x8"}, {"calibration": "mse"}], ids=["int16x8", "int8"])
@pytest.mark.parametrize("kind", ["layer", "group", "instance", "negative"])
def test_normalizations_become_integers_though_there_is_no_integer_negation(kind: str, settings: dict) -> None:
    """Their formula holds -mean; int16x8 refused every transformer for it."""
    model = negating(kind)
    x = np.random.default_rng(0).normal(0.5, 1.0, size=(60, 6, 8)).astype("float32")
    content = to_litert(model, ExportSettings(**{"mode": "int8", **settings}), x)
    graph = FileGraph.from_bytes(content).main
    assert not GONE & {operator.name for operator in graph.operators}
    if "mode" in settings:
        floats = [op.name for op in graph.operators if graph.tensors[op.outputs[0]].dtype == "float32"]
        assert set(floats) <= {"DEQUANTIZE"}
        expected = model.predict(x, verbose=0)
        for kernels in ("reference", "xnnpack"):
            found = LiteRTModel(content, kernels=kernels).predict(x)
            assert np.abs(found - expected).max() < 0.02 * np.ptp(expected)


@pytest.mark.parametrize("kind", ["layer", "negative"])
def test_operators_written_as_others_change_no_bit(kind: str) -> None:
    model = negating(kind)
    x = np.random.default_rng(0).normal(size=(20, 6, 8)).astype("float32")
    content = to_litert(model, ExportSettings())
    assert {"NEG", "SQUARE" if kind == "negative" else "SQUARED_DIFFERENCE"} <= set(names(content))
    changed = with_plain_operators(content)
    assert not GONE & set(names(changed))
    first, second = (LiteRTModel(file, kernels="reference").predict(x) for file in (content, changed))
    assert np.array_equal(first, second)
    assert with_plain_operators(changed) == changed


def test_inputs_that_are_bytes_are_cast_before_16_bits() -> None:
    inputs = keras.Input((6, 6, 3), dtype="uint8")
    hidden = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3)(hidden))
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3)).astype("uint8")
    content = to_litert(model, ExportSettings(mode="int16x8"), x)
    expected = model.predict(x, verbose=0)
    assert np.abs(LiteRTModel(content).predict(x) - expected).max() < 0.02 * np.ptp(expected)


def hard_swishes() -> tuple[keras.Model, np.ndarray]:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, activation="hard_silu", name="first")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(hidden))
    return model, np.random.default_rng(0).normal(0, 2, size=(80, 8)).astype("float32")


def test_hard_swish_has_16_bits_by_its_formula_and_its_own_operator_with_8() -> None:
    model, x = hard_swishes()
    plain = to_litert(model, ExportSettings())
    first, second = (
        LiteRTModel(file, kernels="reference").predict(x)
        for file in (plain, with_plain_operators(plain, for_16_bits=True))
    )
    assert np.abs(first - second).max() <= 1e-6 * np.ptp(first)
    expected = model.predict(x, verbose=0)
    wide = to_litert(model, ExportSettings(mode="int16x8"), x)
    assert np.abs(LiteRTModel(wide, kernels="reference").predict(x) - expected).max() < 0.02 * np.ptp(expected)
    assert "HARD_SWISH" in names(to_litert(model, ExportSettings(mode="int8", calibration="mse"), x))
