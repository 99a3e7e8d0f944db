"""quantize-aware-training: the file answers what the model answers, on every input, and training lowers the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penjing
from penjing.compression.model_tree import weight_matrices
from penjing.errors import ModelError
from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe
from simulating import quantized, steps_apart


def ds_cnn() -> Any:
    """A small DS-CNN with a shortcut, as keyword spotting has it."""
    import keras

    layers = keras.layers
    inputs = keras.Input((12, 10, 1))
    x = layers.Conv2D(8, (4, 3), strides=2, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_norm")(x))
    shortcut = x
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU(name="depthwise_relu")(layers.BatchNormalization(name="depthwise_norm")(x))
    x = layers.BatchNormalization(name="pointwise_norm")(layers.Conv2D(8, 1, name="pointwise")(x))
    x = layers.ReLU(name="add_relu")(layers.Add(name="add")([x, shortcut]))
    x = layers.Dropout(0.1, name="dropout")(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="words")(x), name="ds_cnn")


# ------------------------------------------------------------------------------------- the file equals the simulation


@pytest.mark.parametrize(
    "options",
    [{}, {"ranges": "learned"}, {"weight_bits": 4}, {"weight_bits": 4, "ranges": "learned"}],
    ids=lambda options: ",".join(map(str, options.values())) or "default",
)
def test_a_ds_cnn_answers_the_same_as_its_file(options: dict[str, Any]) -> None:
    made, content, x = quantized(ds_cnn(), n=256, **options)
    assert steps_apart(made, content, x).max() == 0


# ------------------------------------------------------------------------------------------- what the file consists of


def test_weights_of_4_bits_are_packed_and_exceptions_hold() -> None:
    _, content, _ = quantized(ds_cnn(), weight_bits=4, keep_8_bits=["stem"], exclude=["words"])
    graph = FileGraph.from_bytes(content)
    kinds = {tensor.shape: tensor.dtype for tensor in graph.constants()}
    assert kinds[8, 4, 3, 1] == "int8"
    assert kinds[8, 1, 1, 8] == kinds[1, 3, 3, 8] == "int4"
    assert kinds[5, 8] == "float32"
    # No ReLU and no BatchNormalization is left; the float part is behind one border.
    assert set(graph.operator_counts()) == {
        *("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX")
    }


def test_weights_of_4_bits_with_16_bit_activations_are_packed_where_the_kernel_reads_them() -> None:
    made, content, x = quantized(ds_cnn(), weight_bits=4, activation_bits=16)
    assert steps_apart(made, content, x).max() == 0
    kinds = {tensor.shape: tensor.dtype for tensor in FileGraph.from_bytes(content).constants()}
    assert kinds[8, 4, 3, 1] == kinds[8, 1, 1, 8] == kinds[5, 8] == "int4"
    assert kinds[1, 3, 3, 8] == "int8"


def test_a_layer_without_an_integer_form_is_named_and_can_be_left_in_float() -> None:
    import keras

    layers = keras.layers
    inputs = keras.Input((5, 3))
    x = layers.LSTM(4, activation="gelu", name="memory")(layers.Dense(6, name="before")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="after")(x))
    with pytest.raises(ModelError) as caught:
        quantized(model)
    assert "layer 'memory'" in str(caught.value)
    assert 'exclude = ["memory"]' in str(caught.value)
    made, content, x = quantized(model, exclude=["memory"])
    assert steps_apart(made, content, x).max() <= 1


def test_explain_says_what_becomes_of_each_layer() -> None:
    from penjing.compression.quantization.aware_training import explain
    from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings

    model = ds_cnn()
    before = [np.array(weight) for weight in model.get_weights()]
    told = {
        change.layer: change.change
        for change in explain(model, QuantizeAwareTrainingSettings(weight_bits=4, exclude=["words"]))
    }
    assert told["stem_norm"] == "folded into 'stem'"
    assert told["stem_relu"] == "computed by 'stem'"
    assert told["stem"] == "4-bit weights, 8-bit output, BatchNormalization 'stem_norm' folded in, relu fused"
    assert told["add_relu"] == "computed by 'add'"
    assert told["words"].startswith("left alone: fits 'exclude'")
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    with pytest.raises(ModelError, match="no layer fits 'word'"):
        explain(model, QuantizeAwareTrainingSettings(exclude=["word"]))


# ------------------------------------------------------------------------------------------------------- the technique

RECIPE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.6
epochs = 1
[[steps]]
technique = "quantize-aware-training"
weight_bits = 4
ranges = "learned"
epochs = 2
learning_rate = 0.002
exclude = ["quarter"]
[[steps]]
technique = "finetune"
epochs = 1
"""


