"""Removing channels is what zeroing them at their readers is, on every kind of layer and on random graphs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penjing.compression.structure.cost import CostModel
from penjing.compression.structure.graph import ChannelGraph
from penjing.compression.structure.surgery import mask_atoms, remove_atoms
from penjing.contract import ExportSettings
from penjing.errors import ModelError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.measure.macs import count_macs

L = keras.layers


def image(*shape: int) -> keras.KerasTensor:
    return keras.Input(shape or (8, 8, 3))


def squeeze_excite(x):
    s = L.GlobalAveragePooling2D(keepdims=True)(x)
    s = L.Conv2D(4, 1, activation="relu")(s)
    s = L.Conv2D(x.shape[-1], 1, activation="sigmoid")(s)
    return L.Multiply()([x, s])


def dense_squeeze_excite(x):
    s = L.GlobalAveragePooling2D()(x)
    s = L.Dense(x.shape[-1], activation="sigmoid")(L.Dense(4, activation="relu")(s))
    return L.Multiply()([x, L.Reshape((1, 1, x.shape[-1]))(s)])


def attention_block(x):
    y = L.MultiHeadAttention(4, 3, value_dim=5)(x, x)
    x = L.Add()([x, y])
    y = L.Dense(x.shape[-1])(L.Dense(16, activation="gelu")(L.LayerNormalization()(x)))
    return L.Add()([x, y])


def shared(x):
    layer = L.Conv2D(6, 3, padding="same")
    return L.Add()([layer(x), layer(L.ReLU()(x))])


def nested(x):
    inner_in = keras.Input(x.shape[1:])
    y = L.Conv2D(10, 3, padding="same", name="first")(inner_in)
    y = L.BatchNormalization(name="norm")(y)
    inner = keras.Model(inner_in, L.Conv2D(x.shape[-1], 1, name="second")(y), name="inner")
    return L.Add()([x, inner(inner(x))])


def shuffle(x):
    x = L.Reshape((8, 8, 2, x.shape[-1] // 2))(x)
    x = L.Permute((1, 2, 4, 3))(x)
    return L.Reshape((8, 8, -1))(x)


def hard_swish_by_operations(x):
    return x * keras.ops.relu6(x + 3.0) * (1.0 / 6.0)


def sliced(x):
    """All channels of some places, in the ways that they can be written."""
    x = L.Conv2D(7, 3)(x[:, 1:-1, ::2])
    x = L.Conv2D(6, 1)(x[:, None, ..., :][:, 0, :3])
    return x[..., 0, :] - x[:, :, -1]


def reshaped_by_operations(x):
    x = keras.ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))
    x = keras.ops.expand_dims(L.Dense(6)(x), [1, 3])
    return keras.ops.squeeze(L.ReLU()(x), 3)


CONV = [
    lambda x: L.Conv2D(8, 3, padding="same", activation="relu")(x),
    lambda x: L.BatchNormalization()(x),
]
TO_VECTOR = lambda x: L.GlobalAveragePooling2D()(x)  # noqa: E731
KINDS = {
    "conv": ((8, 8, 3), [*CONV, lambda x: L.Conv2D(6, 3, strides=2, padding="same")(x), TO_VECTOR]),
    "conv1d": ((12, 3), [lambda x: L.Conv1D(8, 3)(x), lambda x: L.Conv1D(6, 3, padding="causal")(x), L.Flatten()]),
    "conv3d": ((4, 4, 4, 2), [lambda x: L.Conv3D(6, 2)(x), lambda x: L.Conv3D(4, 2)(x), L.Flatten()]),
    "transposed": (
        (4, 4, 2),
        [lambda x: L.Conv2DTranspose(6, 3, strides=2)(x), lambda x: L.Conv2D(3, 3)(x), L.Flatten()],
    ),
    "depthwise": ((8, 8, 3), [*CONV, lambda x: L.DepthwiseConv2D(3, depth_multiplier=2)(x), L.Flatten()]),
    "separable": ((8, 8, 3), [*CONV, lambda x: L.SeparableConv2D(6, 3, depth_multiplier=2)(x), TO_VECTOR]),
    "grouped": ((8, 8, 3), [*CONV, lambda x: L.Conv2D(12, 3, groups=4)(x), L.Flatten()]),
    "depthwise as groups": ((8, 8, 3), [*CONV, lambda x: L.Conv2D(16, 3, groups=8)(x), L.Flatten()]),
    "dense": ((10,), [lambda x: L.Dense(12, activation="relu")(x), lambda x: L.Dense(7)(x)]),
    "group norm": ((8, 8, 3), [*CONV, L.GroupNormalization(4), lambda x: L.Conv2D(4, 1)(x), L.Flatten()]),
    "instance norm": ((8, 8, 3), [*CONV, L.GroupNormalization(-1), lambda x: L.Conv2D(4, 1)(x), L.Flatten()]),
    "prelu shared": ((8, 8, 3), [*CONV, lambda x: L.PReLU(shared_axes=[1, 2])(x), L.Flatten()]),
    "prelu": ((8, 8, 3), [*CONV, lambda x: L.PReLU()(x), L.Flatten()]),
    "squeeze-excite": ((8, 8, 3), [*CONV, squeeze_excite, TO_VECTOR]),
    "squeeze-excite by dense": ((8, 8, 3), [*CONV, dense_squeeze_excite, TO_VECTOR]),
    "padding and pooling": ((8, 8, 3), [*CONV, L.ZeroPadding2D(1), L.MaxPooling2D(2), L.UpSampling2D(2), L.Flatten()]),
    "permute": ((8, 8, 3), [*CONV, L.Permute((3, 1, 2)), L.Flatten()]),
    "shuffle": ((8, 8, 3), [*CONV, shuffle, lambda x: L.Conv2D(4, 1)(x), L.Flatten()]),
    "embedding": ((9,), [lambda x: L.Embedding(20, 6)(x), lambda x: L.Conv1D(5, 3)(x), L.Flatten()]),
    "lstm": ((9, 3), [lambda x: L.LSTM(6, return_sequences=True)(x), lambda x: L.LSTM(5)(x)]),
    "gru": ((9, 3), [lambda x: L.GRU(6, return_sequences=True)(x), lambda x: L.GRU(5, reset_after=False)(x)]),
    "rnn": ((9, 3), [lambda x: L.SimpleRNN(6, return_sequences=True)(x), lambda x: L.SimpleRNN(5)(x)]),
    "bidirectional": ((9, 3), [lambda x: L.Bidirectional(L.LSTM(6, return_sequences=True))(x), lambda x: L.GRU(5)(x)]),
    "bidirectional sum": ((9, 3), [lambda x: L.Bidirectional(L.GRU(6), merge_mode="sum")(x)]),
    "time distributed": (
        (5, 6, 6, 2),
        [lambda x: L.TimeDistributed(L.Conv2D(6, 3))(x), L.TimeDistributed(L.Flatten()), lambda x: L.LSTM(4)(x)],
    ),
    "attention": ((6, 4), [lambda x: L.Dense(8)(x), attention_block, L.GlobalAveragePooling1D()]),
    "shared": ((8, 8, 3), [*CONV, shared, TO_VECTOR]),
    "nested": ((8, 8, 3), [*CONV, nested, TO_VECTOR]),
    "operations": ((8, 8, 3), [*CONV, hard_swish_by_operations, TO_VECTOR]),
    "slices": ((8, 8, 3), [*CONV, sliced, L.Flatten()]),
    "last step": ((9, 3), [lambda x: L.Conv1D(6, 3, padding="causal")(x), lambda x: L.Dense(5)(x[:, -1])]),
    "reshaped by operations": ((8, 8, 3), [*CONV, reshaped_by_operations, L.Flatten()]),
    "softmax inside": ((8, 8, 3), [*CONV, lambda x: L.Conv2D(6, 1, activation="softmax")(x), TO_VECTOR]),
}


def build(kind: str) -> keras.Model:
    keras.utils.set_random_seed(4)
    shape, parts = KINDS[kind]
    inputs = keras.Input(shape, dtype="int32" if kind == "embedding" else None)
    x = inputs
    for part in parts:
        x = type(part).from_config(part.get_config())(x) if isinstance(part, L.Layer) else part(x)
    model = keras.Model(inputs, L.Dense(3, name="head")(x))
    randomize(model)
    return model


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Weights and statistics that differ from channel to channel, so that a swapped channel shows."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.name:
            continue
        values = generator.normal(0, 0.5, variable.shape)
        if "variance" in variable.name:
            values = generator.uniform(0.5, 2.0, variable.shape)
        variable.assign(values)


def example(model: keras.Model, count: int = 4) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    return [
        generator.integers(0, 20, (count, *tensor.shape[1:])).astype("int32")
        if "int" in str(tensor.dtype)
        else generator.normal(size=(count, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    ]


def outputs(model: keras.Model, x: list[np.ndarray]) -> list[np.ndarray]:
    made = model(x if len(x) > 1 else x[0], training=False)
    return [np.asarray(each) for each in (made if isinstance(made, (list, tuple)) else [made])]


def some_atoms(graph: ChannelGraph, share: float, seed: int) -> list[int]:
    """A share of every group's free atoms, at random, leaving each layer something."""
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    for group in graph.groups:
        free = [int(atom) for atom in group.atoms if graph.why_protected(atom) is None]
        chosen += generator.permutation(free)[: int(len(free) * share)].tolist()
    for use in graph.uses:
        atoms = set(graph.atom_of[use.units].tolist())
        if atoms <= set(chosen):
            chosen = [atom for atom in chosen if atom not in atoms or atom != min(atoms)]
    return chosen


