"""A Keras model becomes a .tflite file that gives the same answers and the same bytes every time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from penjing.contract import ExportSettings
from penjing.errors import DataError, ModelError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.runtime import LiteRTModel, TensorInfo
from penjing.runtime.interpreter import dequantize, quantize

MODES = ("float32", "float16", "dynamic", "int8")


@pytest.fixture(scope="module")
def model(toy_model: Path) -> keras.Model:
    return keras.models.load_model(toy_model, compile=False)


@pytest.fixture(scope="module")
def x(toy_arrays: dict[str, np.ndarray]) -> np.ndarray:
    return toy_arrays["x"][400:500]


@pytest.fixture(scope="module")
def files(model: keras.Model, x: np.ndarray) -> dict[str, bytes]:
    return {mode: to_litert(model, ExportSettings(mode=mode), x if mode == "int8" else None) for mode in MODES}


@pytest.mark.parametrize(
    ("mode", "tolerance"), [("float32", 1e-6), ("float16", 5e-3), ("dynamic", 0.1), ("int8", 0.15)]
)
def test_the_file_answers_as_keras_does(
    model: keras.Model, x: np.ndarray, files: dict[str, bytes], mode: str, tolerance: float
) -> None:
    expected = model.predict(x, verbose=0)
    outputs = LiteRTModel(files[mode]).predict(x)
    assert outputs.shape == expected.shape
    assert np.abs(outputs - expected).max() <= tolerance
    assert np.mean(outputs.argmax(1) == expected.argmax(1)) >= 0.97


def test_fewer_bits_make_a_smaller_file(files: dict[str, bytes]) -> None:
    sizes = [len(files[mode]) for mode in ("float32", "float16", "int8")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2.5 * sizes[2]


def test_an_int8_file_is_integer_from_end_to_end(files: dict[str, bytes]) -> None:
    graph = FileGraph.from_bytes(files["int8"])
    assert {tensor.dtype for tensor in graph.main.tensors} <= {"int8", "int32"}
    assert set(graph.operator_counts()) == {"CONV_2D", "DEPTHWISE_CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"}


def test_batch_normalization_and_relu_are_folded_into_the_convolution(files: dict[str, bytes]) -> None:
    counts = FileGraph.from_bytes(files["float32"]).operator_counts()
    assert counts["CONV_2D"] == 1
    assert not {"MUL", "ADD", "RELU"} & set(counts)


def test_names_and_notes_are_gone_and_every_runtime_agrees_with_the_unstripped_file(
    model: keras.Model, x: np.ndarray, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from penjing.export import litert

    monkeypatch.setattr(litert, "strip_names", lambda content, *_: content)
    plain = to_litert(model, ExportSettings(mode="int8"), x)
    assert len(files["int8"]) < len(plain)
    for kernels in ("xnnpack", "reference"):
        first = LiteRTModel(plain, kernels=kernels).predict_raw(x)
        second = LiteRTModel(files["int8"], kernels=kernels).predict_raw(x)
        assert np.array_equal(first, second)
    assert all(details["name"] == "" for details in Interpreter(model_content=files["int8"]).get_input_details())


def test_the_same_model_gives_the_same_bytes_in_every_process(
    toy_model: Path, x: np.ndarray, files: dict[str, bytes], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", x)
    script = (
        "import sys, keras, numpy as np, hashlib\n"
        "from penjing.contract import ExportSettings\n"
        "from penjing.export.litert import to_litert\n"
        "model = keras.models.load_model(sys.argv[1], compile=False)\n"
        "content = to_litert(model, ExportSettings(mode='int8'), np.load(sys.argv[2]))\n"
        "print(hashlib.sha256(content).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(toy_model), str(tmp_path / "x.npy")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(files["int8"]).hexdigest()


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "int8 needs calibration data"),
        (np.zeros((4, 8, 9, 1), "float32"), "has shape (4, 8, 9, 1)"),
        (np.zeros((0, 8, 8, 1), "float32"), "has shape (0, 8, 8, 1)"),
        (np.full((4, 8, 8, 1), np.nan, "float32"), "NaN or infinite"),
    ],
)
def test_calibration_data_that_does_not_fit_is_refused(model: keras.Model, calibration, message: str) -> None:
    with pytest.raises(DataError) as caught:
        to_litert(model, ExportSettings(mode="int8"), calibration)
    assert message in str(caught.value)


def test_an_operation_that_has_no_int8_kernel_is_named() -> None:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.ops.erfinv(inputs / 10))
    with pytest.raises(ModelError) as caught:
        to_litert(model, ExportSettings(mode="int8"), np.zeros((4, 6), "float32"))
    assert "cannot write the model" in caught.value.what
    assert "Erfinv" in (caught.value.where or "")


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN", "Bidirectional"])
def test_recurrent_layers_become_integers_too(kind: str) -> None:
    layers = keras.layers
    layer = layers.Bidirectional(layers.LSTM(6)) if kind == "Bidirectional" else getattr(layers, kind)(6)
    model = keras.Sequential([keras.Input((7, 5)), layer, layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(60, 7, 5)).astype("float32")
    expected = model.predict(x, verbose=0)
    for mode, tolerance in (("float32", 1e-5), ("int8", 0.12)):
        content = to_litert(model, ExportSettings(mode=mode), x if mode == "int8" else None)
        assert np.abs(LiteRTModel(content).predict(x) - expected).max() < tolerance * max(1, np.ptp(expected))
    assert "WHILE" not in FileGraph.from_bytes(content).operator_counts()


def test_inputs_that_are_numbers_of_words_stay_integers() -> None:
    layers = keras.layers
    inputs = keras.Input((7,), dtype="int32")
    hidden = layers.GlobalAveragePooling1D()(layers.Embedding(40, 8)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(hidden))
    x = np.random.default_rng(0).integers(0, 40, (50, 7))
    content = to_litert(model, ExportSettings(mode="int8"), x)
    runtime = LiteRTModel(content)
    assert runtime.inputs[0].dtype == "int32" and runtime.outputs[0].dtype == "int8"
    assert np.abs(runtime.predict(x) - model.predict(x, verbose=0)).max() < 0.005


def test_a_loop_that_cannot_be_written_out_is_refused_and_does_not_end_the_process() -> None:
    inputs = keras.Input((5, 3))
    total = keras.ops.scan(
        lambda carry, x: (carry + x, carry), keras.ops.zeros((1, 3)), keras.ops.moveaxis(inputs, 1, 0)
    )
    model = keras.Model(inputs, total[0])
    with pytest.raises(ModelError, match="holds a loop"):
        to_litert(model, ExportSettings(mode="int8"), np.zeros((4, 5, 3), "float32"))


def test_an_open_shape_is_refused() -> None:
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.GlobalAveragePooling1D()])
    with pytest.raises(ModelError, match="open shape"):
        to_litert(model, ExportSettings())


def test_a_model_with_two_inputs_takes_them_by_position_and_name() -> None:
    first, second = keras.Input((3,), name="first"), keras.Input((5,), name="second")
    layers = keras.layers
    model = keras.Model([first, second], layers.Dense(2)(layers.Concatenate()([first, layers.Dense(3)(second)])))
    generator = np.random.default_rng(1)
    x = {
        "first": generator.normal(size=(9, 3)).astype("float32"),
        "second": generator.normal(size=(9, 5)).astype("float32"),
    }
    content = to_litert(model, ExportSettings())
    assert np.allclose(LiteRTModel(content).predict(x), model.predict(list(x.values()), verbose=0), atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 64, b"\x1c\x00\x00\x00TFL3" + b"\xff" * 40])
def test_what_is_no_file_is_refused_without_a_crash(content: bytes) -> None:
    for read in (FileGraph.from_bytes, LiteRTModel):
        with pytest.raises(ModelError):
            read(content)


@given(st.data())
def test_a_damaged_file_never_crashes_the_reader(files: dict[str, bytes], data: st.DataObject) -> None:
    content = bytearray(files["int8"])
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(8, min(len(content), 4000) - 1))] = data.draw(st.integers(0, 255))
    try:
        FileGraph.from_bytes(bytes(content))
    except ModelError as error:
        assert "damaged" in str(error) or "no .tflite" in str(error)


def test_inputs_of_a_wrong_shape_or_with_nan_are_refused(files: dict[str, bytes], x: np.ndarray) -> None:
    runtime = LiteRTModel(files["int8"])
    with pytest.raises(DataError, match="has shape"):
        runtime.predict(x[:, :7])
    with pytest.raises(DataError, match="NaN"):
        runtime.predict(np.full_like(x[:1], np.nan))


@given(st.floats(1e-4, 10), st.integers(-128, 127), st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20))
def test_a_quantized_number_is_the_nearest_step_within_the_range(scale: float, zero: int, values: list[float]) -> None:
    info = TensorInfo(name="", shape=(1,), dtype="int8", scale=scale, zero_point=zero)
    numbers = np.array(values, "float32")
    steps = quantize(numbers, info)
    back = dequantize(steps, info)
    inside = (steps > -128) & (steps < 127)
    assert np.all(np.abs(back - numbers)[inside] <= scale * (0.5 + 1e-3) + 1e-5 * np.abs(numbers)[inside])
    assert np.array_equal(quantize(back, info), steps)


@pytest.mark.parametrize("kind", ["MaxPooling3D", "AveragePooling3D"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_volumes_are_pooled_though_litert_has_no_operator_for_it(kind: str, padding: str) -> None:
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((7, 9, 8, 2))
    pool = getattr(layers, kind)((3, 2, 3), strides=(2, 3, 2), padding=padding)
    inner = keras.Sequential([keras.Input((7, 9, 8, 4)), pool, layers.ReLU()])
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inner(layers.Conv3D(4, 1)(inputs)))))
    x = np.random.default_rng(0).normal(size=(20, 7, 9, 8, 2)).astype("float32")
    expected = model.predict(x, verbose=0)
    content = to_litert(model, ExportSettings())
    assert LiteRTModel(content).predict(x) == pytest.approx(expected, abs=1e-5)
    assert "CUSTOM" not in FileGraph.from_bytes(content).operator_counts()
    integers = LiteRTModel(to_litert(model, ExportSettings(mode="int8"), x)).predict(x)
    assert np.abs(integers - expected).max() < 0.1 * np.ptp(expected)
    assert "call" not in vars(pool), "the caller's layer is as it was"


def _inner(kind: str) -> keras.layers.Layer:
    layers = keras.layers
    if kind == "dense":
        return layers.Dense(5, activation="softmax")
    if kind == "convolution":
        return layers.Conv2D(3, 2, activation="relu")
    return keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(3, 2), layers.BatchNormalization(), layers.Flatten()]
    )


@pytest.mark.parametrize("kind", ["dense", "convolution", "model"])
def test_a_layer_of_each_step_stands_in_the_file_once(kind: str) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 4, 4, 2))
    wrapper = keras.layers.TimeDistributed(_inner(kind))
    model = keras.Model(inputs, wrapper(inputs))
    x = np.random.default_rng(0).normal(size=(9, 6, 4, 4, 2)).astype("float32")
    content = to_litert(model, ExportSettings())
    assert LiteRTModel(content).predict(x) == pytest.approx(model.predict(x, verbose=0), abs=1e-6)
    counts = FileGraph.from_bytes(content).operator_counts()
    assert counts.get("FULLY_CONNECTED" if kind == "dense" else "CONV_2D") == 1
    assert "call" not in vars(wrapper), "the caller's layer is as it was"


def test_a_layer_of_each_step_is_given_its_mask_as_before() -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 3))
    masked = layers.TimeDistributed(layers.Dense(4))(layers.Masking()(inputs))
    model = keras.Model(inputs, layers.LSTM(3)(masked))
    x = np.random.default_rng(0).normal(size=(9, 6, 3)).astype("float32")
    x[:, 4:] = 0
    found = LiteRTModel(to_litert(model, ExportSettings())).predict(x)
    assert found == pytest.approx(model.predict(x, verbose=0), abs=1e-6)


RECURRENT_WITH_DROPOUT: dict[str, Callable[[], Any]] = {
    "lstm": lambda: keras.layers.LSTM(4, dropout=0.2, recurrent_dropout=0.1),
    "lstm unrolled": lambda: keras.layers.LSTM(4, dropout=0.2, unroll=True),
    "gru": lambda: keras.layers.GRU(4, recurrent_dropout=0.1),
    "simple rnn": lambda: keras.layers.SimpleRNN(4, dropout=0.2),
    "both ways": lambda: keras.layers.Bidirectional(keras.layers.LSTM(4, dropout=0.2)),
    "stacked cells": lambda: keras.layers.RNN([keras.layers.LSTMCell(4, dropout=0.2), keras.layers.GRUCell(3)]),
}


@pytest.mark.parametrize("make", RECURRENT_WITH_DROPOUT.values(), ids=RECURRENT_WITH_DROPOUT.keys())
@pytest.mark.parametrize("mode", ["float32", "weight-only-int8", "int8"])
def test_a_recurrent_layer_with_dropout_is_written_without_it(make: Callable[[], Any], mode: Any) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 3)), make(), keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(20, 6, 3)).astype("float32")
    expected = model(x, training=False).numpy()
    content = to_litert(model, ExportSettings(mode=mode), x if mode == "int8" else None)
    tolerance = 1e-6 if mode == "float32" else 0.1 * float(np.abs(expected).max())
    assert LiteRTModel(content).predict(x) == pytest.approx(expected, abs=tolerance)
    # Training afterwards drops as before.
    assert not np.allclose(model(x, training=True), expected, atol=1e-6)
