"""Data in the forms that `keras.Model.fit` takes, under the names of an .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import PARTS
from penjing.errors import DataError

_BY_NAME = "pass x and y (or x_train, y_train, x_validation, y_validation, x_test, y_test) as a dict of arrays"


def named(data: Any) -> Mapping[str, Any]:
    """Arrays by the names x and y, or x_train, y_train and so on.

    Args:
        data: A pair (x, y) or a `tf.data.Dataset` of batches of such pairs; or a mapping that has these under train,
            validation and test; or a mapping by the names already, which is given back.

    Raises:
        DataError: It is something else; or a dataset has no batches, no pairs, no end or no example, or examples of
            different shapes.
    """
    if not isinstance(data, Mapping):
        x, y = _pair(data, "data")
        return {"x": x, "y": y}
    if not set(data) & set(PARTS):
        return data
    arrays = {name: value for name, value in data.items() if name not in PARTS}
    for part in PARTS:
        if part in data:
            arrays[f"x_{part}"], arrays[f"y_{part}"] = _pair(data[part], part)
    return arrays


def _pair(data: Any, where: str) -> tuple[Any, Any]:
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return data[0], data[1]
    # Known by what it has: TensorFlow need not be loaded for data of other kinds.
    if hasattr(data, "element_spec") and hasattr(data, "as_numpy_iterator"):
        return _of_batches(data, where)
    raise DataError(
        f"a {type(data).__name__} is no data",
        where=where,
        why="it is neither a pair (x, y) nor a tf.data.Dataset of such pairs",
        hint=_BY_NAME,
    )


def _of_batches(dataset: Any, where: str) -> tuple[Any, Any]:
    import tensorflow as tf

    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        count = len(spec) if isinstance(spec, tuple) else 1
        raise DataError(
            f"an element of the dataset has {count} part{'s' * (count != 1)} instead of 2, inputs and targets",
            where=where,
            hint="dataset.map(...) to (inputs, targets)",
        )
    if any(leaf.shape.rank == 0 for leaf in tf.nest.flatten(spec)):
        raise DataError(
            "the dataset gives single examples", where=where, hint="give it as model.fit takes it: dataset.batch(32)"
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError("the dataset has no end", where=where, hint="leave out .repeat(), or dataset.take(batches)")
    batches = [tf.nest.flatten(batch) for batch in dataset]
    if not batches:
        raise DataError("the dataset is empty", where=where)
    try:
        leaves = [np.concatenate([np.asarray(leaf) for leaf in column]) for column in zip(*batches, strict=True)]
    except (TypeError, ValueError) as error:
        raise DataError(
            "the dataset has examples of different shapes",
            where=where,
            why=str(error),
            hint="bring them to one shape: dataset.padded_batch(32), or tf.image.resize in dataset.map",
        ) from error
    x, y = tf.nest.pack_sequence_as(spec, leaves)
    return list(x) if isinstance(x, tuple) else x, y
