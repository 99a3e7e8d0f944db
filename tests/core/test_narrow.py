"""A narrower copy: as deep, head as it was, every layer in between at its share; what cannot be scaled is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penjing.compression.distillation.narrow import narrowed, width_changes
from penjing.compression.model_tree import walk_layers
from penjing.errors import ModelError

layers = keras.layers


def residual() -> keras.Model:
    """Convolution, BatchNormalization, depthwise, squeeze-and-excite with a Reshape, a merge and a concatenation."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Normalization(name="statistics", mean=[1.0, 2.0, 3.0], variance=[1.0, 1.0, 4.0])(inputs)
    x = layers.Conv2D(16, 3, padding="same", name="stem")(x)
    x = layers.BatchNormalization(name="norm")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = layers.Conv2D(16, 1, name="pointwise")(y)
    y = layers.Add(name="add")([x, y])
    s = layers.GlobalAveragePooling2D(name="squeeze")(y)
    s = layers.Dense(16, activation="sigmoid", name="excite")(s)
    y = layers.Multiply(name="scale")([y, layers.Reshape((1, 1, 16), name="reshape")(s)])
    y = layers.Concatenate(name="both")([y, x])
    y = layers.ReLU(name="relu")(y)
    y = layers.GlobalAveragePooling2D(name="pool")(y)
    y = layers.Dense(5, name="head")(y)
    return keras.Model(inputs, layers.Softmax(name="softmax")(y), name="residual")


def nested() -> keras.Model:
    """A backbone inside, Sequential inside that."""
    inner = keras.Sequential([keras.Input((8, 8, 8)), layers.Conv2D(8, 3, name="deep")], name="inner")
    source = keras.Input((8, 8, 1))
    backbone = keras.Model(source, inner(layers.Conv2D(8, 3, padding="same", name="first")(source)), name="backbone")
    inputs = keras.Input((8, 8, 1))
    x = layers.Flatten(name="flatten")(backbone(inputs))
    return keras.Model(inputs, layers.Dense(3, name="head")(x), name="outer")


def recurrent() -> keras.Model:
    words = keras.Input((6,), dtype="int32", name="words")
    series = keras.Input((6, 2), name="series")
    x = layers.Embedding(20, 8, name="embedding")(words)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both_ways")(x)
    y = layers.GRU(8, return_sequences=True, name="gru")(series)
    x = layers.Concatenate(name="joined")([x, y])
    x = layers.TimeDistributed(layers.Dense(6), name="each_step")(x)
    x = layers.RNN(layers.LSTMCell(4), name="cell")(x)
    return keras.Model({"words": words, "series": series}, layers.Dense(1, name="head")(x))


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 4)),
            layers.SeparableConv1D(8, 3, name="separable"),
            layers.SimpleRNN(6, name="simple"),
            layers.Dense(4, activation="sigmoid", name="head"),
        ]
    )


