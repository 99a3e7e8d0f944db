"""remove-dead, rule by rule: what a layer, a constant, a branch or a promise makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from penjing.compression.pruning.dead.removal import remove_dead
from penjing.compression.pruning.dead.technique import apply, explain
from penjing.compression.settings.dead_channels import RemoveDeadSettings
from removing import UNIT, assert_same_outputs, conv_pair, make_constant, randomize, removal_context

L = keras.layers

# ----------------------------------------------------------------------------------------------- rule by rule


def test_a_constant_goes_into_the_bias_behind_it() -> None:
    model, one, two = conv_pair({}, {"padding": "valid"})
    make_constant(one, 1, 1.25)
    kernel, bias = (np.array(weight) for weight in two.get_weights())
    removal = remove_dead(model, UNIT)
    assert removal.dead == {"one": {"kernel zero": 1}}
    expected = bias + 1.25 * kernel[:, :, 1].sum(axis=(0, 1))
    assert np.allclose(np.asarray(removal.model.get_layer("two").bias), expected, atol=1e-6)
    assert_same_outputs(model, removal.model)


def test_a_constant_behind_padding_stays_unless_it_is_zero() -> None:
    """At the borders the padding's zeros stand in the constant's place: no bias does that."""
    for value, left in ((1.25, 3), (0.0, 2)):
        model, one, _ = conv_pair({}, {"padding": "same"})
        make_constant(one, 1, value)
        removal = remove_dead(model, UNIT)
        assert removal.model.get_layer("one").filters == left
        assert_same_outputs(model, removal.model)


def test_a_layer_without_bias_gets_one_where_a_constant_needs_it() -> None:
    model, one, _ = conv_pair({}, {"padding": "valid", "use_bias": False})
    make_constant(one, 1, 1.25)
    removal = remove_dead(model, UNIT)
    assert removal.model.get_layer("two").use_bias
    assert removal.model.get_layer("one").filters == 2
    assert_same_outputs(model, removal.model)


def test_a_normalization_behind_takes_the_constant_where_there_is_no_bias() -> None:
    inputs = keras.Input((8, 8, 1))
    one = L.Conv2D(3, 1, name="one")
    x = L.Conv2D(2, 3, use_bias=False, name="two")(one(inputs))
    model = keras.Model(inputs, L.BatchNormalization(name="norm")(x))
    randomize(model, 1)
    make_constant(one, 1, 1.25)
    removal = remove_dead(model, UNIT)
    assert not removal.model.get_layer("two").use_bias
    assert removal.model.get_layer("one").filters == 2
    assert_same_outputs(model, removal.model)


def test_a_channel_that_is_constant_at_one_reader_only_stays() -> None:
    inputs = keras.Input((6,))
    first = L.Dense(4, name="first")
    x = first(inputs)
    outputs = L.Add()([L.Dense(2, name="after")(L.ReLU()(x)), L.Dense(2, name="before")(x)])
    model = keras.Model(inputs, outputs)
    randomize(model, 2)
    first.bias.assign([-50.0, 0.0, 0.0, 0.0])
    assert not remove_dead(model, UNIT).dead


def test_a_residual_channel_goes_only_where_both_branches_let_it() -> None:
    for both, left in ((False, 4), (True, 3)):
        inputs = keras.Input((6,))
        one, two = L.Dense(4, name="one"), L.Dense(4, name="two")
        x = L.ReLU()(L.Add()([one(inputs), two(inputs)]))
        model = keras.Model(inputs, L.Dense(2)(x))
        randomize(model, 2)
        one.bias.assign([-50.0, 0.0, 0.0, 0.0])
        two.bias.assign([-50.0 if both else 49.0, 0.0, 0.0, 0.0])
        removal = remove_dead(model, UNIT)
        assert removal.model.get_layer("one").units == left
        assert removal.model.get_layer("two").units == left
        assert_same_outputs(model, removal.model)


def test_what_feeds_only_dead_channels_dies_with_them() -> None:
    """The second layer's only reader of channel 0 is a channel that the ReLU kills."""
    inputs = keras.Input((6,))
    first, second = L.Dense(4, name="first"), L.Dense(3, activation="relu", name="second")
    model = keras.Model(inputs, L.Dense(2)(second(first(inputs))))
    randomize(model, 3)
    kernel = np.array(second.kernel)
    kernel[0, 1:] = 0.0
    second.kernel.assign(kernel)
    second.bias.assign([-90.0, 0.0, 0.0])
    removal = remove_dead(model, UNIT)
    assert removal.dead["first"] == {"read by no later layer": 1}
    assert removal.dead["second"] == {"relu never positive": 1}
    assert_same_outputs(model, removal.model)


