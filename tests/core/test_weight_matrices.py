"""Every matrix of weights has a lasting name, and is found again in the exported file, however it is written there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.compression.model_tree import kernels, layer_of, weight_matrices
from penjing.compression.pruning.sparsity_mask import SparsityMask
from penjing.compression.weights_in_file import in_model_order
from penjing.contract import ExportSettings
from penjing.export.litert import to_litert


def network(name: str):
    """A model of one layer with known matrices; the layer is called "it"."""
    import keras

    keras.utils.set_random_seed(4)
    layers = keras.layers
    made = {
        "dense": lambda: ((6,), layers.Dense(5, name="it")),
        "conv2d": lambda: ((6, 6, 4), layers.Conv2D(5, 3, name="it")),
        "grouped": lambda: ((6, 6, 4), layers.Conv2D(6, 3, groups=2, name="it")),
        "conv1d-dilated": lambda: ((9, 4), layers.Conv1D(5, 3, dilation_rate=2, padding="causal", name="it")),
        "depthwise": lambda: ((6, 6, 4), layers.DepthwiseConv2D(3, depth_multiplier=2, name="it")),
        "depthwise-1d": lambda: ((6, 4), layers.DepthwiseConv1D(3, depth_multiplier=2, name="it")),
        "separable": lambda: ((6, 6, 4), layers.SeparableConv2D(5, 3, depth_multiplier=2, name="it")),
        "separable-1d": lambda: ((6, 4), layers.SeparableConv1D(5, 3, name="it")),
        "transpose": lambda: ((6, 6, 4), layers.Conv2DTranspose(5, 3, strides=2, name="it")),
        "transpose-1d": lambda: ((6, 4), layers.Conv1DTranspose(5, 3, strides=2, name="it")),
        "einsum": lambda: ((5, 6), layers.EinsumDense("abc,cde->abde", output_shape=(None, 4, 3), name="it")),
        "lstm": lambda: ((5, 6), layers.LSTM(7, name="it")),
        "gru": lambda: ((5, 6), layers.GRU(7, name="it")),
        "gru-split": lambda: ((5, 6), layers.GRU(7, reset_after=False, name="it")),
        "gru-split-square": lambda: ((5, 7), layers.GRU(7, reset_after=False, name="it")),
        "rnn": lambda: ((5, 6), layers.SimpleRNN(7, name="it")),
        "stacked": lambda: ((5, 6), layers.RNN([layers.LSTMCell(7, name="a"), layers.GRUCell(8, name="b")], name="it")),
        "both-ways": lambda: ((5, 6), layers.Bidirectional(layers.LSTM(7, name="lstm"), name="it")),
        "each-step": lambda: ((5, 6), layers.TimeDistributed(layers.Dense(4, name="dense"), name="it")),
    }
    shape, layer = made[name]()
    return keras.Sequential([keras.Input(shape), layer])


ONE = {"it"}
RECURRENT = {"it/kernel", "it/recurrent_kernel"}
SEPARABLE = {"it/depthwise_kernel", "it/pointwise_kernel"}
KEYS = {
    "dense": ONE,
    "conv2d": ONE,
    "grouped": ONE,
    "conv1d-dilated": ONE,
    "depthwise": ONE,
    "depthwise-1d": ONE,
    "separable": SEPARABLE,
    "separable-1d": SEPARABLE,
    "transpose": ONE,
    "transpose-1d": ONE,
    "einsum": ONE,
    "lstm": RECURRENT,
    "gru": RECURRENT,
    "gru-split": RECURRENT,
    "gru-split-square": RECURRENT,
    "rnn": RECURRENT,
    "stacked": {"it/a/kernel", "it/a/recurrent_kernel", "it/b/kernel", "it/b/recurrent_kernel"},
    "both-ways": {key.replace("it/", f"it/{way}_lstm/") for way in ("forward", "backward") for key in RECURRENT},
    "each-step": {"it/dense"},
}


@pytest.mark.parametrize("name", KEYS)
def test_every_matrix_has_a_name_that_survives_a_copy(name: str) -> None:
    import keras

    model = network(name)
    assert set(weight_matrices(model)) == KEYS[name]
    assert set(weight_matrices(keras.models.clone_model(model))) == KEYS[name]


def pruned(model) -> SparsityMask:
    """Half of every matrix set to zero, at random."""
    generator = np.random.default_rng(8)
    masks = {}
    for key, variable in weight_matrices(model).items():
        masks[key] = generator.random(variable.shape) < 0.5
        variable.assign(np.asarray(variable) * masks[key])
    return SparsityMask(masks=masks)


def file_of(model, mode: str = "float32") -> bytes:
    if mode != "int8":
        return to_litert(model, ExportSettings(mode=mode))  # type: ignore[arg-type]
    x = np.random.default_rng(2).normal(size=(20, *model.input_shape[1:])).astype("float32")
    return to_litert(model, ExportSettings(mode="int8", calibration_examples=20), x)


@pytest.mark.parametrize("name", KEYS)
def test_zeros_are_found_in_the_file_and_one_that_is_none_is_missed(name: str) -> None:
    model = network(name)
    promise = pruned(model)
    assert promise.check(model) == []
    assert promise.check_file(file_of(model)) == []
    for key, variable in weight_matrices(model).items():
        values = np.asarray(variable)
        broken = values.copy()
        # The last one: of a matrix that is split by gates, it stands in the last part.
        broken[tuple(np.argwhere(~promise.masks[key])[-1])] = 0.7
        variable.assign(broken)
        assert [violation.layer for violation in promise.check(model)] == [key]
        assert [violation.layer for violation in promise.check_file(file_of(model))] == [key]
        variable.assign(values)


@pytest.mark.parametrize("name", ["lstm", "gru", "gru-split", "both-ways", "separable", "transpose"])
def test_zeros_are_found_in_int8_files_where_recurrent_layers_are_unrolled(name: str) -> None:
    model = network(name)
    promise = pruned(model)
    assert promise.check_file(file_of(model, "int8")) == []


def test_attention_and_embeddings_have_names_and_are_found_in_the_file() -> None:
    import keras

    keras.utils.set_random_seed(4)
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(11, 6, name="words")(inputs)
    x = keras.layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    parts = {f"attention/{name}" for name in ("query", "key", "value", "attention_output")}
    assert set(weight_matrices(model)) == {"words/embeddings", *parts}
    promise = pruned(model)
    assert promise.check_file(file_of(model)) == []
    variable = weight_matrices(model)["words/embeddings"]
    variable.assign(np.asarray(variable) + 1.0)
    assert [violation.layer for violation in promise.check_file(file_of(model))] == ["words/embeddings"]


def test_equal_matrices_are_one_tensor_of_the_file_and_both_are_found() -> None:
    import keras

    inputs = keras.Input((6,))
    x = keras.layers.Dense(6, activation="relu", name="a")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(6, name="b")(x))
    for name in "ab":
        model.get_layer(name).set_weights([np.eye(6, dtype="float32"), np.zeros(6, "float32")])
    promise = SparsityMask(masks=dict.fromkeys("ab", np.eye(6) > 0))
    assert promise.check_file(file_of(model)) == []
    model.get_layer("b").kernel.assign(np.ones((6, 6), "float32"))
    assert len(promise.check_file(file_of(model))) == 1


def test_a_matrix_that_layers_share_comes_once() -> None:
    import keras

    layer = keras.layers.Dense(4, name="shared")
    inputs = keras.Input((4,))
    assert set(weight_matrices(keras.Model(inputs, layer(layer(inputs))))) == {"shared"}


def test_kernels_of_single_tensors_are_what_they_were() -> None:
    assert set(kernels(network("dense"))) == {"it"}
    assert kernels(network("lstm")) == {}
    assert kernels(network("separable")) == {}


def test_the_layer_of_a_key() -> None:
    assert layer_of("block/lstm/recurrent_kernel") == "block/lstm"
    assert layer_of("block/dense") == "block/dense"


@given(st.permutations(range(3)), st.integers(0, 99))
def test_a_transposed_array_comes_back_in_the_models_order(order: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2, 3, 4))
    views = list(in_model_order(np.transpose(values, order), values.shape))
    assert len(views) == 1
    assert np.array_equal(views[0], values)


def test_joined_axes_come_apart_again() -> None:
    values = np.arange(3 * 3 * 4 * 2).reshape(3, 3, 4, 2)
    views = list(in_model_order(values.reshape(1, 3, 3, 8), values.shape))
    assert any(np.array_equal(view, values) for view in views)
    assert list(in_model_order(values.reshape(9, 8).T.reshape(8, 9), (8, 9, 1))) != []
    assert list(in_model_order(values, (3, 3, 4, 3))) == []
