"""quantize-aware-training of attention: the file equals the model, masks forbid, an encoder goes the whole way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import penjing
from penjing.compression.model_tree import weight_matrices
from penjing.compression.quantization.aware_training import calibrate, explain, simulated
from penjing.compression.quantization.graph_walk import Simulation
from penjing.compression.quantization.rebuild import rebuild
from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings
from penjing.errors import ModelError
from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe
from penjing.runtime import LiteRTModel
from simulating import functional, quantized, steps_apart

k = keras.layers


def with_mask(dtype: str) -> Any:
    """Self-attention with a mask that is an input of the model."""
    x, mask = keras.Input((5, 8), name="x"), keras.Input((5, 5), dtype=dtype, name="mask")
    return keras.Model([x, mask], k.MultiHeadAttention(2, 4)(x, x, attention_mask=mask))


def twice() -> Any:
    """A layer that is called once with a causal mask and once without."""
    attention = k.MultiHeadAttention(2, 4, value_dim=3)
    return functional(lambda x: attention(x, attention(x, x), use_causal_mask=True), (5, 8))


NETWORKS: dict[str, Callable[[], Any]] = {
    "self": lambda: functional(lambda x: k.MultiHeadAttention(2, 4)(x, x), (5, 8)),
    "cross": lambda: functional(
        lambda x, y: k.MultiHeadAttention(3, 4, value_dim=5, use_bias=False)(x, y), (5, 8), (7, 6)
    ),
    "keys-apart": lambda: functional(
        lambda x, y, z: k.MultiHeadAttention(2, 3, output_shape=5)(x, y, z), (4, 8), (6, 5), (6, 3)
    ),
    "causal": lambda: functional(lambda x: k.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True), (6, 8)),
    "window": lambda: functional(lambda x: k.MultiHeadAttention(2, 4, sliding_window=2)(x, x), (6, 8)),
    "mask": lambda: with_mask("bool"),
    "gated": lambda: functional(lambda x: k.MultiHeadAttention(2, 4, value_dim=3, use_gate=True)(x, x), (5, 8)),
    "twice": twice,
    "grouped": lambda: functional(lambda x: k.GroupQueryAttention(3, 4, 2)(x, x), (5, 8)),
    "one-group": lambda: functional(lambda x: k.GroupQueryAttention(3, 4, 1)(x, x, use_causal_mask=True), (5, 8)),
    "grouped-gated": lambda: functional(
        lambda x, y: k.GroupQueryAttention(4, 2, 2, use_gate=True, sliding_window=3)(x, y), (5, 8), (7, 8)
    ),
    "long": lambda: functional(lambda x: k.MultiHeadAttention(1, 300)(x, x), (3, 4)),
    "einsum": lambda: functional(
        lambda x: k.EinsumDense("abcd,cde->abe", (None, 5), bias_axes="e")(
            k.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e", activation="relu")(x)
        ),
        (5, 8),
    ),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "int8": {},
    "int16": {"activation_bits": 16},
    "int4": {"weight_bits": 4, "ranges": "learned"},
}


CASES = [
    *((name, "int8") for name in NETWORKS),
    *((name, "int16") for name in ("self", "cross", "causal", "gated", "grouped", "long")),
    *((name, "int4") for name in ("self", "cross", "mask")),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_attention_answers_the_same_as_its_file(name: str, options: str) -> None:
    keras.utils.set_random_seed(3)
    model = NETWORKS[name]()
    made, content, x = quantized(model, **OPTIONS[options])
    assert steps_apart(made, content, x).max() == 0
    counts = FileGraph.from_bytes(content).operator_counts()
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(counts)
    exact = np.asarray(model(x))
    limit = {"int8": 0.06, "int16": 0.03, "int4": 0.25}[options]  # what rounding and clipped inputs bring in
    assert np.abs(np.asarray(made(x, training=False)) - exact).max() < limit * np.abs(exact).max()


def test_the_file_holds_one_product_of_two_activations_for_scores_and_one_for_contexts() -> None:
    _, content, _ = quantized(NETWORKS["causal"](), weight_bits=4)
    graph = FileGraph.from_bytes(content)
    counts = graph.operator_counts()
    wanted = {"FULLY_CONNECTED": 4, "BATCH_MATMUL": 2, "SOFTMAX": 1, "SELECT_V2": 1}
    assert {name: counts[name] for name in wanted} == wanted
    assert "MUL" not in counts  # the factor of the scores is in the queries' scales
    assert [tensor.dtype for tensor in graph.constants() if tensor.shape == (8, 8)] == ["int4"] * 4


@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
@pytest.mark.parametrize("bits", [8, 16])
def test_what_a_mask_forbids_changes_nothing(dtype: str, bits: int) -> None:
    keras.utils.set_random_seed(1)
    model = with_mask(dtype)
    model.layers[-1].query_dense.kernel.assign(6.0 * model.layers[-1].query_dense.kernel)  # scores far apart
    made, _ = rebuild(model, Simulation(activation_bits=bits, observes=False))
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 5, 8)).astype("float32")
    mask = np.broadcast_to(np.array([1, 0, 1, 1, 0], dtype), (200, 5, 5)).copy()
    calibrate(made, {"x": x, "mask": mask}, 200, seed=0)
    changed = x.copy()
    changed[:, [1, 4]] = generator.normal(size=(200, 2, 8))
    for training in (False, True):
        before, after = (np.asarray(made([tensor, mask], training=training))[:, [0, 2, 3]] for tensor in (x, changed))
        assert np.array_equal(before, after), "a forbidden place shows"


def test_a_mask_that_words_carry_is_kept() -> None:
    keras.utils.set_random_seed(1)
    words = keras.Input((6,), dtype="int32", name="words")
    x = k.Embedding(10, 8, mask_zero=True, name="embedding")(words)
    x = k.MultiHeadAttention(2, 4, name="attention")(x, x)
    model = keras.Model(words, x)
    made, content, _ = quantized(model, exclude=["embedding"])
    given = np.array([[3, 5, 7, 0, 0, 0], [1, 2, 3, 4, 5, 0], [9, 8, 0, 0, 0, 0]], "int32")
    assert steps_apart(made, content, given).max() == 0
    exact = np.asarray(model(given))
    assert np.abs(np.asarray(made(given, training=False)) - exact).max() < 0.05 * np.abs(exact).max()
    made.get_layer("embedding").embeddings.assign_add(np.eye(10, 8) * (np.arange(10) == 0)[:, None] * 0.05)
    moved = np.asarray(made(given, training=False))
    before = LiteRTModel(content, kernels="reference").predict(given)
    assert np.array_equal(moved[given != 0], before[given != 0]), "padding shows at a word"
    assert "SELECT_V2" in FileGraph.from_bytes(content).operator_counts()


def words_network(**options: Any) -> Any:
    """Embedded words with their positions, attended to where they are no padding."""
    words = keras.Input((6,), dtype="int32", name="words")
    x = k.Embedding(10, 8, name="embedding", **options)(words)
    x = k.Add(name="sum")([x, k.Reshape((6, 8))(k.Dense(48, name="other")(k.Flatten()(x)))])
    return keras.Model(words, k.Dense(3, name="head")(k.MultiHeadAttention(2, 4, name="attention")(x, x)))


@pytest.mark.parametrize("options", ["int8", "int16"])
@pytest.mark.parametrize("mask_zero", [True, False])
def test_an_embedding_is_a_table_of_bytes_and_answers_the_same_as_its_file(options: str, mask_zero: bool) -> None:
    keras.utils.set_random_seed(1)
    model = words_network(mask_zero=mask_zero)
    made, content, x = quantized(model, **OPTIONS[options])
    assert steps_apart(made, content, x).max() == 0
    graph = FileGraph.from_bytes(content)
    (table,) = [tensor for tensor in graph.constants() if tensor.shape == (10, 8)]
    assert table.dtype == "int8"
    real = (table.values.astype(float) - table.zero_point) * float(np.ravel(table.scales)[0])
    step = np.ptp(np.asarray(model.get_layer("embedding").embeddings)) / 255
    assert np.abs(real - np.asarray(model.get_layer("embedding").embeddings)).max() < 0.51 * step + 1e-7
    assert "DEQUANTIZE" not in graph.operator_counts()
    assert weight_matrices(made).keys() == weight_matrices(model).keys()
    exact = np.asarray(model(x))
    assert np.abs(np.asarray(made(x, training=False)) - exact).max() < 0.05 * np.abs(exact).max()


# --------------------------------------------------------------------------------------------------------- encoders


def encoder(act: str = "relu", blocks: int = 2) -> Any:
    """A transformer encoder of the toy task's rows, norms before attention."""
    inputs = keras.Input((8, 8, 1))
    x = k.Dense(16, name="rows")(k.Reshape((8, 8), name="as_rows")(inputs))
    for block in range(blocks):
        y = k.LayerNormalization(name=f"norm_{block}")(x)
        y = k.MultiHeadAttention(4, 4, dropout=0.1, name=f"attention_{block}")(y, y)
        x = k.Add(name=f"sum_{block}")([x, y])
        y = k.LayerNormalization(name=f"second_norm_{block}")(x)
        y = k.Dense(16, name=f"narrow_{block}")(k.Dense(32, activation=act, name=f"wide_{block}")(y))
        x = k.Add(name=f"second_sum_{block}")([x, y])
    x = k.Flatten(name="flatten")(k.LayerNormalization(name="last_norm")(x))
    return keras.Model(inputs, k.Dense(4, activation="softmax", name="quarter")(x), name="encoder")