def test_a_recipe_trains_saves_goes_on_and_keeps_its_promises(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    import keras

    recipe = Recipe.from_toml(RECIPE)
    result = penjing.compress(toy_model, recipe=recipe, data=toy_data, output=tmp_path / "run")
    steps = tmp_path / "run/steps"
    outcome = json.loads((steps / "02-quantize-aware-training/outcome.json").read_text())
    figures = outcome["figures"]
    assert figures["compared_inputs"] == 90
    # The last layer is in float32, where the order of additions shows.
    assert figures["largest_difference_steps"] <= 1
    assert figures["validation_after"] >= 0.95
    assert outcome["export"]["mode"] == "aware"
    before = keras.models.load_model(steps / "01-prune-weights/model.keras", compile=False)
    after = keras.models.load_model(steps / "03-finetune/model.keras", compile=False)
    pruned = np.asarray(before.get_layer("hidden").kernel) == 0
    assert np.all(np.asarray(after.get_layer("hidden").kernel)[pruned] == 0)
    assert pruned.mean() > 0.3
    graph = FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes())
    (hidden,) = [tensor for tensor in graph.constants() if tensor.shape == (40, 192)]
    assert hidden.dtype == "int4"
    assert np.all(hidden.values.T[pruned] == 0)


def test_training_in_4_bits_beats_rounding_to_4_bits(toy_model: Path, toy_arrays: dict[str, np.ndarray]) -> None:
    import keras

    from penjing.compression.quantization.aware_training import calibrate, simulated
    from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings

    x, y = toy_arrays["x"], toy_arrays["y"]
    losses = {}
    for ranges in ("moving-average", "learned"):
        model = keras.models.load_model(toy_model, compile=False)
        made, _ = simulated(model, QuantizeAwareTrainingSettings(weight_bits=4, ranges=ranges))
        calibrate(made, x[:400], 256, seed=0)
        made.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", jit_compile=False)
        rounded_loss = made.evaluate(x[:400], y[:400], verbose=0)
        step = float(made.get_layer("hidden").log_steps[0]) if ranges == "learned" else 0.0
        made.fit(x[:400], y[:400], epochs=3, batch_size=32, verbose=0)
        losses[ranges] = (rounded_loss, made.evaluate(x[:400], y[:400], verbose=0))
        if ranges == "learned":
            assert float(made.get_layer("hidden").log_steps[0]) != step
    for rounded_loss, trained_loss in losses.values():
        assert trained_loss < 0.8 * rounded_loss


SEPARABLE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.5
epochs = 1
[[steps]]
technique = "cluster-weights"
clusters = 6
epochs = 1
[[steps]]
technique = "quantize-aware-training"
epochs = 1
[[steps]]
technique = "finetune"
epochs = 1
"""


def test_zeros_and_shared_values_of_a_separable_convolution_stay(
    toy_arrays: dict[str, np.ndarray], toy_data: Path, tmp_path: Path
) -> None:
    """Aware training splits it into two layers; the promises about its two matrices go on."""
    import keras

    keras.utils.set_random_seed(2)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    inner = keras.Input((8, 8, 4))
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layers.SeparableConv2D(8, 3, name="block")(inner)))
    x = keras.Model(inner, x, name="backbone")(layers.Conv2D(4, 3, padding="same", name="stem")(inputs))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax", name="quarter")(layers.Flatten()(x)))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(toy_arrays["x"][:400], toy_arrays["y"][:400], epochs=3, batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    recipe = Recipe.from_toml(SEPARABLE)
    penjing.compress(tmp_path / "model.keras", recipe=recipe, data=toy_data, output=tmp_path / "run")
    folders = sorted((tmp_path / "run/steps").iterdir())
    models = [keras.models.load_model(folder / "model.keras", compile=False) for folder in folders]
    clustered, aware, last = (weight_matrices(each) for each in models[1:])
    assert set(clustered) == set(aware) == set(last)
    for key in ("backbone/block/depthwise_kernel", "backbone/block/pointwise_kernel"):
        before, after = np.asarray(clustered[key]), np.asarray(last[key])
        assert (before == 0).any()
        assert np.all(after[before == 0] == 0)
        for value in np.unique(before):
            assert len(np.unique(after[before == value])) == 1
        assert np.any(before != after)
