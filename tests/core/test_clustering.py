"""cluster-weights: k-means as it should be, gradients as of one number, promises kept in the model and in the file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import penjing
from penjing.compression.clustering.clustered_weights import ClusteredWeights, Codebook
from penjing.compression.clustering.kmeans import cluster_numbers
from penjing.compression.clustering.shareable import shareable_weights
from penjing.compression.clustering.sharing import explain, share_values
from penjing.compression.gradients import constrain_gradients
from penjing.compression.settings.clustering import ClusterWeightsSettings
from penjing.contract import ExportSettings
from penjing.errors import ModelError, RecipeError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe

layers = keras.layers

STARTS = ["linear", "density", "k-means++", "optimal"]
numbers = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-3, 3, width=32))


def within_sum_of_squares(values: np.ndarray, centroids: np.ndarray, labels: np.ndarray) -> float:
    return float(((values.astype(np.float64) - centroids[labels]) ** 2).sum())


def least_sum_of_squares(values: np.ndarray, count: int) -> float:
    """By trying all divisions of the sorted numbers: dynamic programming written down plainly."""
    ordered = np.sort(values.astype(np.float64))
    n = len(ordered)
    best = np.full((count + 1, n + 1), np.inf)
    best[0, 0] = 0.0
    for parts in range(1, count + 1):
        for end in range(1, n + 1):
            for begin in range(end):
                part = ordered[begin:end]
                best[parts, end] = min(
                    best[parts, end], best[parts - 1, begin] + float(((part - part.mean()) ** 2).sum())
                )
    return float(best[1:, n].min())


# ------------------------------------------------------------------------------------------------------- k-means


@settings(max_examples=60)
@given(numbers, st.integers(1, 8), st.sampled_from(STARTS))
def test_every_number_goes_to_its_nearest_centroid_and_every_centroid_is_the_mean_of_its_own(
    values: np.ndarray, count: int, start: str
) -> None:
    centroids, labels = cluster_numbers(values, count, start, seed=1)
    assert len(centroids) <= count
    assert set(labels) == set(range(len(centroids)))
    assert (np.diff(centroids) > 0).all()
    for cluster, centroid in enumerate(centroids):
        assert centroid == pytest.approx(values[labels == cluster].astype(np.float64).mean(), abs=1e-9)
    distances = np.abs(values.astype(np.float64)[:, None] - centroids[None])
    assert np.allclose(distances[np.arange(len(values)), labels], distances.min(axis=1), atol=1e-9)


@settings(max_examples=40)
@given(numbers, st.integers(1, 6))
def test_the_optimal_start_finds_the_least_sum_of_squares_and_no_other_start_is_below_it(
    values: np.ndarray, count: int
) -> None:
    least = least_sum_of_squares(values, count)
    for start in STARTS:
        reached = within_sum_of_squares(values, *cluster_numbers(values, count, start, seed=3))
        if start == "optimal":
            assert reached == pytest.approx(least, abs=1e-9)
        assert reached >= least - 1e-9


def test_from_one_start_it_ends_where_scikit_learn_ends() -> None:
    from sklearn.cluster import KMeans

    values = np.random.default_rng(4).normal(size=800).astype(np.float32)
    begin = np.linspace(values.min(), values.max(), 9).astype(np.float64).reshape(-1, 1)
    other = KMeans(9, init=begin, n_init=1, tol=0, max_iter=1000).fit(values.astype(np.float64).reshape(-1, 1))
    centroids, labels = cluster_numbers(values, 9, "linear", seed=0)
    assert np.allclose(np.sort(other.cluster_centers_.ravel()), centroids)
    assert within_sum_of_squares(values, centroids, labels) == pytest.approx(other.inertia_)


def test_few_distinct_numbers_are_kept_as_they_are() -> None:
    values = np.array([2.0, -1.0, 2.0, 0.5], np.float32)
    centroids, labels = cluster_numbers(values, 5, "linear", seed=0)
    assert centroids[labels].tolist() == values.tolist()


@given(
    hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-2, 2, width=32)),
    hnp.arrays(bool, (3, 4, 5)),
    st.integers(2, 5),
    st.sampled_from(["layer", "channel"]),
)
def test_a_codebook_has_no_more_values_than_asked_and_promised_zeros_have_a_cluster_of_their_own(
    values: np.ndarray, zeros: np.ndarray, clusters: int, scope: str
) -> None:
    chosen = ClusterWeightsSettings(scope=scope)
    codes, shared = share_values(values, zeros, chosen, clusters, (2,), seed=0)
    assert ((codes == 0) == zeros).all()
    assert (shared[zeros] == 0).all()
    parts = [shared] if scope == "layer" else [shared[..., channel] for channel in range(5)]
    assert all(len(np.unique(part)) <= clusters for part in parts)
    for code in np.unique(codes):
        assert len(np.unique(shared[codes == code])) == 1


# ------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_tied_weights_learn_as_the_single_number_that_they_stand_for(name: str) -> None:
    """Beside a training of the centroids themselves, in plain TensorFlow, with gradients averaged over a cluster."""
    import tensorflow as tf

    generator = np.random.default_rng(2)
    codes = generator.integers(0, 4, (6, 5)).astype(np.int32)
    centroids = np.array([0.0, -0.5, 0.2, 0.9], np.float32)
    x = generator.normal(size=(32, 6)).astype("float32")
    y = generator.normal(size=(32, 5)).astype("float32")

    def optimizer() -> keras.optimizers.Optimizer:
        return keras.optimizers.Adam(0.05) if name == "adam" else keras.optimizers.SGD(0.5, momentum=0.9)

    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, use_bias=False, name="only")])
    model.get_layer("only").kernel.assign(centroids[codes])
    ClusteredWeights(codebooks={"only": Codebook(codes=codes, clusters=4, per_channel=False, channel_axes=(1,))}).hold(
        model
    )
    tied = optimizer()
    constrain_gradients(tied)
    model.compile(tied, "mse")
    model.fit(x, y, epochs=12, batch_size=32, shuffle=False, verbose=0)

    plain = keras.Variable(centroids)
    direct = optimizer()
    members = np.bincount(codes.reshape(-1), minlength=4)
    for _ in range(12):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((x @ tf.gather(plain.value, codes) - y) ** 2)
        gradient = np.asarray(tf.convert_to_tensor(tape.gradient(loss, plain.value))) / members
        gradient[0] = 0.0  # the cluster of zeros does not learn
        direct.apply_gradients([(tf.constant(gradient, tf.float32), plain)])
    kernel = np.asarray(model.get_layer("only").kernel)
    assert len(np.unique(kernel)) == 4
    assert not np.allclose(kernel, centroids[codes], atol=0.05)
    assert np.allclose(kernel, np.asarray(plain)[codes], atol=1e-4)


def test_an_embeddings_sparse_gradient_is_averaged_as_well() -> None:
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(9, 4, name="table"), layers.Flatten()])
    codes = (np.arange(36).reshape(9, 4) % 5).astype(np.int32)
    model.get_layer("table").embeddings.assign(codes * 0.1)
    book = Codebook(codes=codes, clusters=5, per_channel=False, channel_axes=(1,))
    promise = ClusteredWeights(codebooks={"table/embeddings": book})
    promise.hold(model)
    optimizer = keras.optimizers.Adam(0.1)
    constrain_gradients(optimizer)
    model.compile(optimizer, "mse")
    x = np.array([[0, 1, 2], [3, 3, 4]])
    model.fit(x, np.ones((2, 12), "float32"), epochs=3, verbose=0)
    assert promise.check(model) == []
    assert not np.allclose(np.asarray(model.get_layer("table").embeddings), codes * 0.1)


# ------------------------------------------------------------------------------------------------------ promises


LAYERS = {
    "dense": ((7,), layers.Dense, {"units": 6, "activation": "relu"}),
    "conv": ((6, 6, 3), layers.Conv2D, {"filters": 5, "kernel_size": 3, "activation": "relu"}),
    "conv1d": ((9, 3), layers.Conv1D, {"filters": 5, "kernel_size": 3, "activation": "relu"}),
    "depthwise": (
        (6, 6, 3),
        layers.DepthwiseConv2D,
        {"kernel_size": 3, "depth_multiplier": 2, "activation": "relu"},
    ),
    "separable": ((6, 6, 8), layers.SeparableConv2D, {"filters": 5, "kernel_size": 3, "activation": "relu"}),
    "transposed": ((5, 5, 3), layers.Conv2DTranspose, {"filters": 6, "kernel_size": 3, "activation": "relu"}),
    "lstm": ((4, 3), layers.LSTM, {"units": 5}),
    "gru": ((4, 3), layers.GRU, {"units": 5, "reset_after": False}),
    "attention": ((4, 6), layers.MultiHeadAttention, {"num_heads": 2, "key_dim": 4}),
}


def clustered(kind: str, scope: str, normalized: bool = False) -> tuple[keras.Model, ClusteredWeights]:
    """A model whose layer `it` has shared weights, and the promise of that."""
    keras.utils.set_random_seed(1)
    shape, make, arguments = LAYERS[kind]
    inputs = keras.Input(shape)
    layer = make(**arguments, name="it")
    if normalized:
        layer.activation = keras.activations.linear
    x = layer(inputs, inputs) if kind == "attention" else layer(inputs)
    if normalized:
        norm = layers.BatchNormalization(name="norm")
        x = norm(x)
        norm.gamma.assign(np.random.default_rng(0).uniform(0.5, 2.0, norm.gamma.shape))
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x)))
    books = {}
    for path, weights in shareable_weights(model).items():
        if path == "head":
            continue
        values = np.asarray(weights.variable)
        zeros = np.random.default_rng(3).random(values.shape) < 0.2
        codes, shared = share_values(
            values, zeros, ClusterWeightsSettings(scope=scope), 4, weights.channel_axes, seed=0
        )
        weights.variable.assign(shared)
        books[path] = Codebook(
            codes=codes,
            clusters=4,
            per_channel=scope == "channel",
            channel_axes=weights.channel_axes,
            may_be_scaled=weights.may_be_scaled,
        )
    return model, ClusteredWeights(codebooks=books)


def written(model: keras.Model, mode: str) -> bytes:
    calibration = np.random.default_rng(5).normal(size=(20, *model.input_shape[1:])).astype("float32")
    return to_litert(model, ExportSettings(mode=mode), calibration if mode == "int8" else None)


@pytest.mark.parametrize("scope", ["layer", "channel"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_broken_promise_is_found_in_model_and_file(kind: str, scope: str) -> None:
    model, promise = clustered(kind, scope)
    assert promise.check(model) == []
    for mode in ("float32", "int8"):
        assert promise.check_file(written(model, mode)) == [], mode
    path = list(promise.codebooks)[-1]
    variable = shareable_weights(model)[path].variable
    values = np.array(variable)
    code = np.bincount(promise.codebooks[path].codes[promise.codebooks[path].codes > 0]).argmax()
    place = tuple(np.argwhere(promise.codebooks[path].codes == code)[0])
    values[place] = -2.0 * np.abs(values).max()
    variable.assign(values)
    assert [violation.layer for violation in promise.check(model)] == [path]
    for mode in ("float32", "int8"):
        broken = promise.check_file(written(model, mode))
        assert [violation.layer for violation in broken] == [path], mode


@pytest.mark.parametrize("kind", ["conv", "depthwise"])
def test_a_folded_batch_normalization_scales_channels_and_keeps_the_promise_within_them(kind: str) -> None:
    model, promise = clustered(kind, "layer", normalized=True)
    content = written(model, "float32")
    assert promise.check_file(content) == []
    book = promise.codebooks["it"]
    folded = [
        tensor.values
        for tensor in FileGraph.from_bytes(content).constants()
        if tensor.values.size == book.codes.size and tensor.values.ndim > 1
    ]
    # The factors are in the kernel indeed, else this test would say nothing.
    assert all(len(np.unique(values)) > book.clusters for values in folded)


@pytest.mark.parametrize("kind", ["depthwise", "lstm", "attention"])
def test_every_matrix_learns_and_keeps_its_promise(kind: str) -> None:
    model, promise = clustered(kind, "layer")
    before = {key: np.array(weights.variable) for key, weights in shareable_weights(model).items()}
    promise.hold(model)
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.01)
    constrain_gradients(optimizer)
    model.compile(optimizer, "mse")
    generator = np.random.default_rng(1)
    x = generator.normal(size=(32, *model.input_shape[1:])).astype("float32")
    model.fit(x, generator.normal(size=(32, 3)), batch_size=8, verbose=0)
    assert promise.check(model) == []
    for key in promise.codebooks:
        assert not np.array_equal(np.asarray(shareable_weights(model)[key].variable), before[key])


def test_values_shared_by_a_layer_may_not_differ_between_channels_where_nothing_scales_them() -> None:
    model, promise = clustered("dense", "layer")
    kernel = model.get_layer("it").kernel
    kernel.assign(np.asarray(kernel) * np.linspace(1, 2, 6, dtype="float32"))
    assert promise.check_file(written(model, "float32"))[0].layer == "it"


def test_revived_zeros_are_found() -> None:
    model, promise = clustered("dense", "layer")
    values = np.array(model.get_layer("it").kernel)
    values[values == 0] = values.max()
    model.get_layer("it").kernel.assign(values)
    assert "promised to be zero" in promise.check(model)[0].detail


@pytest.mark.parametrize("scope", ["layer", "channel"])
def test_the_promise_survives_its_own_state_and_follows_removed_channels(scope: str) -> None:
    model, promise = clustered("conv", scope)
    again = ClusteredWeights.from_state(promise.to_state())
    assert again.summary == promise.summary
    for field in dataclasses.fields(Codebook):
        assert np.array_equal(getattr(again.codebooks["it"], field.name), getattr(promise.codebooks["it"], field.name))
    kept = [0, 2, 4]
    smaller = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(3, 3, name="it")])
    smaller.get_layer("it").kernel.assign(np.asarray(model.get_layer("it").kernel)[..., kept])
    resized = again.resized({"it": (None, None, None, kept)})
    assert resized.check(smaller) == []
    assert again.check(smaller) != []


# ----------------------------------------------------------------------------------------------------- technique


CLUSTER = """
[[steps]]
technique = "cluster-weights"
{settings}
epochs = 2
learning_rate = 0.003
"""
FINETUNE = '[[steps]]\ntechnique = "finetune"\nepochs = 2\nlearning_rate = 0.01\n'
PRUNE = '[[steps]]\ntechnique = "prune-weights"\nsparsity = 0.6\nepochs = 1\n'


@pytest.mark.parametrize(("scope", "mode"), [("layer", "float16"), ("channel", "int8")])
def test_shared_values_survive_fine_tuning_and_stand_in_the_file(
    toy_model: Path, toy_data: Path, tmp_path: Path, scope: str, mode: str
) -> None:
    text = CLUSTER.format(settings=f'clusters = 6\nscope = "{scope}"\nexclude = ["quarter"]') + FINETUNE
    result = penjing.compress(
        toy_model,
        recipe=Recipe.from_toml(f'{text}[[steps]]\ntechnique = "quantize"\nmode = "{mode}"\n'),
        data=toy_data,
        output=tmp_path / "run",
    )
    first = keras.models.load_model(tmp_path / "run/steps/01-cluster-weights/model.keras", compile=False)
    after = keras.models.load_model(tmp_path / "run/steps/02-finetune/model.keras", compile=False)
    for name in ("stem", "depthwise", "hidden"):
        kernel = np.asarray(after.get_layer(name).kernel)
        channels = kernel.reshape(-1, kernel.shape[-2] if name == "depthwise" else kernel.shape[-1])
        counts = [len(np.unique(kernel))] if scope == "layer" else [len(np.unique(row)) for row in channels.T]
        assert max(counts) <= 6, name
        # Later training moves the shared values, and them only.
        assert not np.array_equal(kernel, np.asarray(first.get_layer(name).kernel))
    assert len(np.unique(np.asarray(after.get_layer("quarter").kernel))) > 100
    # Counted in the file itself, without the invariant's own code.
    in_file = FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes())
    (hidden,) = [tensor.values for tensor in in_file.constants() if tensor.shape == (40, 192)]
    assert max(len(set(row.tolist())) for row in hidden) <= 6


def test_pruned_weights_stay_zero_when_the_rest_is_clustered(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    again = CLUSTER.format(settings='scope = "channel"')
    text = PRUNE + CLUSTER.format(settings='bits = 3\nexclude = ["quarter"]') + again
    result = penjing.compress(
        toy_model,
        recipe=Recipe.from_toml(text + '[[steps]]\ntechnique = "quantize"\n'),
        data=toy_data,
        output=tmp_path / "run",
    )
    pruned = keras.models.load_model(tmp_path / "run/steps/01-prune-weights/model.keras", compile=False)
    after = keras.models.load_model(tmp_path / "run/steps/03-cluster-weights/model.keras", compile=False)
    for name in ("stem", "depthwise", "hidden"):
        zeros = np.asarray(pruned.get_layer(name).kernel) == 0
        kernel = np.asarray(after.get_layer(name).kernel)
        assert zeros.sum() > 0
        assert (kernel[zeros] == 0).all()
        assert len(np.unique(kernel)) <= 8
    in_file = FileGraph.from_bytes((result.bundle / "model.tflite").read_bytes())
    (hidden,) = [tensor.values for tensor in in_file.constants() if tensor.shape == (40, 192)]
    assert (hidden == 0).sum() >= (np.asarray(pruned.get_layer("hidden").kernel) == 0).sum()
    assert max(len(np.unique(row)) for row in hidden) <= 8
    first, second, third = (
        json.loads((tmp_path / "run/steps" / step / "outcome.json").read_text())
        for step in ("01-prune-weights", "02-cluster-weights", "03-cluster-weights")
    )
    # A file of few values zips better, and is no byte smaller.
    assert second["figures"]["float32_zip_bytes_after"] < 0.6 * second["figures"]["float32_zip_bytes_before"]
    assert second["flash_bytes"] == first["flash_bytes"] == second["figures"]["float32_bytes_after"]
    # What shares its values is not clustered again: another division could tear a cluster apart.
    changes = {change["layer"]: change["change"] for change in third["layers"]}
    assert changes["stem"] == "left alone: shares its values by an earlier step"
    assert changes["quarter"].startswith("160 weights share")


def test_clustering_twice_leaves_what_is_shared_as_it_is(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    once = CLUSTER.format(settings="clusters = 6")
    penjing.compress(toy_model, recipe=Recipe.from_toml(once + once), data=toy_data, output=tmp_path / "run")
    first, second = (
        keras.models.load_model(tmp_path / "run/steps" / step / "model.keras", compile=False)
        for step in ("01-cluster-weights", "02-cluster-weights")
    )
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    outcome = json.loads((tmp_path / "run/steps/02-cluster-weights/outcome.json").read_text())
    assert outcome["summary"].startswith("nothing to cluster")


def test_explain_names_numbers_and_reasons(toy_model: Path) -> None:
    model = keras.models.load_model(toy_model, compile=False)
    chosen = ClusterWeightsSettings(bits=5, layers={"stem": 200}, exclude=("depthwise",))
    changes = {change.layer: change.change for change in explain(model, chosen)}
    assert changes == {
        "stem": "left alone: it has 108 weights, no more than 200 clusters",
        "norm": "left alone: BatchNormalization has no weights to share",
        "depthwise": "left alone: fits 'exclude'",
        "hidden": "7,680 weights share at most 32 values",
        "quarter": "160 weights share at most 32 values",
    }


def test_a_model_without_weights_to_cluster_is_refused(toy_model: Path) -> None:
    model = keras.models.load_model(toy_model, compile=False)
    with pytest.raises(ModelError, match="no weights to cluster") as caught:
        explain(model, ClusterWeightsSettings(exclude=("*",)))
    assert "hidden: fits 'exclude'" in (caught.value.why or "")
    with pytest.raises(ModelError, match="no layer fits 'hiden'"):
        explain(model, ClusterWeightsSettings(layers={"hiden": 4}))


def test_an_optimum_that_memory_does_not_allow_is_refused_with_a_way_out() -> None:
    inputs = keras.Input((1000,))
    model = keras.Model(inputs, layers.Dense(500, name="wide")(inputs))
    with pytest.raises(ModelError, match="does not fit 500,000 weights and 4,096 clusters") as caught:
        explain(model, ClusterWeightsSettings(clusters=4096, start="optimal"))
    assert "linear" in (caught.value.hint or "")


@pytest.mark.parametrize("wrong", ["clusters = 4\nbits = 2", "clusters = 1", "layers = {stem = 1}", 'start = "random"'])
def test_settings_that_make_no_sense_are_refused_before_work_starts(
    toy_model: Path, toy_data: Path, tmp_path: Path, wrong: str
) -> None:
    with pytest.raises(RecipeError):
        penjing.compress(
            toy_model,
            recipe=Recipe.from_toml(CLUSTER.format(settings=wrong)),
            data=toy_data,
            output=tmp_path / "run",
        )
    assert not (tmp_path / "run/steps").exists()