@pytest.mark.parametrize(
    ("act", "options", "most"),
    [
        *(("gelu", "int8", 0), ("gelu", "int4", 0), ("relu", "int16", 0)),
        ("gelu", "int16", 2),  # 16-bit GELU is float32: the C library's erfc is its own; a step of 1/32768 becomes two
    ],
)
def test_an_encoder_answers_the_same_as_its_file(act: str, options: str, most: int) -> None:
    keras.utils.set_random_seed(4)
    made, content, x = quantized(encoder(act), n=256, **OPTIONS[options])
    assert steps_apart(made, content, x).max() <= most


def test_layer_normalization_adds_in_the_order_of_the_file() -> None:
    made, content, x = quantized(functional(lambda x: k.LayerNormalization()(x), (70,)), n=300, activation_bits=16)
    theirs = LiteRTModel(content, kernels="reference").predict(x)
    assert np.array_equal(made.predict(x, verbose=0), theirs)


RECIPE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.5
epochs = 1
[[steps]]
technique = "quantize-aware-training"
weight_bits = 4
ranges = "learned"
epochs = 2
learning_rate = 0.002
keep_8_bits = ["quarter"]
[[steps]]
technique = "finetune"
epochs = 1
"""


def test_an_encoder_is_pruned_trained_in_4_bits_saved_trained_on_and_verified(
    toy_arrays: dict[str, np.ndarray], toy_data: Path, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    model = encoder(blocks=1)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(toy_arrays["x"][:400], toy_arrays["y"][:400], epochs=12, batch_size=32, verbose=0)
    model.save(tmp_path / "encoder.keras")
    result = penjing.compress(
        tmp_path / "encoder.keras", recipe=Recipe.from_toml(RECIPE), data=toy_data, output=tmp_path / "run"
    )
    steps = tmp_path / "run/steps"
    figures = json.loads((steps / "02-quantize-aware-training/outcome.json").read_text())["figures"]
    assert figures["equal_inputs"] == figures["compared_inputs"] == 90
    assert figures["validation_after"] >= 0.9
    pruned = keras.models.load_model(steps / "01-prune-weights/model.keras", compile=False)
    last = keras.models.load_model(steps / "03-finetune/model.keras", compile=False)
    matrices, kept = weight_matrices(pruned), weight_matrices(last)
    assert set(matrices) == set(kept)
    for name in ("query", "key", "value", "attention_output"):
        zeros = np.asarray(matrices[f"attention_0/{name}"]) == 0
        assert zeros.mean() > 0.3
        assert np.all(np.asarray(kept[f"attention_0/{name}"])[zeros] == 0)
        assert np.any(np.asarray(kept[f"attention_0/{name}"]) != np.asarray(matrices[f"attention_0/{name}"]))
    done = subprocess.run(
        [sys.executable, "-m", "penjing", "verify", str(result.bundle), "--json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_what_becomes_of_attention_is_told_and_what_cannot_be_is_refused() -> None:
    settings = QuantizeAwareTrainingSettings()
    told = {change.layer: change.change for change in explain(encoder(), settings)}
    assert told["attention_0"] == (
        "8-bit weights, 8-bit activations, 4 heads as two products of activations and a softmax"
    )
    assert told["norm_0"] == "left alone: LayerNormalization computes in float32"
    made, _ = simulated(encoder(), settings)
    with pytest.raises(ModelError, match="simulates quantization already"):
        simulated(made, settings)
    refused = {
        "other axes": lambda x: k.Flatten()(k.MultiHeadAttention(2, 4, attention_axes=(1,), name="it")(x, x)),
        "gives its scores out": lambda x: k.MultiHeadAttention(2, 4, name="it")(x, x, return_attention_scores=True)[0],
    }
    shapes = {"other axes": (3, 4, 8)}
    for why, build in refused.items():
        with pytest.raises(ModelError, match="layer 'it'") as caught:
            explain(functional(build, shapes.get(why, (5, 8))), settings)
        assert why in str(caught.value)
        assert 'exclude = ["it"]' in str(caught.value)


def test_a_mean_over_masked_steps_and_a_mask_from_outside_are_refused() -> None:
    words = keras.Input((6,), dtype="int32", name="words")
    embedded = k.Embedding(10, 8, mask_zero=True, name="embedding")(words)
    mean = keras.Model(words, k.GlobalAveragePooling1D(name="mean")(embedded))
    with pytest.raises(ModelError, match="layer 'mean'"):
        quantized(mean, exclude=["embedding"])
    x, mask = keras.Input((6, 8), name="x"), keras.Input((6, 8), dtype="bool", name="mask")
    with pytest.raises(ModelError, match="layer 'shares'"):
        quantized(keras.Model([x, mask], k.Softmax(name="shares")(x, mask=mask)))
    inner_input = keras.Input((6, 8))
    inner = keras.Model(inner_input, k.MultiHeadAttention(2, 4, name="it")(inner_input, inner_input), name="inner")
    with pytest.raises(ModelError, match="layer 'inner/it'"):
        quantized(keras.Model(words, inner(embedded)), exclude=["embedding"])
