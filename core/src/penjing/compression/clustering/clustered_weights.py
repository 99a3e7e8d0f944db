"""The promise of `cluster-weights`: these weights share their values, in the model and in the exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from penjing.compression.clustering.shareable import as_channels, from_channels
from penjing.compression.model_tree import GONE, keep_indices, weight_matrices
from penjing.compression.weights_in_file import MatrixPart, unfound
from penjing.contract import KeptAxes, Violation

ZERO = 0
"""The number of the cluster whose weights are zero; any kernel may leave it empty."""


@dataclass(frozen=True, kw_only=True)
class Codebook:
    """Which weights of one kernel share a value."""

    codes: np.ndarray
    """int32 of the kernel's shape: the number of each weight's cluster. Cluster 0 holds the promised zeros."""
    clusters: int
    """How many distinct values, zero included, the kernel (or each of its channels) has at most."""
    per_channel: bool
    """True where each output channel has values of its own; codes of two channels then differ, but for 0."""
    channel_axes: tuple[int, ...]
    """The axes that number the output channels."""
    may_be_scaled: bool = False
    """True where the file may hold the kernel times a factor for each output channel."""

    @cached_property
    def ties(self) -> Ties:
        """Weights that share a value."""
        return Ties.of(self.codes)

    @cached_property
    def ties_within_channels(self) -> Ties:
        """Weights that share a value and an output channel."""
        return self.part(slice(None), channels_apart=True)

    def part(self, columns: slice, *, channels_apart: bool) -> Ties:
        """Ties among some columns (of the last axis), or only within output channels."""
        labels = self.codes.astype(np.int64)
        if channels_apart:
            table = as_channels(self.codes, self.channel_axes)
            numbers = np.broadcast_to(np.arange(table.shape[1]), table.shape)
            labels = labels * table.shape[1] + from_channels(numbers, self.codes.shape, self.channel_axes)
        return Ties.of(labels[..., columns])


@dataclass(frozen=True)
class Ties:
    """Labels of weights in a form that is quick to hold against values."""

    first: np.ndarray
    """The place of the first weight of each label."""
    numbers: np.ndarray
    """For each weight the number of its label."""

    @classmethod
    def of(cls, labels: np.ndarray) -> Ties:
        """Equal labels are ties."""
        _, first, numbers = np.unique(labels.reshape(-1), return_index=True, return_inverse=True)
        return cls(first=first, numbers=numbers.reshape(-1))

    def untied(self, values: np.ndarray) -> int:
        """How many weights differ from the first of their label."""
        flat = values.reshape(-1)
        return int(np.count_nonzero(flat != flat[self.first][self.numbers]))


class SharedValues:
    """Keeps the weights of a cluster equal: gradients are averaged before an update, weights after it.

    An optimizer that sees one gradient for all weights of a cluster moves them as the single number that they stand
    for; averaging afterwards takes back what rounding did. Weights of cluster 0 stay zero.
    """

    def __init__(self, codes: np.ndarray, inner: Any = None) -> None:
        used, numbers = np.unique(codes, return_inverse=True)
        counts = np.bincount(numbers.reshape(-1))
        shares = np.where(used == ZERO, 0.0, 1.0 / counts).astype("float32")
        self.numbers = keras.Variable(numbers.reshape(-1), dtype="int32", trainable=False, name="cluster_numbers")
        self.shares = keras.Variable(shares, trainable=False, name="cluster_shares")
        self.count = len(used)
        self.inner = inner

    def gradient(self, gradient: Any) -> Any:
        """The mean of each cluster's gradients in place of its members'."""
        return self._mean(keras.ops.convert_to_tensor(gradient))

    def __call__(self, variable: Any) -> Any:
        if self.inner is not None:
            variable = self.inner(variable)
        return self._mean(variable)

    def _mean(self, values: Any) -> Any:
        flat = keras.ops.reshape(values, (-1,))
        sums = keras.ops.segment_sum(flat, self.numbers, num_segments=self.count)
        means = sums * keras.ops.cast(self.shares, sums.dtype)
        return keras.ops.reshape(keras.ops.take(means, self.numbers), keras.ops.shape(values))


@dataclass(frozen=True, kw_only=True)
class ClusteredWeights:
    """Codebooks by the key of the weight matrix (`weight_matrices`): "conv1", "lstm/recurrent_kernel"."""

    codebooks: Mapping[str, Codebook]

    @property
    def summary(self) -> str:
        books = self.codebooks.values()
        counts = sorted({book.clusters for book in books})
        most = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        whose = "output channel" if all(book.per_channel for book in books) else "matrix"
        return f"weights of {len(self.codebooks)} matrices share at most {most} values per {whose}"

    def hold(self, model: keras.Model) -> None:
        """Tie the weights of each cluster in every later update."""
        variables = weight_matrices(model)
        for key, book in self.codebooks.items():
            if key in variables and tuple(variables[key].shape) == book.codes.shape:
                variables[key].constraint = SharedValues(book.codes, variables[key].constraint)

    def check(self, model: keras.Model) -> list[Violation]:
        """Weight matrices that are missing, have another shape, or hold more values than promised."""
        violations = []
        variables = weight_matrices(model)
        for key, book in self.codebooks.items():
            if key not in variables:
                violations.append(Violation(layer=key, detail=GONE))
                continue
            values = np.asarray(variables[key])
            if values.shape != book.codes.shape:
                detail = f"it has shape {values.shape}, the codebook {book.codes.shape}"
                violations.append(Violation(layer=key, detail=detail))
                continue
            detail = _broken(values, book, slice(None), channels_apart=book.per_channel)
            if detail:
                violations.append(Violation(layer=key, detail=detail))
        return violations

    def check_file(self, content: bytes) -> list[Violation]:
        """Codebooks that no weight tensor of the file obeys.

        The file has no layer names, so each codebook must find a tensor of its own with equal numbers wherever weights
        share a value. Where channels may have factors of their own (scales of integers, a folded BatchNormalization)
        that is asked of each output channel apart.
        """

        def obeys(part: MatrixPart, values: np.ndarray) -> bool:
            book = self.codebooks[part.key]
            apart = book.per_channel or book.may_be_scaled or values.dtype.kind in "iu"
            return not _broken(values, book, part.columns, channels_apart=apart)

        return [
            Violation(
                layer=key,
                detail=f"no weight tensor of the file shares its at most {self.codebooks[key].clusters:,} values "
                "as promised",
            )
            for key in unfound(content, {key: book.codes.shape for key, book in self.codebooks.items()}, obeys)
        ]

    def resized(self, kept: KeptAxes) -> ClusteredWeights:
        """The codebooks of the weights that are left."""
        books = {}
        for path, book in self.codebooks.items():
            books[path] = replace(book, codes=keep_indices(book.codes, kept[path])) if path in kept else book
        return ClusteredWeights(codebooks=books)

    def to_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for path, book in self.codebooks.items():
            state[f"codes|{path}"] = book.codes
            facts = [book.clusters, book.per_channel, book.may_be_scaled, *book.channel_axes]
            state[f"facts|{path}"] = np.array(facts, np.int64)
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ClusteredWeights:
        books = {}
        for name, codes in state.items():
            kind, path = name.split("|", 1)
            if kind == "codes":
                clusters, per_channel, may_be_scaled, *channel_axes = (int(fact) for fact in state[f"facts|{path}"])
                books[path] = Codebook(
                    codes=np.asarray(codes, np.int32),
                    clusters=clusters,
                    per_channel=bool(per_channel),
                    may_be_scaled=bool(may_be_scaled),
                    channel_axes=tuple(channel_axes),
                )
        return cls(codebooks=books)


def distinct_values(values: np.ndarray, channel_axes: tuple[int, ...] = ()) -> int:
    """Distinct numbers of an array; with `channel_axes` the most that any channel has."""
    # As float64: numpy 2.4's sort of float16 was seen to leave numbers out of order.
    table = np.sort(as_channels(values, channel_axes).astype(np.float64), axis=0)
    return int((1 + np.count_nonzero(np.diff(table, axis=0), axis=0)).max())


def _broken(values: np.ndarray, book: Codebook, columns: slice, *, channels_apart: bool) -> str:
    """What is wrong with weights that stand for some columns (of the last axis) of a codebook, in numbers; empty when
    nothing is.

    Args:
        channels_apart: Whether weights share values only within their output channel.
    """
    codes = book.codes[..., columns]
    if codes.shape != book.codes.shape:
        ties = book.part(columns, channels_apart=channels_apart)
    else:
        ties = book.ties_within_channels if channels_apart else book.ties
    untied = ties.untied(values)
    if untied:
        return f"{untied:,} of {values.size:,} weights differ from the cluster that they share a value with"
    distinct = distinct_values(values, book.channel_axes if channels_apart else ())
    if distinct > book.clusters:
        whose = "an output channel" if channels_apart else "the matrix"
        return f"{whose} has {distinct:,} distinct values, promised were at most {book.clusters:,}"
    revived = int(np.count_nonzero(values[codes == ZERO]))
    return f"{revived:,} weights promised to be zero are not" if revived else ""
