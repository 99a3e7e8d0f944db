"""Models whose output is a map: a class or a value for each pixel or time step."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import penjing
from penjing.compression.finetuning import balanced_weights
from penjing.compression.losses import as_targets
from penjing.contract import ExportSettings
from penjing.errors import ModelError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.metrics import accuracy, balanced_accuracy
from penjing.runtime import LiteRTModel

layers = keras.layers


def squares(n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with a bright square, and the class of each pixel: background or the square's brightness."""
    generator = np.random.default_rng(0)
    y = np.zeros((n, 8, 8), int)
    for number in range(n):
        row, column = generator.integers(0, 5, 2)
        y[number, row : row + 3, column : column + 3] = 1 + number % (classes - 1)
    x = y[..., None] + generator.normal(0, 0.2, (n, 8, 8, 1))
    return x.astype("float32"), y


def network(outputs: int, activation: str) -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    small = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(first)
    large = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(small)
    joined = layers.Concatenate()([first, large])
    model = keras.Model(inputs, layers.Conv2D(outputs, 1, activation=activation)(joined))
    loss = "sparse_categorical_crossentropy" if outputs > 1 else "binary_crossentropy"
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
    return model


RECIPE = """
[[steps]]
technique = "prune-channels"
ratio = 0.3
epochs = 3

[[steps]]
technique = "distill"
epochs = 1
teacher.source = "reference"

[[steps]]
technique = "quantize"
"""


@pytest.mark.parametrize(("classes", "metric"), [(3, "accuracy"), (2, "label_accuracy")])
def test_a_segmentation_is_compressed_and_judged_pixel_by_pixel(tmp_path: Path, classes: int, metric: str) -> None:
    keras.utils.set_random_seed(0)
    x, y = squares(100, classes)
    model = network(classes if classes > 2 else 1, "softmax" if classes > 2 else "sigmoid")
    model.fit(x, y, epochs=20, batch_size=16, verbose=0)
    result = penjing.compress(
        model, recipe=penjing.Recipe.from_toml(RECIPE), data={"x": x, "y": y}, output=tmp_path / "run"
    )
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    runtime = penjing.load_bundle(result.bundle)
    rows = [int(name.removeprefix("row-")) for name in test_rows(x, y)]
    outputs = runtime.predict(x[rows])
    decided = outputs.argmax(-1) if classes > 2 else outputs[..., 0] > 0.5
    assert figures["primary_metric"] == metric
    assert figures["compressed"]["metrics"][metric] == pytest.approx(np.mean(decided == y[rows]))
    assert figures["reference"]["metrics"][metric] > 0.95
    assert figures["compressed"]["metrics"][metric] > 0.95


def test_rows(x: np.ndarray, y: np.ndarray) -> list[str]:
    from penjing.runner.arrays import load_arrays

    return list(load_arrays({"x": x, "y": y}, seed=0).test.ids)


test_rows.__test__ = False  # type: ignore[attr-defined]


def test_metrics_count_every_place() -> None:
    targets = np.array([[[0, 1], [2, 2]]])
    outputs = np.eye(3)[[[[0, 1], [2, 0]]]]
    assert accuracy(targets, outputs) == accuracy(np.eye(3)[targets], outputs) == 0.75
    assert balanced_accuracy(targets, outputs) == pytest.approx((1 + 1 + 0.5) / 3)
    assert accuracy(np.array([[1, 0]]), np.array([[[0.9], [0.8]]])) == 0.5


def test_class_numbers_of_places_become_one_hot() -> None:
    y = np.array([[0, 2], [1, 1]])
    assert np.array_equal(as_targets("classification", y, (2, 3)), np.eye(3)[y])
    rows = np.array([[0, 1], [1, 0]])
    assert np.array_equal(as_targets("classification", rows, (2,)), rows)


def test_numbers_that_a_domains_own_loss_takes_stay_numbers() -> None:
    """Of a ranking, say, what was chosen and a few that were not; the number past the last item fills short rows."""
    candidates = np.array([[4, 0, 5], [2, 5, 5]])
    for output_shape in ((5,), (2, 5)):
        assert np.array_equal(as_targets("ranking", candidates, output_shape), candidates)


def test_examples_with_many_classes_cannot_be_weighed_by_one() -> None:
    with pytest.raises(ModelError, match="a class for each place"):
        balanced_weights("classification", np.eye(3)[np.zeros((4, 2), int)])


@pytest.mark.parametrize("settings", [{}, {"compact_biases": True}, {"calibration": "mse"}])
@pytest.mark.parametrize("mode", ["int8", "int16x8"])
def test_a_transposed_convolution_finds_its_data_and_its_bias(mode: str, settings: dict) -> None:
    """Its operator is told the output's shape first, where others have their data."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 2))
    x = np.random.default_rng(0).normal(size=(64, 4, 4, 2)).astype("float32")
    outputs = layers.Conv2DTranspose(3, 3, strides=2, padding="same", bias_initializer="normal")(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 3, bias_initializer="normal")(outputs))
    content = to_litert(model, ExportSettings(mode=mode, **settings), x)
    expected = model.predict(x, verbose=0)
    error = np.abs(LiteRTModel(content, kernels="reference").predict(x) - expected).max() / np.ptp(expected)
    assert error < {"int8": 0.03, "int16x8": 0.01}[mode]
    graph = FileGraph.from_bytes(content).subgraphs[0]
    operator = next(operator for operator in graph.operators if operator.name == "TRANSPOSE_CONV")
    assert graph.tensors[operator.inputs[2]].scales
    assert graph.tensors[operator.inputs[3]].dtype == {"int8": "int32", "int16x8": "int64"}[mode]
    assert bool(graph.tensors[operator.inputs[3]].scales) == (not settings.get("compact_biases", False))