def assert_equal(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1e-3, np.abs(a).max()))


@pytest.mark.parametrize("kind", ["slices", "last step", "reshaped by operations"])
def test_operations_that_move_channels_keep_none_of_them(kind: str) -> None:
    graph = ChannelGraph.from_model(build(kind))
    assert [group.makers for group in graph.groups if group.protected] == [("head",)]


def test_channels_that_are_taken_by_number_stay() -> None:
    inputs = keras.Input((6,))
    x = L.Dense(8, name="both")(inputs)
    model = keras.Model(inputs, L.Dense(2, name="head")(L.Dense(4, name="free")(x[:, :4] * x[..., 4:])))
    graph = ChannelGraph.from_model(model)
    reasons = {group.makers[0]: group.protected for group in graph.groups}
    assert "takes channels by their numbers" in (reasons["both"] or "")
    assert reasons["free"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_smaller_model_computes_what_the_masked_one_does(kind: str) -> None:
    model = build(kind)
    graph = ChannelGraph.from_model(model)
    gone = some_atoms(graph, 0.5, 2)
    assert gone, graph.explain(graph.groups[0])
    smaller, kept = remove_atoms(graph, gone)
    assert smaller.count_params() < model.count_params()
    x = example(model)
    assert_equal(outputs(mask_atoms(graph, gone), x), outputs(smaller, x))
    # Zeroing matters: else any surgery would pass.
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(outputs(model, x), outputs(smaller, x), strict=True))
    costs = CostModel(graph)
    assert costs.parameters(np.array([], int)) == model.count_params()
    assert costs.parameters(np.array(gone)) == smaller.count_params()
    assert costs.macs(np.array(gone)) == CostModel(ChannelGraph.from_model(smaller)).macs(np.array([], int))
    assert kept