@pytest.mark.parametrize("build", [residual, nested, recurrent, sequential])
def test_a_copy_is_half_as_wide_as_deep_and_runs(build) -> None:
    model = build()
    copy = narrowed(model, 0.5)
    widths = {
        path: (getattr(layer, "filters", None) or getattr(layer, "units", None) or getattr(layer, "output_dim", None))
        for path, layer in walk_layers(model)
    }
    found = dict(walk_layers(copy))
    inputs = {path for path, layer in (*walk_layers(model), *found.items()) if isinstance(layer, layers.InputLayer)}
    assert set(found) - inputs == set(widths) - inputs
    for path, width in widths.items():
        if width is not None:
            now = getattr(found[path], "filters", None) or getattr(found[path], "units", None)
            now = now or found[path].output_dim
            assert now == (width if path == "head" else width // 2), path
    assert copy.count_params() < 0.65 * model.count_params()
    example = {tensor.name: np.ones((2, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs}
    example = example if len(example) > 1 else next(iter(example.values()))
    assert copy.predict(example, verbose=0).shape == model.predict(example, verbose=0).shape


@settings(max_examples=5)
@given(st.floats(0.05, 0.95))
def test_any_multiplier_gives_the_share_or_one(multiplier: float) -> None:
    copy = narrowed(residual(), multiplier)
    width = max(1, round(16 * multiplier))
    assert copy.get_layer("stem").filters == copy.get_layer("excite").units == width
    assert copy.get_layer("head").units == 5


def test_the_original_stays_and_the_copy_has_weights_of_its_own() -> None:
    model = nested()
    before = [np.array(value) for value in model.get_weights()]
    copy = narrowed(model, 0.9)
    copy.set_weights([value + 1 for value in copy.get_weights()])
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_statistics_of_the_data_and_frozen_layers_keep_their_weights() -> None:
    inputs = keras.Input((10, 4))
    statistics = layers.Normalization(name="statistics")
    statistics.adapt(np.random.default_rng(0).normal(3, 2, (50, 10, 4)))
    bank = layers.Dense(8, name="bank")
    x = bank(statistics(inputs))
    bank.trainable = False
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.LSTM(8, name="lstm")(x)))
    copy = narrowed(model, 0.5)
    for name in ("statistics", "bank"):
        for old, new in zip(model.get_layer(name).get_weights(), copy.get_layer(name).get_weights(), strict=True):
            assert np.array_equal(old, new)
    assert copy.get_layer("lstm").units == 4
    assert not copy.get_layer("bank").trainable


def test_a_layer_that_is_used_twice_stays_one_layer() -> None:
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    tower = layers.Dense(6, name="tower")
    both = layers.Subtract()([tower(first), tower(second)])
    copy = narrowed(keras.Model([first, second], layers.Dense(1, name="head")(both)), 0.5)
    assert copy.count_params() == (4 * 3 + 3) + (3 + 1)


def grouped_head() -> keras.Model:
    inputs = keras.Input((4, 4, 4))
    x = layers.Conv2D(8, 1, groups=4, name="grouped")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))


def test_groups_divide_the_new_width() -> None:
    assert narrowed(grouped_head(), 0.3).get_layer("grouped").filters == 4


def broken(kind: str) -> keras.Model:
    inputs = keras.Input((6, 8))
    x = layers.Dense(8, name="dense")(inputs)
    if kind == "skip":
        x = layers.Add(name="culprit")([inputs, x])
    elif kind == "attention":
        x = layers.MultiHeadAttention(2, 4, name="culprit")(x, x)
    elif kind == "reshape":
        x = layers.Reshape((48,), name="culprit")(x)
    elif kind == "custom":
        x = Scale(name="culprit")(x)
    elif kind == "frozen":
        culprit = layers.Dense(4, name="culprit")
        x = culprit(x)
        culprit.trainable = False
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))


class Scale(layers.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return x * self.factor


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("skip", "would become"),
        ("attention", "MultiHeadAttention"),
        ("reshape", ""),
        ("custom", "width of a Scale"),
        ("frozen", "weights are fixed"),
    ],
)
def test_what_cannot_be_scaled_is_refused_by_name(kind: str, reason: str) -> None:
    with pytest.raises(ModelError, match="cannot be made narrower") as caught:
        narrowed(broken(kind), 0.5)
    assert "'culprit'" in (caught.value.where or "")
    assert reason in (caught.value.why or "")


def test_a_width_of_one_is_not_spread_over_another_unseen() -> None:
    inputs = keras.Input((2,))
    x = layers.Add(name="add")([inputs, layers.Dense(2, name="dense")(inputs)])
    with pytest.raises(ModelError, match="cannot be made narrower"):
        narrowed(keras.Model(inputs, layers.Dense(1)(x)), 0.5)


def test_a_model_of_a_head_alone_is_refused() -> None:
    with pytest.raises(ModelError, match="no width to scale"):
        narrowed(keras.Sequential([keras.Input((3,)), layers.Dense(2)]), 0.5)


def test_every_layer_is_accounted_for() -> None:
    model = residual()
    told = {change.layer: change.change for change in width_changes(model, narrowed(model, 0.25))}
    assert told["stem"] == "16 -> 4 filters; new weights"
    assert told["head"].startswith("5 units kept")
    assert "follows" in told["depthwise"]
    assert set(told) == {path for path, layer in walk_layers(model) if layer.weights}