def test_a_branch_that_is_multiplied_by_zero_falls_away() -> None:
    inputs = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, padding="same", activation="tanh", name="stem")(inputs)
    branch = L.Conv2D(4, 3, padding="same", name="branch")(x)
    gate = L.Dense(4, activation="hard_sigmoid", name="gate")(L.GlobalAveragePooling2D(keepdims=True)(x))
    x = L.Add(name="sum")([x, L.Multiply(name="gated")([branch, gate])])
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(x)))
    randomize(model, 5)
    model.get_layer("gate").bias.assign([-30.0] * 4)
    removal = remove_dead(model, UNIT)
    left = {layer.name for layer in removal.model.layers}
    assert not {"branch", "gate", "gated", "sum"} & left
    assert removal.idle["sum"] == "the other branch is zero"
    assert_same_outputs(model, removal.model)


def branched(second: Any, *, tail: Any = None, bias: bool = True, first: Any = None) -> keras.Model:
    """conv + (a branch whose kernel is zero: its bias everywhere), read by `second`."""
    inputs = keras.Input((8, 8, 2))
    first = first or L.Conv2D(3, 1, use_bias=bias, name="first")
    branch = L.Conv2D(3, 1, name="branch")
    x = L.Add(name="sum")([first(inputs), branch(inputs)])
    x = second(x if tail is None else tail(x))
    model = keras.Model(inputs, L.Conv2D(2, 1, name="head")(x))
    randomize(model, 4)
    branch.set_weights([np.zeros((1, 1, 2, 3)), np.array([0.5, -1.25, 2.0])])
    return model


@pytest.mark.parametrize("bias", [True, False])
def test_a_constant_branch_goes_into_the_bias_behind_the_addition(bias: bool) -> None:
    model = branched(L.Conv2D(4, 3, use_bias=bias, name="second"))
    kernel = np.asarray(model.get_layer("second").kernel)
    old = np.asarray(model.get_layer("second").bias) if bias else 0.0
    removal = remove_dead(model, UNIT)
    assert removal.idle == {"sum": "the other branch is constant and went into 'second'"}
    assert {"branch", "sum"}.isdisjoint(layer.name for layer in removal.model.layers)
    expected = old + np.array([0.5, -1.25, 2.0]) @ kernel.sum(axis=(0, 1))
    assert np.allclose(np.asarray(removal.model.get_layer("second").bias), expected, atol=1e-5)
    assert_same_outputs(model, removal.model)


@pytest.mark.parametrize("bias", [True, False])
def test_behind_an_activation_or_in_front_of_padding_it_goes_into_the_bias_before(bias: bool) -> None:
    for second, tail in (
        (L.Conv2D(4, 3, name="second"), L.Activation("tanh", name="curve")),
        (L.Conv2D(4, 3, padding="same", name="second"), None),
    ):
        model = branched(second, tail=tail, bias=bias)
        old = np.asarray(model.get_layer("first").bias) if bias else 0.0
        removal = remove_dead(model, UNIT)
        assert removal.idle == {"sum": "the other branch is constant and went into 'first'"}
        expected = old + np.array([0.5, -1.25, 2.0])
        assert np.allclose(np.asarray(removal.model.get_layer("first").bias), expected, atol=1e-6)
        assert_same_outputs(model, removal.model)


def test_a_constant_branch_that_no_bias_can_take_stays() -> None:
    first = L.Conv2D(3, 1, activation="tanh", name="first")
    model = branched(L.Conv2D(4, 3, padding="same", name="second"), first=first)
    removal = remove_dead(model, UNIT)
    assert "sum" in [layer.name for layer in removal.model.layers]
    assert_same_outputs(model, removal.model)


