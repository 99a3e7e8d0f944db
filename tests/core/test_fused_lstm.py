"""An int8 file has one operator for an LSTM layer: small, starting anew with every example, and the model's answers."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from penjing.compression.weights_in_file import MatrixPart, unfound
from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.measure.macs import count_macs
from penjing.measure.tflm import run_tflm
from penjing.runtime import LiteRTModel

layers = keras.layers
OPERATOR = "UNIDIRECTIONAL_SEQUENCE_LSTM"
STEPS, FEATURES = 12, 5


def examples(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, STEPS, FEATURES)).astype("float32")


def network(*inner: keras.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((STEPS, FEATURES)), *inner, layers.Dense(3)])


def int8(model: keras.Model) -> bytes:
    return to_litert(model, ExportSettings(mode="int8"), examples())


def is_close(content: bytes, model: keras.Model) -> bool:
    """The fortieth part of the outputs' range, on average: what int8 takes from a layer with random weights."""
    x, expected = examples(), model.predict(examples(), verbose=0)
    difference = np.abs(LiteRTModel(content, kernels="reference").predict(x) - expected)
    return bool(difference.mean() < np.ptp(expected) / 40 and difference.max() < np.ptp(expected) / 6)


FUSED: dict[str, tuple[int, Callable[[], list[keras.Layer]]]] = {
    "one layer": (1, lambda: [layers.LSTM(8)]),
    "stacked": (2, lambda: [layers.LSTM(8, return_sequences=True), layers.LSTM(6)]),
    "behind other layers": (
        1,
        lambda: [layers.Conv1D(8, 3), layers.BatchNormalization(), layers.LSTM(6), layers.Dropout(0.3)],
    ),
    "both directions": (2, lambda: [layers.Bidirectional(layers.LSTM(6))]),
    "both directions, all steps": (
        2,
        lambda: [layers.Bidirectional(layers.LSTM(6, return_sequences=True)), layers.GlobalMaxPooling1D()],
    ),
    "backwards": (1, lambda: [layers.LSTM(6, go_backwards=True)]),
    "without biases": (1, lambda: [layers.LSTM(6, use_bias=False)]),
    "in a nested model": (1, lambda: [keras.Sequential([layers.LSTM(6, return_sequences=True)]), layers.Flatten()]),
    "beside a GRU, which is written out": (1, lambda: [layers.LSTM(6, return_sequences=True), layers.GRU(6)]),
}


@pytest.mark.parametrize("case", FUSED)
def test_a_layer_is_one_operator_with_the_models_answers(case: str) -> None:
    count, inner = FUSED[case]
    model = network(*inner())
    content = int8(model)
    operators = FileGraph.from_bytes(content).operator_counts()
    assert operators[OPERATOR] == count
    assert "WHILE" not in operators
    assert is_close(content, model)


def test_the_file_is_smaller_than_in_float_and_does_not_grow_with_the_steps() -> None:
    sizes = {}
    for steps in (6, 60):
        model = keras.Sequential([keras.Input((steps, FEATURES)), layers.LSTM(16), layers.Dense(3)])
        x = np.random.default_rng(0).normal(size=(10, steps, FEATURES)).astype("float32")
        sizes[steps] = len(to_litert(model, ExportSettings(mode="int8"), x))
        assert sizes[steps] < len(to_litert(model, ExportSettings())) / 2
    assert sizes[6] == sizes[60]


@pytest.mark.parametrize("runtime", ["reference", "xnnpack", "tflm"])
def test_what_came_before_changes_no_answer(runtime: str) -> None:
    content = int8(network(layers.LSTM(8, return_sequences=True), layers.LSTM(6)))
    # Loud examples first, so that a state that stays would be far from zero.
    x = np.concatenate([np.full((5, STEPS, FEATURES), 3, "float32"), examples(10)])

    def answers(some: np.ndarray) -> np.ndarray:
        model = LiteRTModel(content, kernels="reference" if runtime == "tflm" else runtime)
        if runtime != "tflm":
            return np.asarray(model.predict_raw(some))
        outputs, why = run_tflm(content, [model.quantized_inputs(some)[0]])
        assert why == "" and outputs is not None
        return outputs

    assert np.array_equal(answers(x)[5:], np.concatenate([answers(x[at : at + 1]) for at in range(5, 15)]))


def test_microcontrollers_answer_as_the_reference_kernels_do_but_for_a_step() -> None:
    content = int8(network(layers.LSTM(8)))
    reference = LiteRTModel(content, kernels="reference")
    outputs, why = run_tflm(content, [reference.quantized_inputs(examples())[0]])
    assert why == "" and outputs is not None
    difference = np.abs(outputs.astype(int) - np.asarray(reference.predict_raw(examples()), int))
    assert difference.max() <= 1


def functional(build: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((STEPS, FEATURES))
    return keras.Model(inputs, layers.Dense(3)(build(inputs)))


def from_a_given_state(inputs: keras.KerasTensor) -> keras.KerasTensor:
    mean = layers.GlobalAveragePooling1D()(inputs)
    return layers.LSTM(6)(inputs, initial_state=[layers.Dense(6)(mean), layers.Dense(6)(mean)])


def with_its_last_state(inputs: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Concatenate()(layers.LSTM(6, return_state=True)(inputs))


@pytest.mark.parametrize(
    "build",
    [
        from_a_given_state,
        with_its_last_state,
        layers.LSTM(6, activation="relu"),
        layers.LSTM(6, recurrent_activation="hard_sigmoid"),
        lambda inputs: layers.LSTM(6)(layers.Masking()(inputs)),
    ],
    ids=["a state to start from", "its last state", "relu", "hard sigmoid", "a mask"],
)
def test_what_the_operator_cannot_do_is_written_out(build: Callable[..., keras.KerasTensor]) -> None:
    model = functional(build)
    content = int8(model)
    assert OPERATOR not in FileGraph.from_bytes(content).operator_counts()
    assert is_close(content, model)


def test_the_model_is_as_before_when_its_file_is_written() -> None:
    model = network(layers.LSTM(6))
    before = model.predict(examples(), verbose=0)
    int8(model)
    assert np.array_equal(model.predict(examples(), verbose=0), before)
    assert set(vars(model.layers[0])) == set(vars(network(layers.LSTM(6)).layers[0]))


def test_its_macs_are_counted_and_its_zeros_are_found() -> None:
    model = network(layers.LSTM(8))
    kernel, recurrent, *rest = model.get_weights()
    kernel[np.random.default_rng(1).random(kernel.shape) < 0.7] = 0
    model.set_weights([kernel, recurrent, *rest])
    content = int8(model)
    macs = dict(count_macs(FileGraph.from_bytes(content)).by_operator)
    assert macs[OPERATOR] == STEPS * 4 * 8 * (FEATURES + 8)

    def keeps_zeros(part: MatrixPart, values: np.ndarray) -> bool:
        return not values[kernel[:, part.columns] == 0].any()

    def keeps_other_zeros(part: MatrixPart, values: np.ndarray) -> bool:
        return not values[kernel[::-1, part.columns] == 0].any()

    assert unfound(content, {"lstm/kernel": kernel.shape}, keeps_zeros) == []
    assert unfound(content, {"lstm/kernel": kernel.shape}, keeps_other_zeros) == ["lstm/kernel"]
