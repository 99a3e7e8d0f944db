"""The model: items embedded, pooled by recency, mixed, and compared with every item."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from penjing.contract import ModelRequest
from penjing.errors import RecipeError
from penjing.options import with_defaults
from penjing_recommendation import DOMAIN
from penjing_recommendation.layers import BestItems, ItemTable, QuotientRemainderTable, RecencyPooling, small_start

DEFAULTS: dict[str, Any] = {
    "dimensions": 0,
    "pools": 3,
    "table": "tied",
    "remainders": 0,
    "dropout": -1.0,
    "item_dropout": 0.2,
    "list": 0,
}
"""Options of `[model]`. `table` is "tied" (one row an item, for input and output), "untied" (a table for each) or
"quotient-remainder"; `remainders = 0` takes a quarter of the items; `list = 0` takes the data's; `dimensions = 0` and
`dropout = -1` (of the query) follow the size of the data: see `dimensions_by_size` and `dropout_by_size`."""
RANGES = {
    "dimensions": (0, 1_024),
    "pools": (1, 8),
    "remainders": (0, 10_000_000),
    "dropout": (-1, 0.9),
    "item_dropout": (0, 0.9),
    "list": (0, 100_000),
}
TABLES = ("tied", "untied", "quotient-remainder")


def build_model(request: ModelRequest) -> keras.Model:
    """Pools of the history's item embeddings with learned weights by age, a linear map of them to a query, and the
    query's product with each item's embedding. A constant in the query is what an empty history gives. No user table:
    a new user needs a history only.

    Of the class of averaged two-tower and first-order sequence models: Rendle et al. 2010, "Factorizing personalized
    Markov chains"; He and McAuley 2016, "Fossil".

    Returns:
        Inputs int32 (length,): item numbers, the newest last. Outputs float32 (2, list): see `BestItems`.

    Raises:
        RecipeError: An option is unknown or out of range.
    """
    options = with_defaults(DOMAIN, "model", request.options, DEFAULTS, RANGES)
    if options["table"] not in TABLES:
        raise RecipeError(
            f"option 'table' in [model] cannot be '{options['table']}'",
            where=f"domain {DOMAIN}",
            hint="one of: " + ", ".join(TABLES),
        )
    facts = request.splits.preprocessing
    items, length = int(facts["items"]), int(facts["history"])
    each = int(np.sum(request.splits.extra["counts"])) / items
    layers, width = keras.layers, options["dimensions"] or dimensions_by_size(each)
    if options["table"] == "quotient-remainder":
        remainders = options["remainders"] or max(1, items // 4)
        table: Any = QuotientRemainderTable(items, width, min(remainders, items + 1), name="items")
        scorer = table
    else:
        table = ItemTable(items + 1, width, embeddings_initializer=small_start(), name="items")
        scorer = table
        if options["table"] == "untied":
            scorer = ItemTable(items + 1, width, embeddings_initializer=small_start(), name="next_items")
    history = keras.Input((length,), dtype="int32", name="history")
    embedded = table(history)
    if options["item_dropout"]:
        # Whole items, so that no single one of the history is relied on.
        embedded = layers.Dropout(options["item_dropout"], noise_shape=(None, length, 1), name="item_dropout")(embedded)
    pooled = RecencyPooling(options["pools"], name="recency")([history, embedded])
    query = layers.Dense(width, name="query")(pooled)
    dropout = options["dropout"]
    if dropout < 0:
        dropout = dropout_by_size(width, each)
    if dropout:
        query = layers.Dropout(dropout, name="query_dropout")(query)
    scores = scorer(query, score=True)
    count = min(options["list"] or int(request.splits.extra["list"]), items)
    return keras.Model(history, BestItems(count, name="best")(scores), name="next_item")


def dimensions_by_size(interactions: float) -> int:
    """Columns of the table: 32 where the data has fewer than 25 interactions an item in the mean, 64 where it has more.

    On the films of MovieLens latest-small with at least 20 ratings (50 an item) 64 columns had a tenth more NDCG@10
    than 32 on validation; with 10 an item a table of 32 has three weights to an interaction.
    """
    return 64 if interactions >= 25 else 32


def dropout_by_size(dimensions: int, interactions: float) -> float:
    """Share of the query that is dropped in training, by how much the data says of each item: 0.4 r / (1 + r), r being
    the weights of an item's row per interaction with it.

    Args:
        dimensions: Weights of a row.
        interactions: In training, of an item, in the mean.
    """
    weights = dimensions / max(interactions, 1e-9)
    return round(0.4 * weights / (1 + weights), 3)


def next_item_loss(targets: Any, outputs: Any) -> Any:
    """Softmax cross-entropy over all items.

    Args:
        targets: float32 of shape (n, 2): the number of the item that came next, and a filler.
        outputs: Scores of shape (n, items).

    Returns:
        Shape (n,).
    """
    number = ops.cast(targets[:, 0], "int32") - 1
    return ops.sparse_categorical_crossentropy(number, outputs, from_logits=True)


def epoch_of_histories(train: Any, splits: Any, *, epoch: int, seed: int, options: Any) -> tuple[Any, Any]:
    """The histories of one epoch: all of them where they are few, else a sample that epoch and seed draw."""
    with_defaults(DOMAIN, "augment", options, {}, {})
    sequences = splits.extra["sequences"]
    if len(train) >= len(sequences.places):
        return train.x, train.y
    rows = sequences.drawn(len(train), seed, epoch)
    x, y = sequences.examples(rows, train.x.shape[1])
    return x, np.stack([y, np.zeros_like(y)], axis=1)