def test_a_constant_is_subtracted_where_the_branch_is_and_certified(tmp_path: Path) -> None:
    inputs = keras.Input((5,))
    norm, branch = L.BatchNormalization(name="norm"), L.Dense(5, name="branch")
    x = L.Subtract(name="difference")([norm(inputs), branch(inputs)])
    model = keras.Model(inputs, L.Dense(2, name="head")(L.Activation("tanh", name="curve")(x)))
    randomize(model, 6)
    branch.set_weights([np.zeros((5, 5)), np.arange(5.0) - 2.2])
    told = {change.layer: change.change for change in explain(model, RemoveDeadSettings(input_range=(-1.0, 1.0)))}
    assert told["difference"] == "left out: the other branch is constant and went into 'norm'"
    outcome = apply(removal_context(model, tmp_path), RemoveDeadSettings(input_range=(-1.0, 1.0)))
    document = json.loads((tmp_path / "certificate.json").read_text())
    left_out = {layer["layer"]: layer["left_out"] for layer in document["layers"]}
    assert left_out["difference"] == "the other branch is constant and went into 'norm'"
    assert left_out["branch"] == "no later layer reads it"
    assert document["parameters_removed"] == 30
    assert document["largest_difference_on_random_inputs"] <= 1e-5
    assert_same_outputs(model, outcome.model)


def test_layers_of_nested_models_that_do_nothing_are_left_out() -> None:
    entrance = keras.Input((6, 6, 3), name="entrance")
    x = L.ZeroPadding2D(0, name="pad")(L.ReLU(name="again")(entrance))
    deep = keras.Model(entrance, L.Conv2D(4, 3, name="deep_conv")(x), name="deep")
    stack = keras.Sequential(
        [keras.Input((4, 4, 4)), L.Rescaling(1.0, name="scale"), L.Conv2D(3, 3, name="stack_conv")], name="stack"
    )
    first, second = keras.Input((6, 6, 2), name="first"), keras.Input((6, 6, 2), name="second")
    relu = L.Conv2D(3, 1, activation="relu", name="conv")
    sides = [stack(deep(relu(side))) for side in (first, second)]
    model = keras.Model([first, second], L.Dense(2, name="head")(L.Concatenate(name="both")(sides)))
    randomize(model, 5)
    removal = remove_dead(model, UNIT * 2)
    assert set(removal.idle) == {"deep/again", "deep/pad", "stack/scale"}
    assert [layer.name for layer in removal.model.get_layer("deep").layers[1:]] == ["deep_conv"]
    assert_same_outputs(model, removal.model)
    # One of the calls may be negative: the ReLU does something there.
    open_side = keras.Model(
        [first, second], L.Concatenate(name="both")([deep(relu(first)), deep(L.Conv2D(3, 1)(second))])
    )
    assert set(remove_dead(open_side, UNIT * 2).idle) == {"deep/pad"}


def test_layers_that_do_nothing_are_left_out_and_dropout_stays() -> None:
    inputs = keras.Input((6, 6, 2))
    x = L.Rescaling(1.0, name="scale")(inputs)
    x = L.ZeroPadding2D(0, name="pad")(x)
    x = L.Conv2D(3, 3, activation="relu", name="conv")(x)
    x = L.ReLU(name="again")(x)
    x = L.MaxPooling2D(1, name="window")(x)
    x = L.Dropout(0.5, name="dropout")(x)
    x = L.Activation("linear", name="linear")(x)
    model = keras.Model(inputs, L.Dense(2, name="head")(L.Flatten(name="flatten")(x)))
    randomize(model, 5)
    removal = remove_dead(model, UNIT)
    assert set(removal.idle) == {"scale", "pad", "again", "window", "linear"}
    assert [layer.name for layer in removal.model.layers[1:]] == ["conv", "dropout", "flatten", "head"]
    assert_same_outputs(model, removal.model)


