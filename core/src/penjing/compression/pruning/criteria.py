"""How important a channel is, by the criteria of the literature. One score for each atom; the lowest go first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.losses import as_targets, output_kind, task_loss
from penjing.compression.structure.graph import ChannelGraph
from penjing.contract import Split, Task

NEEDS_DATA = ("taylor", "apoz")


def magnitude(graph: ChannelGraph, order: int) -> np.ndarray:
    """Mean over an atom's kernels of its slice's norm, relative to the mean slice of the same kernel.

    Li et al. 2017, "Pruning filters for efficient ConvNets" (order 1), taken over every kernel of the group as
    DepGraph does (Fang et al. 2023). The relation makes layers comparable.

    Returns:
        float64 of shape (units,), by atom number; NaN where an atom has no kernel.
    """
    return _over_kernels(graph, lambda slices: (np.abs(slices) ** order).sum(axis=1) ** (1 / order))


def geometric_median(graph: ChannelGraph) -> np.ndarray:
    """Sum of a filter's distances to all filters of its layer, relative to the mean: what lies in the middle can be
    replaced by the others. He et al. 2019, "Filter pruning via geometric median"."""

    def distances(slices: np.ndarray) -> np.ndarray:
        squares = (slices**2).sum(axis=1)
        between = squares[:, None] + squares[None, :] - 2.0 * slices @ slices.T
        return np.sqrt(np.maximum(between, 0.0)).sum(axis=1)

    return _over_kernels(graph, distances, roles=("makes", "carries"))


def batchnorm_scale(graph: ChannelGraph) -> np.ndarray:
    """|gamma| of BatchNormalization. Liu et al. 2017, "Learning efficient convolutional networks through network
    slimming". NaN for atoms without such a layer."""
    total, count = np.zeros(len(graph.units)), np.zeros(len(graph.units))
    for use in graph.uses:
        if use.name == "gamma" and use.role == "carries":
            _add(graph, use.units, np.abs(np.asarray(use.variable, np.float64)), total, count)
    return _mean(total, count)


def lamp(graph: ChannelGraph) -> np.ndarray:
    """Squared l2 score divided by the sum of those in the group that are not smaller. Lee et al. 2021,
    "Layer-adaptive sparsity for the magnitude-based pruning"."""
    squares = magnitude(graph, 2) ** 2
    scores = np.full(len(squares), np.nan)
    for group in graph.groups:
        atoms = group.atoms[~np.isnan(squares[group.atoms])]
        order = atoms[np.argsort(squares[atoms], kind="stable")]
        scores[order] = squares[order] / np.cumsum(squares[order][::-1])[::-1]
    return scores


def random_scores(graph: ChannelGraph, seed: int) -> np.ndarray:
    """What any criterion has to beat."""
    return np.random.default_rng(seed).random(len(graph.units))


def taylor(graph: ChannelGraph, train: Split, task: Task, examples: int, seed: int) -> np.ndarray:
    """Mean over batches of the squared first-order change of the loss if the channel went: (sum of gradient times
    weight)^2. Molchanov et al. 2019, "Importance estimation for neural network pruning".

    Args:
        examples: Training examples that are looked at, in batches of 32.
    """
    import tensorflow as tf

    model = graph.model
    loss = task_loss(task, output_kind(model))
    uses = [use for use in graph.uses if use.role != "reads" and len(use.variable.shape) >= 2]
    sums = [np.zeros(len(use.units)) for use in uses]
    variables = [use.variable.value for use in uses]

    @tf.function
    def products(x: Any, y: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = tf.reduce_mean(loss(y, model(x, training=False)))
        gradients = tape.gradient(value, variables, unconnected_gradients="zero")
        return [g * v for g, v in zip(gradients, variables, strict=True)]

    batches = 0
    for x, y in _batches(train, task, model.outputs[0].shape[1:], examples, seed):
        batches += 1
        for use, total, product in zip(uses, sums, products(x, y), strict=True):
            total += _slices(np.asarray(product, np.float64), use.axis).sum(axis=1) ** 2
    scores, seen = np.zeros(len(graph.units)), np.zeros(len(graph.units))
    for use, total in zip(uses, sums, strict=True):
        _add(graph, use.units, total / max(1, batches), scores, seen)
    return np.where(seen > 0, scores, np.nan)


def apoz(graph: ChannelGraph, train: Split, task: Task, examples: int, seed: int) -> np.ndarray:
    """One minus the average percentage of zeros of a channel where layers read it. Hu et al. 2016, "Network
    trimming". Equal shares of zeros are told apart by the mean magnitude. NaN where nothing at the model's top level
    reads the channel."""
    model = graph.model
    readers = {use.path for use in graph.uses if use.role == "reads"}
    tensors = []
    for layer in model.layers:
        if layer.name in readers:
            for node in layer._inbound_nodes:
                tensors += [tensor for tensor in node.input_tensors if graph.labels(tensor) is not None]
    tensors = list({id(tensor): tensor for tensor in tensors}.values())
    if not tensors:
        return np.full(len(graph.units), np.nan)
    watch = keras.Model(model.inputs, tensors)
    total, count = np.zeros(len(graph.units)), np.zeros(len(graph.units))
    for x, _ in _batches(train, task, model.outputs[0].shape[1:], examples, seed):
        for tensor, values in zip(tensors, watch(x, training=False), strict=True):
            labels = graph.labels(tensor)
            assert labels is not None
            slices = _slices(np.asarray(values, np.float64), labels.axis + 1)
            size = np.abs(slices).mean(axis=1)
            _add(graph, labels.units, (slices != 0).mean(axis=1) + 1e-6 * size / (1.0 + size), total, count)
    return _mean(total, count)


def _over_kernels(
    graph: ChannelGraph, score: Any, roles: tuple[str, ...] = ("makes", "reads", "carries")
) -> np.ndarray:
    total, count = np.zeros(len(graph.units)), np.zeros(len(graph.units))
    for use in graph.uses:
        if len(use.variable.shape) < 2 or use.role not in roles:
            continue
        scores = score(_slices(np.asarray(use.variable, np.float64), use.axis))
        if scores.mean() > 0:
            _add(graph, use.units, scores / scores.mean(), total, count)
        else:
            _add(graph, use.units, scores, total, count)
    return _mean(total, count)


def _slices(values: np.ndarray, axis: int) -> np.ndarray:
    """An array as one row for each index of an axis."""
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _add(graph: ChannelGraph, units: np.ndarray, scores: np.ndarray, total: np.ndarray, count: np.ndarray) -> None:
    atoms = graph.atom_of[units]
    np.add.at(total, atoms, scores)
    np.add.at(count, atoms, 1.0)


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _batches(
    train: Split, task: Task, output_shape: Sequence[int | None], examples: int, seed: int
) -> Iterator[tuple[Any, Any]]:
    """Seeded training examples in batches of 32."""
    chosen = np.random.default_rng(seed).permutation(len(train))[:examples]
    targets = as_targets(task, train.y, output_shape)
    for start in range(0, len(chosen), 32):
        rows = np.sort(chosen[start : start + 32])
        if isinstance(train.x, dict):
            yield {name: np.asarray(value)[rows] for name, value in train.x.items()}, targets[rows]
        else:
            yield np.asarray(train.x)[rows], targets[rows]