@pytest.mark.parametrize("kind", ["conv", "conv1d", "depthwise", "separable", "transposed", "dense", "squeeze-excite"])
def test_planned_macs_are_those_of_the_file(kind: str) -> None:
    model = build(kind)
    graph = ChannelGraph.from_model(model)
    gone = some_atoms(graph, 0.5, 3)
    smaller, _ = remove_atoms(graph, gone)
    for made, removed in ((model, []), (smaller, gone)):
        file = FileGraph.from_bytes(to_litert(made, ExportSettings()))
        assert CostModel(graph).macs(np.array(removed, int)) == count_macs(file).total


def test_channels_first_is_understood() -> None:
    inputs = keras.Input((3, 8, 8))
    x = L.Conv2D(6, 3, data_format="channels_first", name="conv")(inputs)
    x = L.BatchNormalization(axis=1)(x)
    x = L.Flatten(data_format="channels_first")(x)
    model = keras.Model(inputs, L.Dense(2)(x))
    graph = ChannelGraph.from_model(model)
    assert graph.labels(model.layers[1].output).axis == 0
    smaller, _ = remove_atoms(graph, some_atoms(graph, 0.5, 0))
    assert smaller.get_layer("conv").filters == 3
    assert smaller.layers[-1].kernel.shape == (3 * 36, 2)