def test_a_sequential_and_a_nested_model_are_handled(tmp_path: Path) -> None:
    backbone = keras.Sequential([keras.Input((6,)), L.Dense(4, name="inner"), L.ReLU(), L.Dense(3)], name="backbone")
    model = keras.Sequential([keras.Input((6,)), L.Activation("linear", name="idle"), backbone, L.Dense(2)])
    randomize(model, 5)
    backbone.get_layer("inner").bias.assign([-30.0, 0.0, 0.0, 0.0])
    removal = remove_dead(model, UNIT)
    assert removal.dead == {"backbone/inner": {"relu never positive": 1}}
    assert set(removal.idle) == {"idle"}
    assert_same_outputs(model, removal.model)


def test_recurrent_layers_take_constants_into_their_bias() -> None:
    for layer in (L.LSTM, L.GRU, L.SimpleRNN):
        inputs = keras.Input((5, 3))
        dense = L.Dense(4, name="first")
        model = keras.Model(inputs, L.Dense(2)(layer(3, name="memory")(dense(inputs))))
        randomize(model, 6)
        make_constant(dense, 2, 0.8)
        removal = remove_dead(model, UNIT)
        assert removal.dead == {"first": {"kernel zero": 1}}
        assert_same_outputs(model, removal.model)


def test_a_recurrent_layer_without_bias_gets_one_of_zeros() -> None:
    """Keras starts the forget gate's bias at one."""
    inputs = keras.Input((5, 3))
    dense = L.Dense(4, name="first")
    model = keras.Model(inputs, L.Dense(2)(L.LSTM(3, use_bias=False, name="memory")(dense(inputs))))
    randomize(model, 6)
    make_constant(dense, 2, 0.8)
    removal = remove_dead(model, UNIT)
    assert removal.model.get_layer("memory").cell.use_bias
    assert_same_outputs(model, removal.model)


def test_channels_that_masking_looks_at_stay() -> None:
    """Steps in which all channels are zero do not count; without the constant channel there would be some."""
    for behind in (L.LSTM(3), L.Flatten()):
        inputs = keras.Input((5, 3))
        dense = L.Dense(2, activation="relu", name="first")
        model = keras.Model(inputs, L.Dense(2)(behind(L.Masking(0.0)(dense(inputs)))))
        randomize(model, 6)
        dense.bias.assign([-0.3, 0.0])
        make_constant(dense, 1, 0.8)
        removal = remove_dead(model, UNIT)
        assert removal.model.get_layer("first").units == 2
        assert_same_outputs(model, removal.model)


def test_a_dead_network_shrinks_to_one_channel_a_layer() -> None:
    inputs = keras.Input((6,))
    x = L.Dense(5, name="first", activation="relu")(inputs)
    dead = L.Dense(4, name="dead", activation="relu")
    model = keras.Model(inputs, L.Dense(2)(dead(x)))
    randomize(model, 6)
    dead.bias.assign([-40.0] * 4)
    removal = remove_dead(model, UNIT)
    assert [layer.units for layer in removal.model.layers if isinstance(layer, L.Dense)] == [1, 1, 2]
    assert_same_outputs(model, removal.model)


def test_what_stays_for_form_is_read_by_nothing() -> None:
    """relu(20 - 10 x) is dead for x near 5.5. It stays, as the only channel, but x goes, and then it is not dead."""
    inputs = keras.Input((2,))
    first, dead = L.Dense(3, name="first"), L.Dense(1, activation="relu", name="dead")
    model = keras.Model(inputs, L.Add()([L.Dense(2, name="head")(dead(first(inputs))), L.Dense(2)(inputs)]))
    randomize(model, 1)
    first.set_weights([np.full((2, 3), 0.1), np.full(3, 5.5)])
    dead.set_weights([np.full((3, 1), -10.0), np.array([20.0])])
    removal = remove_dead(model, UNIT)
    assert removal.model.get_layer("first").units == 1
    assert not np.asarray(removal.model.get_layer("head").kernel).any()
    assert_same_outputs(model, removal.model)


