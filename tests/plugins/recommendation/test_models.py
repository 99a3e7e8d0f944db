"""The model is what its description says, in Keras and in the file, in every recipe's form."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from penjing.compression import checkpoint
from penjing.contract import DataRequest, ExportSettings, ModelRequest, Splits
from penjing.errors import RecipeError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.runtime import LiteRTModel
from penjing_recommendation.data import examples_of_an_epoch, load_data
from penjing_recommendation.layers import BestItems, QuotientRemainderTable, RecencyPooling
from penjing_recommendation.models import (
    TABLES,
    build_model,
    dimensions_by_size,
    dropout_by_size,
    epoch_of_histories,
    next_item_loss,
)
from penjing_recommendation.ranking import as_lists


def built(splits: Splits, **options) -> keras.Model:
    return build_model(ModelRequest(splits=splits, options={"dimensions": 8, **options}))


def trained(splits: Splits, **options) -> keras.Model:
    """A few updates, so that scores differ."""
    model = built(splits, **options)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=next_item_loss)
    model.fit(splits.train.x, splits.train.y.astype("float32"), epochs=2, batch_size=256, verbose=0)
    return model


def test_the_list_is_that_of_sorting_all_scores() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 30)).astype("float32")
    scores[:, 4] = scores[:, 9]
    assert np.array_equal(BestItems(12)(scores), as_lists(scores, 12))
    assert np.array_equal(BestItems(12)(scores, training=True), scores)


def test_pools_are_weighted_means_over_what_is_there() -> None:
    layer = RecencyPooling(2)
    embedded = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    history = np.array([[0, 0, 7, 8, 9], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0]], "int32")
    found = np.asarray(layer([history, embedded]))
    weights = np.exp(np.asarray(layer.recency_bias))[0] * (history[0] > 0)
    assert np.allclose(found[0, :4], weights @ embedded[0] / np.sqrt((weights**2).sum()), atol=1e-4)
    assert (found[2] == 0).all()
    other = embedded.copy()
    other[0, :2] = 99  # embeddings of nothing
    assert np.allclose(layer([history, other])[0], found[0])


def test_a_quotient_and_a_remainder_make_each_item_its_own_row() -> None:
    layer = QuotientRemainderTable(items=23, dimensions=6, remainders=5)
    rows = np.asarray(layer(np.arange(24)[None]))[0]
    expected = [np.asarray(layer.quotient)[i // 5] * np.asarray(layer.remainder)[i % 5] for i in range(24)]
    assert np.allclose(rows, expected)
    assert len(np.unique(rows.round(6), axis=0)) == 24
    query = np.random.default_rng(1).normal(size=(4, 6)).astype("float32")
    assert np.allclose(layer(query, score=True), query @ rows[1:].T, atol=1e-5)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("mode", ["float32", "dynamic", "weight-only-int4"])
def test_the_file_lists_what_keras_lists(splits: Splits, table: str, mode: str) -> None:
    model = trained(splits, table=table)
    content = to_litert(model, ExportSettings(mode=mode))
    assert "TOPK_V2" in FileGraph.from_bytes(content).operator_counts()
    expected = np.asarray(model(splits.test.x, training=False))
    for kernels in ("reference", "xnnpack"):
        found = LiteRTModel(content, kernels=kernels).predict(splits.test.x)
        assert found.shape == expected.shape
        tolerance = {"float32": 1e-4, "dynamic": 0.05, "weight-only-int4": 0.6}[mode]
        assert np.abs(found[:, 0] - expected[:, 0]).max() < tolerance * np.ptp(expected[:, 0])
        same = (found[:, 1, :5] == expected[:, 1, :5]).mean()
        assert same > {"float32": 0.99, "dynamic": 0.8, "weight-only-int4": 0.1}[mode]


def test_a_tied_table_stands_once_in_the_file(splits: Splits) -> None:
    content = to_litert(trained(splits, table="tied"), ExportSettings(mode="dynamic", layers={"items": "int8"}))
    items = len(splits.extra["counts"]) + 1
    tables = [t for t in FileGraph.from_bytes(content).constants() if t.shape == (items, 8)]
    assert [t.dtype for t in tables] == ["int8"]


def test_training_sees_all_scores_and_prediction_a_list(splits: Splits) -> None:
    model = built(splits)
    assert model(splits.test.x[:3], training=True).shape == (3, len(splits.extra["counts"]))
    assert model(splits.test.x[:3], training=False).shape == (3, 2, splits.extra["list"])


def test_the_loss_is_the_softmax_cross_entropy_of_the_next_item() -> None:
    scores = np.random.default_rng(0).normal(size=(6, 9)).astype("float32")
    targets = np.array([[1, 0], [9, 0], [3, 0], [4, 0], [5, 0], [2, 0]], "float32")
    expected = [-scores[i, int(t) - 1] + np.log(np.exp(scores[i]).sum()) for i, (t, _) in enumerate(targets)]
    assert np.allclose(next_item_loss(targets, ops.convert_to_tensor(scores)), expected, atol=1e-5)


def test_what_was_learned_comes_back_from_the_disk(splits: Splits, tmp_path) -> None:
    model = trained(splits, table="quotient-remainder")
    checkpoint.save_model(model, tmp_path / "model.keras")
    again = checkpoint.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(splits.test.x, training=False), model(splits.test.x, training=False))


def test_an_epoch_of_few_histories_is_all_of_them_and_of_many_a_sample(splits: Splits) -> None:
    x, _ = epoch_of_histories(splits.train, splits, epoch=0, seed=1, options={})
    assert x is splits.train.x
    small = {"users": 150, "items": 120, "history": 12, "train_examples": 300}
    many = load_data(DataRequest(seed=1, options=small))
    first, again, other = (epoch_of_histories(many.train, many, epoch=epoch, seed=1, options={}) for epoch in (0, 0, 1))
    assert first[0].shape == (300, 12) and np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("options", [{"table": "hashed"}, {"dimensions": -1}, {"dimension": 8}])
def test_a_wrong_option_is_refused(splits: Splits, options: dict) -> None:
    with pytest.raises(RecipeError):
        built(splits, **options)


@pytest.mark.parametrize(("interactions", "expected"), [(10.2, 0.3), (59.0, 0.14), (270.0, 0.04), (0.0, 0.4)])
def test_dropout_follows_what_the_data_says_of_each_item(interactions: float, expected: float) -> None:
    """As many as in ml-latest-small, MovieLens 100k and 1M; and nothing."""
    assert dropout_by_size(32, interactions) == pytest.approx(expected, abs=0.01)


def test_dimensions_follow_what_the_data_says_of_each_item(splits: Splits) -> None:
    assert [dimensions_by_size(each) for each in (0.5, 10.2, 24.9, 25.0, 59.0, 270.0)] == [32, 32, 32, 64, 64, 64]
    counts = splits.extra["counts"]
    expected = dimensions_by_size(counts.sum() / len(counts))
    assert built(splits, dimensions=0).get_layer("items").output_dim == expected


def test_a_recipe_can_choose_the_dropout_or_leave_it_to_the_data(splits: Splits) -> None:
    def of(model: keras.Model) -> list[float]:
        return [layer.rate for layer in model.layers if layer.name == "query_dropout"]

    counts = splits.extra["counts"]
    assert of(built(splits)) == [dropout_by_size(8, counts.sum() / len(counts))]
    assert of(built(splits, dropout=0.25)) == [0.25]
    assert of(built(splits, dropout=0.0)) == []


def test_an_epoch_of_a_large_catalogue_has_fewer_histories() -> None:
    assert [examples_of_an_epoch(items) for items in (1_682, 3_706, 9_681, 59_047)] == [
        400_000,
        400_000,
        154_942,
        100_000,
    ]