def test_several_inputs_and_outputs() -> None:
    a, b = keras.Input((8, 8, 2), name="a"), keras.Input((5,), name="b")
    x = L.Conv2D(8, 3, activation="relu", name="conv")(a)
    y = L.Dense(8, activation="relu", name="dense")(b)
    joined = L.Multiply()([L.GlobalMaxPooling2D()(x), y])
    model = keras.Model([a, b], [L.Dense(2, name="one")(joined), L.Dense(3, name="two")(L.Concatenate()([joined, y]))])
    randomize(model)
    graph = ChannelGraph.from_model(model)
    first = graph.groups[0]
    assert set(first.makers) == {"conv", "dense"} and first.protected is None
    gone = some_atoms(graph, 0.5, 0)
    smaller, _ = remove_atoms(graph, gone)
    x = example(model)
    assert_equal(outputs(mask_atoms(graph, gone), x), outputs(smaller, x))
    assert {group.protected for group in graph.groups[1:]} == {"output 'one' of the model", "output 'two' of the model"}


def test_a_group_explains_itself() -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", name="left")(inputs)
    y = L.Conv2D(8, 3, padding="same", name="right")(inputs)
    z = L.Add(name="sum")([x, y])
    model = keras.Model(inputs, L.Dense(2, name="head")(L.GlobalAveragePooling2D()(z)))
    graph = ChannelGraph.from_model(model, protect=["nothing*"])
    text = "\n".join(graph.explain(graph.groups[0]))
    assert "made by left, right" in text
    assert "joined in 'sum' (Add)" in text
    assert "head: kernel, axis 0 (reads them)" in text
    protected = ChannelGraph.from_model(model, protect=["left"])
    assert protected.groups[0].protected == "'left' fits 'protect'"
    with pytest.raises(ModelError, match="must stay"):
        remove_atoms(protected, [int(protected.groups[0].atoms[0])])


def test_what_normalizes_over_channels_keeps_them_and_says_so() -> None:
    inputs = keras.Input((6, 4))
    x = L.Dense(8, name="stream")(inputs)
    x = L.LayerNormalization(name="norm")(x)
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(x)))
    assert "'norm' normalizes over the channels" in (ChannelGraph.from_model(model).groups[0].protected or "")
    loose = ChannelGraph.from_model(model, renormalize=True)
    smaller, _ = remove_atoms(loose, [int(loose.groups[0].atoms[0])])
    assert smaller.get_layer("norm").gamma.shape == (7,)


@keras.saving.register_keras_serializable(package="penjing_tests")
class Mystery(L.Layer):
    def call(self, x):
        return x + keras.ops.flip(x, -1)


@keras.saving.register_keras_serializable(package="penjing_tests")
class Overriding(L.Dense):
    def call(self, x):
        return super().call(keras.ops.flip(x, -1))


@pytest.mark.parametrize(
    "layer", [Mystery(name="odd"), Overriding(8, name="odd"), L.Lambda(lambda x: x[..., ::-1], name="odd")]
)
def test_a_layer_without_a_rule_keeps_the_channels_around_it(layer) -> None:
    inputs = keras.Input((8,))
    x = L.Dense(8, name="before")(inputs)
    x = L.Dense(6, name="after")(layer(x))
    model = keras.Model(inputs, L.Dense(2)(x))
    graph = ChannelGraph.from_model(model)
    by_maker = {group.makers[0]: group.protected for group in graph.groups}
    assert "'odd'" in (by_maker["before"] or "")
    assert by_maker["after"] is None


def test_a_model_with_code_in_it_can_be_rebuilt() -> None:
    inputs = keras.Input((8,))
    x = L.Lambda(lambda x: x * 2.0, name="odd")(inputs)
    x = L.Dense(6, activation="relu", name="after")(x)
    model = keras.Model(inputs, L.Dense(2)(x))
    graph = ChannelGraph.from_model(model)
    gone = some_atoms(graph, 0.5, 0)
    smaller, _ = remove_atoms(graph, gone)
    assert smaller.get_layer("after").units == 3
    assert_equal(outputs(mask_atoms(graph, gone), example(model)), outputs(smaller, example(model)))


def test_masking_looks_at_all_channels() -> None:
    inputs = keras.Input((5, 3))
    x = L.Dense(6, activation="relu", name="before")(inputs)
    x = L.LSTM(4, name="after")(L.Masking(name="mask")(x))
    graph = ChannelGraph.from_model(keras.Model(inputs, L.Dense(2)(x)))
    protected = {group.makers[0]: group.protected for group in graph.groups}
    assert protected["before"] is not None and protected["after"] is None


