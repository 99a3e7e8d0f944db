"""Files are written as small as the format allows, and laid out as it demands."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from penjing.contract import ExportSettings
from penjing.export import flatbuffer
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.runtime import LiteRTModel


@pytest.fixture(scope="module")
def model(toy_model: Path) -> keras.Model:
    return keras.models.load_model(toy_model, compile=False)


@pytest.fixture(scope="module")
def x(toy_arrays: dict[str, np.ndarray]) -> np.ndarray:
    return toy_arrays["x"][400:440]


@pytest.mark.parametrize("mode", ["float32", "int8", "int16x8", "weight-only-int4"])
def test_every_constant_lies_at_a_multiple_of_16_as_the_format_demands(
    model: keras.Model, x: np.ndarray, mode: str
) -> None:
    file = schema.Model.GetRootAs(to_litert(model, ExportSettings(mode=mode), x), 0)
    table = [file.Buffers(number)._tab for number in range(file.BuffersLength())]
    starts = [tab.Vector(tab.Offset(4)) for tab in table if tab.Offset(4)]
    assert len(starts) > 4
    assert [start % 16 for start in starts] == [0] * len(starts)


def test_equal_vectors_are_stored_once_and_every_kernel_computes_the_same(
    model: keras.Model, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flatbuffers

    shared = to_litert(model, ExportSettings(mode="int8"), x)
    monkeypatch.setattr(flatbuffer, "_SharingBuilder", flatbuffers.Builder)
    plain = to_litert(model, ExportSettings(mode="int8"), x)
    channels = 12 + 12 + 40 + 4  # of weights and of biases, with a zero point of 8 bytes each
    assert len(shared) < len(plain) - channels * 8
    for kernels in ("reference", "xnnpack"):
        first, second = (LiteRTModel(content, kernels=kernels).predict_raw(x) for content in (plain, shared))
        assert np.array_equal(first, second)
    assert FileGraph.from_bytes(shared).main == FileGraph.from_bytes(plain).main


def test_bytes_by_kind_count_what_is_shared_once(model: keras.Model, x: np.ndarray) -> None:
    content = to_litert(model, ExportSettings(mode="int8"), x)
    kinds = FileGraph.from_bytes(content).bytes_by_kind
    scales = {tensor.scales for tensor in FileGraph.from_bytes(content).main.tensors}
    points = {tensor.zero_points for tensor in FileGraph.from_bytes(content).main.tensors}
    assert kinds["quantization"] == sum(4 * len(s) for s in scales) + sum(8 * len(z) for z in points)
    assert sum(kinds.values()) == len(content)
    assert min(kinds.values()) > 0


def test_weights_that_are_equal_in_two_layers_are_stored_once() -> None:
    layers = keras.layers
    inputs = keras.Input((32,))
    outputs = layers.Concatenate()([layers.Dense(32, name="a")(inputs), layers.Dense(32, name="b")(inputs)])
    model = keras.Model(inputs, outputs)
    model.get_layer("b").set_weights(model.get_layer("a").get_weights())
    assert len(to_litert(model, ExportSettings())) < 2 * 32 * 32 * 4
