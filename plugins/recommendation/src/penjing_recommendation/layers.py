"""The layers of the model: pooling by recency, a table of few rows, and the list of the best inside the graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

_PACKAGE = "penjing_recommendation"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class RecencyPooling(keras.layers.Layer):
    """Weighted means over the history, with learned weights by age: several, from the last item alone to all of them.

    Takes item numbers (batch, length), the newest last, 0 for none, and their embeddings (batch, length, dimensions).
    Gives (batch, pools * dimensions): for each pool sum(w e) / sqrt(sum(w^2)) over the items that are there, which is
    linear in the embeddings; an empty history gives zeros.

    Args:
        pools: How many.
    """

    def __init__(self, pools: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pools = pools

    def build(self, input_shape: Any) -> None:
        length = input_shape[0][1]
        age = np.arange(length)[::-1]
        # Half-lives of about 1, 6, 35, ... items to begin with.
        half_lives = 1.0 * 6.0 ** np.arange(self.pools)
        start = -np.log(2.0) * age[None, :] / half_lives[:, None]
        self.recency_bias = self.add_weight(
            name="recency_bias",
            shape=(self.pools, length),
            initializer=keras.initializers.Constant(start.astype(np.float32)),
        )

    def call(self, inputs: Any) -> Any:
        history, embedded = inputs
        there = ops.cast(ops.minimum(history, 1), "float32")
        weights = ops.exp(self.recency_bias)[None] * there[:, None, :]
        scale = ops.sqrt(ops.sum(ops.square(weights), axis=-1, keepdims=True) + 1e-6)
        pooled = ops.matmul(weights / scale, embedded)
        return ops.reshape(pooled, (-1, self.pools * embedded.shape[-1]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][0], self.pools * input_shape[1][-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pools": self.pools}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class ItemTable(keras.layers.Embedding):
    """One table for what was taken and for what may come: row i is item i, row 0 stands for none.

    `table(history)` looks rows up: integers (batch, length) to (batch, length, dimensions). `table(query, score=True)`
    multiplies (batch, dimensions) by all rows but the first, (batch, items). In a file both take the same integers.

    Args:
        input_dim: Items and 1.
        output_dim: Columns.
    """

    def call(self, inputs: Any, score: bool = False) -> Any:
        if not score:
            return _rows(self.embeddings, inputs)
        return ops.matmul(inputs, ops.transpose(self.embeddings))[:, 1:]

    def compute_output_spec(self, inputs: Any, score: bool = False) -> Any:
        shape = (inputs.shape[0], self.input_dim - 1) if score else (*inputs.shape, self.output_dim)
        return keras.KerasTensor(shape, dtype="float32")


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuotientRemainderTable(keras.layers.Layer):
    """As `ItemTable`, in two tables of few rows: item i is the product of row i // remainders of one and row
    i % remainders of the other, so that no two items are alike.

    Source: Shi et al. 2020, "Compositional embeddings using complementary partitions for memory-efficient
    recommendation systems", with the product of elements. The scores of all items follow from the two tables without
    any row of an item being formed: (query * quotient rows) times the remainder rows transposed.

    Args:
        items: How many items there are besides number 0.
        dimensions: Columns of both tables.
        remainders: Rows of the second table; the first has items / remainders.
    """

    def __init__(self, items: int, dimensions: int, remainders: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.items = items
        self.dimensions = dimensions
        self.remainders = remainders
        self.quotients = items // remainders + 1

    def build(self, input_shape: Any = None) -> None:
        self.remainder = self.add_weight(
            name="remainder_embeddings", shape=(self.remainders, self.dimensions), initializer=small_start()
        )
        self.quotient = self.add_weight(
            name="quotient_embeddings",
            shape=(self.quotients, self.dimensions),
            initializer=keras.initializers.RandomNormal(1.0, 0.3),
        )

    def call(self, inputs: Any, score: bool = False) -> Any:
        if not score:
            quotient = ops.floor_divide(inputs, self.remainders)
            remainder = inputs - quotient * self.remainders
            return _rows(self.quotient, quotient) * _rows(self.remainder, remainder)
        by_quotient = inputs[:, None, :] * self.quotient[None]
        flat = ops.reshape(by_quotient, (-1, self.dimensions))
        scores = ops.matmul(flat, ops.transpose(self.remainder))
        return ops.reshape(scores, (-1, self.quotients * self.remainders))[:, 1 : self.items + 1]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "items": self.items,
            "dimensions": self.dimensions,
            "remainders": self.remainders,
        }


@keras.saving.register_keras_serializable(package=_PACKAGE)
class BestItems(keras.layers.Layer):
    """The best items, inside the graph: scores (batch, items) to (batch, 2, count), falling scores and the numbers of
    their items, counted from 1. Equal scores: the lower number, which is the more popular item, first.

    In training the scores pass through: the loss needs all of them.

    Args:
        count: Length of the list.
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def call(self, scores: Any, training: bool | None = None) -> Any:
        if training:
            return scores
        best, index = ops.top_k(scores, self.count)
        return ops.stack([best, ops.cast(index + 1, "float32")], axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], 2, self.count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count}


def _rows(table: Any, numbers: Any) -> Any:
    """Rows by numbers that are not negative; `ops.take` would write three more operators for those that are."""
    import tensorflow as tf

    return tf.gather(tf.convert_to_tensor(table), numbers)


def small_start() -> Any:
    """Embeddings begin near zero, so that all items begin alike."""
    return keras.initializers.RandomNormal(0.0, 0.05)
