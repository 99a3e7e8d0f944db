"""The promise of `cluster-weights`: these weights share their values, in the model and in the exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.clustering.shareable import as_channels, shareable_weights
from penjing.compression.file_tensors import axis_orders, unmatched
from penjing.compression.model_tree import keep_indices
from penjing.contract import KeptAxes, Violation
from penjing.measure.file_graph import FileGraph, Tensor

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
    channel_axes: int = 1
    """How many axes, counted from the last, number the output channels."""
    may_be_scaled: bool = False
    """True where the file may hold the kernel times a factor for each output channel."""

    def channels(self) -> np.ndarray:
        """The number of each weight's output channel, int64 of the kernel's shape."""
        shape = self.codes.shape
        numbers = np.arange(int(np.prod(shape[len(shape) - self.channel_axes :])))
        return np.broadcast_to(numbers, as_channels(self.codes, self.channel_axes).shape).reshape(shape)

    def within_channels(self) -> np.ndarray:
        """Codes that differ from channel to channel, for tensors whose channels have scales of their own."""
        channels = self.channels()
        codes = self.codes.astype(np.int64)
        return np.where(codes == ZERO, ZERO, 1 + codes * (int(channels.max()) + 1) + channels)


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
    """Codebooks by the path of the weights ("conv1", "lstm/recurrent_kernel")."""

    codebooks: Mapping[str, Codebook]

    @property
    def summary(self) -> str:
        books = self.codebooks.values()
        counts = sorted({book.clusters for book in books})
        most = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        whose = "output channel" if all(book.per_channel for book in books) else "kernel"
        return f"weights of {len(self.codebooks)} kernels share at most {most} values per {whose}"

    def hold(self, model: keras.Model) -> None:
        """Tie the weights of each cluster in every later update."""
        found = shareable_weights(model)
        for path, book in self.codebooks.items():
            if path in found and tuple(found[path].variable.shape) == book.codes.shape:
                variable = found[path].variable
                variable.constraint = SharedValues(book.codes, variable.constraint)

    def check(self, model: keras.Model) -> list[Violation]:
        """Kernels that are missing, have another shape, or hold more values than promised."""
        violations = []
        found = shareable_weights(model)
        for path, book in self.codebooks.items():
            if path not in found:
                violations.append(Violation(layer=path, detail="the layer is gone"))
                continue
            values = np.asarray(found[path].variable)
            if values.shape != book.codes.shape:
                detail = f"its kernel has shape {values.shape}, the codebook {book.codes.shape}"
                violations.append(Violation(layer=path, detail=detail))
                continue
            detail = _broken(values, 0, book, book.per_channel)
            if detail:
                violations.append(Violation(layer=path, detail=detail))
        return violations

    def check_file(self, content: bytes) -> list[Violation]:
        """Codebooks that no weight tensor of the file obeys.

        The file has no layer names, so each codebook must find a tensor of its own that has its shape (in some order
        of axes) and equal numbers wherever weights share a value. Where channels have scales of their own
        (quantization, a folded BatchNormalization) that is asked of each output channel apart.
        """
        constants = [tensor for tensor in FileGraph.from_bytes(content).constants() if tensor.values.ndim >= 1]
        fits = np.zeros((len(self.codebooks), len(constants)), bool)
        for row, book in enumerate(self.codebooks.values()):
            for column, tensor in enumerate(constants):
                fits[row, column] = _obeys(tensor, book)
        books = list(self.codebooks.items())
        return [
            Violation(
                layer=books[row][0],
                detail=f"no weight tensor of the file shares its at most {books[row][1].clusters:,} values as promised",
            )
            for row in unmatched(fits)
        ]

    def resized(self, kept: KeptAxes) -> ClusteredWeights:
        """The codebooks of the weights that are left."""
        books = {}
        for path, book in self.codebooks.items():
            codes = keep_indices(book.codes, kept[path]) if path in kept else book.codes
            books[path] = Codebook(**{**vars(book), "codes": codes})
        return ClusteredWeights(codebooks=books)

    def to_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for path, book in self.codebooks.items():
            state[f"codes|{path}"] = book.codes
            state[f"facts|{path}"] = np.array(
                [book.clusters, book.per_channel, book.channel_axes, book.may_be_scaled], np.int64
            )
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ClusteredWeights:
        books = {}
        for name, codes in state.items():
            kind, path = name.split("|", 1)
            if kind == "codes":
                clusters, per_channel, channel_axes, may_be_scaled = (int(fact) for fact in state[f"facts|{path}"])
                books[path] = Codebook(
                    codes=np.asarray(codes, np.int32),
                    clusters=clusters,
                    per_channel=bool(per_channel),
                    channel_axes=channel_axes,
                    may_be_scaled=bool(may_be_scaled),
                )
        return cls(codebooks=books)


def distinct_values(values: np.ndarray, channels: np.ndarray | None = None) -> int:
    """Distinct numbers of an array; with `channels` (of its shape) the most that any channel has."""
    # As float64: numpy 2.4's sort of float16 was seen to leave numbers out of order.
    exact = values.reshape(-1).astype(np.float64)
    if channels is None:
        return len(np.unique(exact))
    pairs = np.unique(np.stack([channels.reshape(-1), exact]), axis=1)
    return int(np.unique(pairs[0], return_counts=True)[1].max())


def _broken(values: np.ndarray, zero: int, book: Codebook, channels_apart: bool) -> str:
    """What is wrong with weights of the codebook's shape, in numbers; empty when nothing is.

    Args:
        channels_apart: Whether weights share values only within their output channel.
    """
    distinct = distinct_values(values, book.channels() if channels_apart else None)
    if distinct > book.clusters:
        whose = "an output channel" if channels_apart else "the kernel"
        return f"{whose} has {distinct:,} distinct values, promised were at most {book.clusters:,}"
    labels = book.within_channels() if channels_apart else book.codes
    untied = int(np.count_nonzero(values != _first_of_each(values, labels)))
    if untied:
        return f"{untied:,} of {values.size:,} weights differ from the cluster that they share a value with"
    revived = int(np.count_nonzero(values[book.codes == ZERO] != zero))
    return f"{revived:,} weights promised to be zero are not" if revived else ""


def _first_of_each(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each weight the value of the first weight with the same label."""
    _, first, numbers = np.unique(labels.reshape(-1), return_index=True, return_inverse=True)
    return values.reshape(-1)[first][numbers.reshape(-1)].reshape(values.shape)


def _obeys(tensor: Tensor, book: Codebook) -> bool:
    values = tensor.values
    shapes = {book.codes.shape}
    if book.channel_axes == 2:  # the file numbers a depthwise kernel's channels on one axis
        shapes.add((*book.codes.shape[:-2], book.codes.shape[-2] * book.codes.shape[-1]))
    apart = book.per_channel or book.may_be_scaled or len(tensor.scales) > 1
    small = np.squeeze(values)
    for shape in shapes:
        target = [size for size in shape if size != 1]
        for axes in axis_orders(small.shape, target):
            ordered = np.transpose(small, axes).reshape(book.codes.shape)
            if not _broken(ordered, tensor.zero_point, book, apart):
                return True
    return False