def test_a_layer_is_never_emptied() -> None:
    model = build("dense")
    graph = ChannelGraph.from_model(model)
    with pytest.raises(ModelError, match="without channels"):
        remove_atoms(graph, graph.groups[0].atoms.tolist())


@st.composite
def random_models(draw: st.DrawFn) -> keras.Model:
    """Functional graphs with branches, merges, concatenation, depthwise and shared layers."""
    keras.utils.set_random_seed(draw(st.integers(0, 99)))
    inputs = keras.Input((6, 6, 2))
    tensors = [L.Conv2D(draw(st.integers(2, 6)), 3, padding="same")(inputs)]
    shared_layers: list[tuple[L.Layer, int]] = []
    for _ in range(draw(st.integers(2, 8))):
        x = draw(st.sampled_from(tensors))
        channels = x.shape[-1]
        same = [other for other in tensors if other.shape[-1] == channels]
        kind = draw(
            st.sampled_from(["conv", "depthwise", "norm", "relu", "add", "multiply", "concatenate", "shared", "excite"])
        )
        if kind == "conv":
            layer = L.Conv2D(draw(st.integers(2, 6)), draw(st.sampled_from([1, 3])), padding="same")
            shared_layers.append((layer, channels))
            made = layer(x)
        elif kind == "depthwise":
            made = L.DepthwiseConv2D(3, padding="same", depth_multiplier=draw(st.integers(1, 2)))(x)
        elif kind == "norm":
            made = L.BatchNormalization()(x)
        elif kind == "relu":
            made = L.Activation(draw(st.sampled_from(["relu", "sigmoid", "tanh"])))(x)
        elif kind in ("add", "multiply"):
            made = (L.Add if kind == "add" else L.Multiply)()(
                [x, draw(st.sampled_from(same)), draw(st.sampled_from(same))]
            )
        elif kind == "concatenate":
            made = L.Concatenate()([x, draw(st.sampled_from(tensors))])
        elif kind == "shared":
            fitting = [layer for layer, size in shared_layers if size == channels]
            made = draw(st.sampled_from(fitting))(x) if fitting else L.ReLU()(x)
        else:
            made = squeeze_excite(x)
        tensors.append(made)
    ends = [L.GlobalAveragePooling2D()(tensors[-1]), L.Flatten()(draw(st.sampled_from(tensors)))]
    model = keras.Model(inputs, L.Dense(3)(L.Concatenate()(ends)))
    randomize(model, draw(st.integers(0, 99)))
    return model


READERS = (L.Dense, L.Conv2D)


def zeroed_before_readers(graph: ChannelGraph, gone: list[int]) -> keras.Model:
    """The model with a mask on the inputs of every layer that mixes channels, made from the labels alone."""
    masks = {}
    for layer in graph.model.layers:
        if isinstance(layer, READERS) and not isinstance(layer, L.DepthwiseConv2D):
            for node in layer._inbound_nodes:
                labels = graph.labels(node.input_tensors[0])
                if labels is not None:
                    masks[layer.name] = (~np.isin(graph.atom_of[labels.units], gone)).astype("float32")

    def call(layer, *args, **kwargs):
        if layer.name in masks:
            args = (L.Rescaling(masks[layer.name].tolist())(args[0]), *args[1:])
        return layer(*args, **kwargs)

    copy = keras.models.clone_model(
        graph.model, call_function=call, clone_function=lambda layer: type(layer).from_config(layer.get_config())
    )
    sources = {layer.name: layer for layer in graph.model.layers}
    for layer in copy.layers:
        if layer.name in sources:
            layer.set_weights(sources[layer.name].get_weights())
    return copy


@settings(max_examples=25, deadline=None)
@given(random_models(), st.floats(0.1, 0.9), st.integers(0, 9))
def test_on_random_graphs_surgery_equals_masking(model: keras.Model, share: float, seed: int) -> None:
    graph = ChannelGraph.from_model(model)
    gone = some_atoms(graph, share, seed)
    smaller, _ = remove_atoms(graph, gone)
    x = example(model)
    assert_equal(outputs(mask_atoms(graph, gone), x), outputs(smaller, x))
    assert_equal(outputs(zeroed_before_readers(graph, gone), x), outputs(smaller, x))
    assert CostModel(graph).parameters(np.array(gone, int)) == smaller.count_params()