@keras.saving.register_keras_serializable(package="penjing_tests")
class Flipped(L.Layer):
    """Turns the channels around: a layer that penjing knows nothing of."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.flip(inputs, -1) * 50.0


def test_an_unknown_layer_ends_the_knowledge_and_nothing_else() -> None:
    """Before it the channels stay, since it may look at all of them; behind it the proof starts anew."""
    inputs = keras.Input((6,))
    before, behind = L.Dense(4, activation="relu", name="before"), L.Dense(4, activation="relu", name="behind")
    x = L.Activation("sigmoid")(Flipped()(before(inputs)))
    model = keras.Model(inputs, L.Dense(2)(behind(x)))
    randomize(model, 2)
    for layer in (before, behind):
        layer.bias.assign([-40.0, 0.0, 0.0, 0.0])
    removal = remove_dead(model, UNIT)
    assert removal.dead == {"behind": {"relu never positive": 1}}
    assert_same_outputs(model, removal.model)


def test_a_model_with_a_call_of_its_own_is_left_alone(tmp_path: Path) -> None:
    class Doubled(keras.Model):
        def call(self, inputs: Any) -> Any:
            return 2.0 * super().call(inputs)

    inputs = keras.Input((6,))
    dense = L.Dense(4, activation="relu", name="dense")
    model = Doubled(inputs, L.Dense(2)(dense(inputs)))
    dense.bias.assign([-40.0, 0.0, 0.0, 0.0])
    outcome = apply(removal_context(model, tmp_path), RemoveDeadSettings())
    assert outcome.model is model
    (change,) = explain(model, RemoveDeadSettings())
    assert "a call of its own" in change.change


def test_words_as_inputs_have_a_range_of_whole_numbers(tmp_path: Path) -> None:
    inputs = keras.Input((7,), dtype="int32")
    embedding = L.Embedding(20, 5, name="words")
    model = keras.Model(inputs, L.Dense(2)(L.GRU(4)(embedding(inputs))))
    randomize(model, 2)
    table = np.array(embedding.embeddings)
    table[:, 3] = 0.6
    embedding.embeddings.assign(table)
    x = np.random.default_rng(0).integers(0, 20, (30, 7))
    outcome = apply(removal_context(model, tmp_path, x), RemoveDeadSettings())
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    assert certificate["channels_by_rule"] == {"embedding constant": 1}
    assert list(certificate["input_range"].values()) == [[0.0, 19.0]]
    assert outcome.model.get_layer("words").output_dim == 4


def test_where_something_is_promised_no_layer_goes_and_no_weight_changes() -> None:
    inputs = keras.Input((6,))
    first, second = L.Dense(5, activation="tanh", name="first"), L.Dense(4, activation="relu", name="second")
    branch = L.Dense(3, name="third")(second(first(inputs)))
    model = keras.Model(inputs, L.Dense(2, name="head")(L.Add()([L.Dense(3, name="other")(inputs), branch])))
    randomize(model, 6)
    second.bias.assign([-40.0] * 4)
    removal = remove_dead(model, UNIT, promised=True)
    assert [removal.model.get_layer(name).units for name in ("first", "second", "third")] == [5, 1, 3]
    kept = np.asarray(model.get_layer("third").kernel)[removal.kept["third"][0]]
    assert np.array_equal(kept, np.asarray(removal.model.get_layer("third").kernel))
    assert_same_outputs(model, removal.model)


@keras.saving.register_keras_serializable(package="penjing_tests")
class Nameless(keras.layers.Layer):
    """A layer whose weight has no name of its own, as LayerScale of keras.applications."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.factor


def test_weights_without_names_survive_what_is_left_out_beside_them() -> None:
    inputs = keras.Input((4,))
    x = keras.layers.Activation("linear", name="idle")(keras.layers.Dense(5, name="dense")(inputs))
    x = keras.layers.Lambda(lambda x: x + 1.0, name="code")(Nameless(name="scale")(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    model.get_layer("scale").factor.assign([1.0, 2.0, 3.0, 4.0, 5.0])
    removal = remove_dead(model, [(-1.0, 1.0)])
    assert "idle" in removal.idle
    x = np.random.default_rng(0).uniform(-1, 1, (16, 4)).astype("float32")
    np.testing.assert_array_equal(model(x), removal.model(x))
