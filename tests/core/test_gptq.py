"""GPTQ: rounding whose errors cancel in what is multiplied; the file holds the integers that were found."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import penjing
from penjing.compression.quantization.gptq import round_by_gptq, round_with_feedback, second_moments
from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe
from penjing.runtime import LiteRTModel
from tied_table import Tied

ROWS, COLUMNS, LENGTH = 200, 16, 6


def tied() -> keras.Model:
    """Rows lie about one strong direction, as those of a model that has learned popularity."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((LENGTH,), dtype="int32")
    layer = Tied(ROWS, COLUMNS, name="table")
    pooled = keras.layers.GlobalAveragePooling1D()(layer(inputs))
    model = keras.Model(inputs, layer(keras.layers.Dense(COLUMNS, name="query")(pooled), score=True))
    generator = np.random.default_rng(0)
    strong = generator.normal(size=COLUMNS)
    layer.embeddings.assign(
        generator.normal(size=(ROWS, COLUMNS)) * 0.3 + np.outer(generator.gamma(2, size=ROWS), strong)
    )
    return model


X = np.random.default_rng(1).integers(0, ROWS, (400, LENGTH)).astype("int32")


def correlated(count: int, inputs: int) -> np.ndarray:
    """A few directions are strong, as activations have them."""
    generator = np.random.default_rng(5)
    directions = generator.normal(size=(inputs, inputs)) * 0.6 ** np.arange(inputs)[:, None]
    return generator.normal(size=(count, inputs)) @ directions + generator.normal(size=inputs)


def cost(weights: np.ndarray, rounded: np.ndarray, moments: np.ndarray) -> np.ndarray:
    difference = rounded.astype(float) - weights
    return np.einsum("ij,jk,ik->i", difference, moments, difference)


@pytest.mark.parametrize("bits", [4, 8])
def test_products_with_correlated_inputs_come_out_nearer_than_by_nearest_rounding(bits: int) -> None:
    weights = np.random.default_rng(0).normal(size=(60, 24)).astype("float32")
    scales = (np.abs(weights).max(axis=1) / (2 ** (bits - 1) - 1)).astype("float32")
    x = correlated(2_000, 24)
    moments = second_moments(x)
    rounded = round_with_feedback(weights, scales, moments, bits)
    plain = np.round(weights / scales[:, None]) * scales[:, None]
    assert cost(weights, rounded, moments).mean() < 0.4 * cost(weights, plain, moments).mean()
    # The moments say what the inputs themselves do.
    assert np.square(x @ (rounded - weights).T).mean() < 0.4 * np.square(x @ (plain - weights).T).mean()


def test_uncorrelated_inputs_leave_nearest_rounding() -> None:
    weights = np.random.default_rng(0).normal(size=(30, 12)).astype("float32")
    scales = (np.abs(weights).max(axis=1) / 127).astype("float32")
    rounded = round_with_feedback(weights, scales, np.eye(12), 8)
    assert np.allclose(rounded, np.round(weights / scales[:, None]) * scales[:, None], atol=1e-7)


def test_the_largest_weight_and_zeros_keep_their_place() -> None:
    weights = np.random.default_rng(0).normal(size=(50, 20)).astype("float32")
    weights[:, ::3] = 0
    scales = (np.abs(weights).max(axis=1) / 7).astype("float32")
    rounded = round_with_feedback(weights, scales, second_moments(correlated(500, 20)), 4)
    assert (rounded[weights == 0] == 0).all()
    largest = np.abs(weights).argmax(axis=1)
    rows = np.arange(50)
    assert np.allclose(rounded[rows, largest], weights[rows, largest], rtol=1e-6)
    steps = rounded / scales[:, None]
    assert np.allclose(steps, np.round(steps), atol=1e-4) and np.abs(steps).max() < 7.001


@pytest.mark.parametrize("bits", [4, 8])
def test_the_file_holds_the_integers_that_were_found(bits: int) -> None:
    model = tied()
    errors = round_by_gptq(model, {"table": bits, "query": bits}, X, tables=True)
    assert errors["table"][1] < 0.5 * errors["table"][0]
    mode, precision = f"weight-only-int{bits}", f"int{bits}"
    content = to_litert(model, ExportSettings(mode=mode, layers={"table": precision, "query": precision}))
    (stored,) = [t for t in FileGraph.from_bytes(content).constants() if t.shape == (ROWS, COLUMNS)]
    assert stored.dtype == precision
    # The model stands on the grid of the file, so float arithmetic on its integers gives the model's own outputs.
    expected = np.asarray(model(X))
    assert np.abs(LiteRTModel(content).predict(X) - expected).max() < 1e-4 * np.abs(expected).max()


def test_scores_of_a_tied_table_are_nearer_to_the_float_models() -> None:
    def error(model: keras.Model) -> float:
        settings = ExportSettings(mode="weight-only-int8", layers={"table": "int8", "query": "int8"})
        return float(np.square(LiteRTModel(to_litert(model, settings)).predict(X) - exact).mean())

    exact = np.asarray(tied()(X))
    prepared = tied()
    round_by_gptq(prepared, {"table": 8, "query": 8}, X[:200], tables=True)
    assert error(prepared) < 0.5 * error(tied())


def test_tables_are_left_where_they_are_only_looked_up_or_have_one_scale() -> None:
    inputs = keras.Input((LENGTH,), dtype="int32")
    layer = keras.layers.Embedding(ROWS, COLUMNS, name="table")
    looked_up = keras.Model(inputs, keras.layers.Dense(4, name="head")(keras.layers.Flatten()(layer(inputs))))
    before = np.array(layer.embeddings)
    assert set(round_by_gptq(looked_up, {"table": 8, "head": 8}, X, tables=True)) == {"head"}
    assert np.array_equal(layer.embeddings, before)
    model = tied()
    before = np.array(model.get_layer("table").embeddings)
    assert set(round_by_gptq(model, {"table": 8, "query": 8}, X, tables=False)) == {"query"}
    assert np.array_equal(model.get_layer("table").embeddings, before)


def test_a_recipe_chooses_it_and_pruned_weights_stay_pruned(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    result = penjing.compress(
        toy_model,
        recipe=Recipe.from_toml(
            """
            [[steps]]
            technique = "prune-weights"
            sparsity = 0.5
            epochs = 0
            [[steps]]
            technique = "quantize"
            mode = "int8"
            rounding = "gptq"
            """
        ),
        data=toy_data,
        output=tmp_path / "run",
    )
    by_shape = {t.shape: t for t in FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes()).constants()}
    assert (by_shape[(40, 192)].values == 0).mean() > 0.4
    outcome = json.loads((tmp_path / "run/steps/02-quantize/outcome.json").read_text())
    said = {entry["layer"]: entry["change"] for entry in outcome["layers"]}
    assert "rounding with error feedback: output error" in said["hidden"]
    assert outcome["figures"]["rounding_gain[hidden]"] > 0.2
    assert outcome["summary"].endswith("rounding with error feedback")
