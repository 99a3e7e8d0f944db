"""quantize-aware-training of recurrent layers: the file equals the model, promises hold, training helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from penjing.compression.quantization.aware_training import calibrate, explain, simulated
from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings
from penjing.errors import ModelError
from penjing.measure.file_graph import FileGraph
from simulating import functional, quantized, steps_apart

k = keras.layers
STEPS = 4
LAYERS = {
    "lstm": lambda x: k.Dense(3)(k.LSTM(6)(x)),
    "lstm-backwards": lambda x: k.LSTM(6, return_sequences=True, go_backwards=True, use_bias=False)(x),
    "gru": lambda x: k.Dense(3)(k.GRU(6)(x)),
    "gru-sequences": lambda x: k.GRU(6, return_sequences=True)(x),
    "gru-reset-before": lambda x: k.GRU(6, reset_after=False)(x),
    "gru-without-bias": lambda x: k.GRU(6, use_bias=False)(x),
    "rnn": lambda x: k.SimpleRNN(6)(k.SimpleRNN(5, activation="relu", return_sequences=True)(x)),
    "rnn-linear": lambda x: k.SimpleRNN(6, activation="linear")(x),
    "bidirectional": lambda x: k.Dense(3)(k.Bidirectional(k.LSTM(5))(x)),
    "two-layers": lambda x: k.GRU(4)(k.Bidirectional(k.GRU(5, return_sequences=True), merge_mode="sum")(x)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "int8": {},
    "int16": {"activation_bits": 16},
    "int4": {"weight_bits": 4, "ranges": "learned"},
}


def network(name: str) -> Any:
    """A network with biases and weights as after a training."""
    model = functional(LAYERS[name], (STEPS, 7))
    generator = np.random.default_rng(5)
    model.set_weights([w + generator.normal(0, 0.3, w.shape).astype("float32") for w in model.get_weights()])
    return model


CASES = [
    *((name, options) for name in LAYERS for options in ("int8", "int16")),
    *((name, "int4") for name in ("lstm", "gru", "bidirectional")),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_recurrent_layer_answers_the_same_as_its_file(name: str, options: str) -> None:
    model = network(name)
    made, content, x = quantized(model, n=32, **OPTIONS[options])
    assert steps_apart(made, content, x).max() == 0
    assert "DEQUANTIZE" not in FileGraph.from_bytes(content).operator_counts()
    if options == "int16":  # rounding is all that came in
        exact = np.asarray(model(x))
        assert np.abs(np.asarray(made(x, training=False)) - exact).max() < 0.03 * np.abs(exact).max()


def test_weights_stand_in_the_file_once_however_many_steps_there_are() -> None:
    short, long = (quantized(functional(lambda x: k.LSTM(8)(x), (steps, 7)), n=8)[1] for steps in (2, 6))
    counts = [[tensor.shape for tensor in FileGraph.from_bytes(content).constants()] for content in (short, long)]
    assert counts[0].count((32, 8)) == counts[1].count((32, 8)) == 1


def test_the_first_ranges_are_those_of_all_steps() -> None:
    made, _, x = quantized(functional(lambda x: k.SimpleRNN(3, activation="linear")(x), (STEPS, 2)), n=50)
    layer = next(layer for layer in made.layers if hasattr(layer, "steps"))
    variables = (layer.of_inputs.kernel, layer.of_state.kernel, layer.of_inputs.bias)
    kernel, recurrent, bias = (np.asarray(variable) for variable in variables)
    state, largest = np.zeros((50, 3)), 0.0
    for step in range(STEPS):
        state = x[:, step] @ kernel + bias + state @ recurrent
        largest = max(largest, state.max()) if step else largest  # the first step has no sum
    assert float(layer.steps["sum"].output_range.high) == pytest.approx(largest, rel=1e-3)


def test_training_in_4_bits_lowers_the_loss_and_survives_saving(tmp_path: Path) -> None:
    from penjing.compression.model_tree import weight_matrices

    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 6, 3)).astype("float32")
    y = (x[:, :, 0].sum(1) > 0).astype("int32")
    inputs = keras.Input((6, 3))
    outputs = k.Dense(2, activation="softmax", name="head")(k.LSTM(8, name="memory")(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(x, y, epochs=8, batch_size=50, verbose=0)
    keys = set(weight_matrices(model))
    made, _ = simulated(model, QuantizeAwareTrainingSettings(weight_bits=4))
    assert set(weight_matrices(made)) == keys == {"memory/kernel", "memory/recurrent_kernel", "head"}
    calibrate(made, x, 256, seed=0)
    made.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", jit_compile=False)
    rounded = made.evaluate(x, y, verbose=0)
    made.fit(x, y, epochs=4, batch_size=50, verbose=0)
    assert made.evaluate(x, y, verbose=0) < 0.9 * rounded
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(again.predict(x, verbose=0), made.predict(x, verbose=0))


def test_what_becomes_of_a_recurrent_layer_is_told_and_what_cannot_be_is_refused() -> None:
    model = functional(lambda x: k.Dense(2, name="head")(k.LSTM(4, name="memory")(x)), (STEPS, 3))
    told = {change.layer: change.change for change in explain(model, QuantizeAwareTrainingSettings())}
    assert told["memory"] == f"8-bit weights, 8-bit state, written out in {STEPS} steps"
    inputs = keras.Input((STEPS, 3))
    outputs, _, _ = k.LSTM(4, return_state=True, name="memory")(inputs)
    with pytest.raises(ModelError, match="layer 'memory'"):
        explain(keras.Model(inputs, k.Dense(2)(outputs)), QuantizeAwareTrainingSettings())
