"""Tables that are looked up: in the file each row has a scale of its own, and the integers stand once."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.measure.tflm import run_tflm
from penjing.runtime import LiteRTModel
from penjing.verify.conformance import check_conformance
from tied_table import Tied

ROWS, COLUMNS, LENGTH = 300, 24, 5
KERNELS = ("reference", "xnnpack")


def table_of_unlike_rows() -> np.ndarray:
    """Rows whose largest values lie a thousand times apart."""
    generator = np.random.default_rng(0)
    return (generator.normal(size=(ROWS, COLUMNS)) * 10.0 ** generator.uniform(-2, 1, (ROWS, 1))).astype("float32")


class PlainRows(keras.layers.Embedding):
    """Looks up without the operators for negative numbers, of which TFLM lacks one."""

    def call(self, inputs):
        return tf.gather(tf.convert_to_tensor(self.embeddings), inputs)


def looked_up(kind: type[keras.layers.Embedding] = keras.layers.Embedding) -> keras.Model:
    inputs = keras.Input((LENGTH,), dtype="int32")
    layer = kind(ROWS, COLUMNS, name="table")
    model = keras.Model(inputs, layer(inputs))
    layer.embeddings.assign(table_of_unlike_rows())
    return model


def tied() -> keras.Model:
    inputs = keras.Input((LENGTH,), dtype="int32")
    layer = Tied(ROWS, COLUMNS, name="table")
    model = keras.Model(inputs, layer(keras.layers.GlobalAveragePooling1D()(layer(inputs)), score=True))
    layer.embeddings.assign(table_of_unlike_rows())
    return model


X = np.arange(ROWS).reshape(-1, LENGTH).astype("int32")


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("mode", "precision", "steps"), [("dynamic", "int8", 127), ("weight-only-int4", "int4", 7)])
def test_every_row_is_off_by_half_a_step_of_its_own_at_most(
    mode: str, precision: str, steps: int, kernels: str
) -> None:
    model = looked_up()
    content = to_litert(model, ExportSettings(mode=mode, layers={"table": precision}))
    table = table_of_unlike_rows()
    half_a_step = np.abs(table).max(axis=1) / steps / 2
    error = np.abs(LiteRTModel(content, kernels=kernels).predict(X).reshape(ROWS, COLUMNS) - table)
    assert (error <= half_a_step[:, None] * 1.001).all()
    (stored,) = [t for t in FileGraph.from_bytes(content).constants() if t.shape == (ROWS, COLUMNS)]
    assert stored.dtype == precision
    assert len(content) < ROWS * (COLUMNS * (1 if steps == 127 else 0.5) + 4) + 2_500


def test_tflm_finds_the_same_rows() -> None:
    content = to_litert(looked_up(PlainRows), ExportSettings(mode="weight-only-int8", layers={"table": "int8"}))
    found, why = run_tflm(content, [X])
    assert found is not None, why
    assert np.array_equal(found.reshape(-1), LiteRTModel(content, kernels="reference").predict(X).reshape(-1))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("mode", ["dynamic", "weight-only-int8", "weight-only-int4"])
def test_a_table_that_is_input_and_output_stands_once(mode: str, kernels: str) -> None:
    model = tied()
    precision = "int4" if mode.endswith("4") else "int8"
    content = to_litert(model, ExportSettings(mode=mode, layers={"table": precision}))
    tables = [t for t in FileGraph.from_bytes(content).constants() if t.shape == (ROWS, COLUMNS)]
    assert [t.dtype for t in tables] == [precision]
    expected = model.predict(X, verbose=0)
    error = np.abs(LiteRTModel(content, kernels=kernels).predict(X) - expected)
    assert error.max() < np.abs(expected).max() * (0.25 if precision == "int4" else 0.02)


@pytest.mark.parametrize("mode", ["dynamic", "weight-only-int8", "weight-only-int4"])
def test_a_small_layer_in_float32_before_the_product_brings_no_second_table(mode: str) -> None:
    """The product's tensors name no layer, and it was taken for a part of the layer before it."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    layer = Tied(ROWS, COLUMNS, name="table")
    hidden = keras.layers.Dense(COLUMNS, name="before")(keras.layers.GlobalAveragePooling1D()(layer(inputs)))
    model = keras.Model(inputs, layer(hidden, score=True))
    precision = "int4" if mode == "weight-only-int4" else "int8"
    content = to_litert(model, ExportSettings(mode=mode, layers={"table": precision, "before": "float"}))
    tables = [tensor for tensor in FileGraph.from_bytes(content).main.tensors if tensor.shape == (ROWS, COLUMNS)]
    assert [tensor.dtype for tensor in tables if tensor.is_constant] == [precision]
    assert len(content) < ROWS * COLUMNS * 4
    expected = model.predict(X, verbose=0)
    error = np.abs(LiteRTModel(content).predict(X) - expected)
    assert error.max() < np.abs(expected).max() * (0.25 if precision == "int4" else 0.02)


def test_a_table_of_narrow_rows_keeps_one_scale(tmp_path: Path) -> None:
    inputs = keras.Input((LENGTH,), dtype="int32")
    model = keras.Model(inputs, keras.layers.Embedding(2_000, 3, name="table")(inputs))
    content = to_litert(model, ExportSettings(mode="dynamic", layers={"table": "int8"}))
    assert len(content) < 2_000 * 3 + 2_500


def test_conformance_of_lists_counts_equal_places_and_compares_scores() -> None:
    inputs = keras.Input((8,))
    best, index = ops.top_k(keras.layers.Dense(40, name="scores")(inputs), 20)
    model = keras.Model(inputs, ops.stack([best, ops.cast(index + 1, "float32")], axis=1))
    x = np.random.default_rng(1).normal(size=(50, 8)).astype("float32")
    content = to_litert(model, ExportSettings())
    outputs = model.predict(x, verbose=0)
    swapped = outputs.copy()
    swapped[:, 1, [0, 1]] = swapped[:, 1, [1, 0]]  # two of the first ten places hold another item
    same = check_conformance(content, x, task="ranking", keras_outputs=outputs)
    other = check_conformance(content, x, task="ranking", keras_outputs=swapped)
    assert same.pairs[0].equal_decisions == 1.0 and same.pairs[0].largest_steps < 100
    assert other.pairs[0].equal_decisions == pytest.approx(0.8)
    assert other.pairs[0].largest_steps == same.pairs[0].largest_steps
    assert "TOPK_V2" in same.missing["TFLM"]
