"""What `keras.Model.fit` takes, `penjing.compress` takes: the arrays that come of it are those that went in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import penjing
from penjing.errors import DataError
from penjing.runner.arrays import load_arrays

X = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
Y = np.arange(50) % 2
of = tf.data.Dataset.from_tensor_slices


def parts() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {"train": (X[:30], Y[:30]), "validation": (X[30:40], Y[30:40]), "test": (X[40:], Y[40:])}


def test_a_pair_and_a_dataset_are_split_as_arrays_are() -> None:
    expected = load_arrays({"x": X, "y": Y}, seed=3)
    for data in ((X, Y), [X, Y], of((X, Y)).batch(7), of((X, Y)).batch(7).prefetch(1)):
        found = load_arrays(data, seed=3)
        assert found.sha256 == expected.sha256 and found.test.ids == expected.test.ids
        assert np.array_equal(found.train.x, expected.train.x) and np.array_equal(found.train.y, expected.train.y)


def test_parts_may_be_pairs_and_datasets() -> None:
    pairs = parts()
    mixed: dict[str, Any] = {**pairs, "train": of(pairs["train"]).batch(8), "labels": ["no", "yes"]}
    for data in ({**pairs, "labels": ["no", "yes"]}, mixed):
        splits = load_arrays(data, seed=0)
        assert splits.labels == ("no", "yes")
        for name, (x, y) in pairs.items():
            assert np.array_equal(getattr(splits, name).x, x) and np.array_equal(getattr(splits, name).y, y)


def test_inputs_of_a_dataset_keep_their_names_or_their_order() -> None:
    by_name = load_arrays(of(({"b": X, "a": X[:, :2]}, Y)).batch(9), seed=0)
    assert {name: values.shape[1] for name, values in by_name.train.x.items()} == {"a": 2, "b": 6}
    in_order = load_arrays(of(((X, X[:, :2]), Y)).batch(9), seed=0)
    assert [values.shape[1] for values in in_order.train.x.values()] == [6, 2]
    assert np.array_equal(in_order.train.x["0"][:, :2], in_order.train.x["1"])


def test_a_run_on_a_dataset_is_the_run_on_its_arrays(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")])
    files = [
        (penjing.compress(model, None, data, budget="drop=1", output=tmp_path / name).bundle / "model.tflite")
        for name, data in (("arrays", {"x": X, "y": Y}), ("dataset", of((X, Y)).batch(16)))
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("data", "said", "advice"),
    [
        (lambda: of((X, Y)), "single examples", "batch(32)"),
        (lambda: of(X).batch(8), "1 part instead of 2", "(inputs, targets)"),
        (lambda: of((X, Y, Y)).batch(8), "3 parts instead of 2", "(inputs, targets)"),
        (lambda: of((X, Y)).batch(8).repeat(), "no end", "take"),
        (lambda: of((X, Y)).batch(8).take(0), "empty", ""),
        (
            lambda: tf.data.Dataset.from_generator(
                lambda: iter([(np.ones((2, 3)), np.ones(2)), (np.ones((2, 4)), np.ones(2))]),
                output_signature=(tf.TensorSpec((None, None)), tf.TensorSpec((None,))),
            ),
            "different shapes",
            "padded_batch",
        ),
        (lambda: X, "a ndarray is no data", "dict of arrays"),
        (lambda: {"train": (X, Y), "validation": X, "test": (X, Y)}, "a ndarray is no data", "dict of arrays"),
        (lambda: {"train": (X, Y)}, "lacks x_validation, y_validation, x_test, y_test", "split 70/15/15"),
    ],
)
def test_what_is_no_data_is_said(data: Callable[[], Any], said: str, advice: str) -> None:
    with pytest.raises(DataError) as caught:
        load_arrays(data(), seed=0)
    assert said in caught.value.what and advice in (caught.value.hint or "")
