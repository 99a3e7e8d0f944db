"""The technique `cluster-weights`: weights of a kernel share a few values.

Source: Han, Mao and Dally 2016, "Deep Compression", section 3. A file holds every weight as before, so its size does
not change; it zips better, and a runtime with lookup tables could store each weight as a number of a few bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.clustering.clustered_weights import ZERO, ClusteredWeights, Codebook
from penjing.compression.clustering.kmeans import cluster_numbers
from penjing.compression.clustering.shareable import Weights, as_channels, from_channels, shareable_weights
from penjing.compression.determinism import mix_seed
from penjing.compression.finetuning import apply_constraints
from penjing.compression.model_tree import check_matrix_patterns, key_matches, walk_layers
from penjing.compression.settings.clustering import ClusterWeightsSettings
from penjing.contract import ExportSettings, LayerChange, StepContext, StepOutcome
from penjing.errors import ModelError
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph


def share_values(
    values: np.ndarray,
    zeros: np.ndarray,
    settings: ClusterWeightsSettings,
    clusters: int,
    channel_axes: tuple[int, ...],
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster one weight matrix.

    Args:
        values: float32 of any shape.
        zeros: bool of the same shape; these weights become the cluster of zeros, which counts as one of `clusters`.
        clusters: Distinct values wanted for the matrix, or for each output channel, at least 2.
        channel_axes: The axes that number the output channels.

    Returns:
        (codes, shared): int32 numbers of the clusters, 0 for zeros; and float32 weights with their shared values.
    """
    axes = channel_axes if settings.scope == "channel" else ()
    tables = as_channels(values, axes)
    zero_tables = as_channels(zeros, axes)
    codes = np.full(tables.shape, ZERO, np.int32)
    shared = np.zeros(tables.shape, np.float32)
    next_code = ZERO + 1
    for column in range(tables.shape[1]):
        free = ~zero_tables[:, column]
        if not free.any():
            continue
        count = clusters - int(not free.all())
        centroids, labels = cluster_numbers(tables[free, column], count, settings.start, mix_seed(seed, column))
        codes[free, column] = next_code + labels
        shared[free, column] = centroids.astype(np.float32)[labels]
        next_code += len(centroids)
    return from_channels(codes, values.shape, axes), from_channels(shared, values.shape, axes)


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What is to be clustered, and why the rest is not."""

    clusters: Mapping[str, int]
    """By the key of the weight matrix."""
    left_alone: Mapping[str, str]
    """Reasons by the key of the matrix, or by the path of a layer that has none."""


def _choose(
    model: keras.Model, found: Mapping[str, Weights], settings: ClusterWeightsSettings, held: Mapping[str, Any]
) -> _Choice:
    check_matrix_patterns(model, settings.exclude, "exclude")
    check_matrix_patterns(model, list(settings.layers), "layers")
    clusters: dict[str, int] = {}
    left_alone: dict[str, str] = {}
    for path, weights in found.items():
        counts = [count for pattern, count in settings.layers.items() if key_matches(path, [pattern])]
        wanted = counts[0] if counts else settings.default_clusters
        shape = tuple(weights.variable.shape)
        size = int(np.prod(shape))
        if settings.scope == "channel":
            size //= int(np.prod([shape[axis] for axis in weights.channel_axes]))
        if key_matches(path, settings.exclude):
            left_alone[path] = "fits 'exclude'"
        elif path in held:
            left_alone[path] = "shares its values by an earlier step"
        elif size <= wanted:
            whose = "a channel" if settings.scope == "channel" else "it"
            left_alone[path] = f"{whose} has {size:,} weights, no more than {wanted:,} clusters"
        else:
            clusters[path] = wanted
    for path, layer in walk_layers(model):
        if layer.weights and not any(f"{key}/".startswith(f"{path}/") for key in found):
            left_alone[path] = f"{type(layer).__name__} has no weights to share"
    if settings.start == "optimal":
        _check_memory(found, clusters)
    if not clusters and not any(path in held for path in found):
        raise ModelError(
            "the model has no weights to cluster",
            why="; ".join(f"{path}: {reason}" for path, reason in left_alone.items()) or "it has no weights",
            hint="choose fewer clusters, check 'exclude', or leave the step out",
        )
    return _Choice(clusters=clusters, left_alone=left_alone)


_MOST_PLACES = 2**28
"""Entries of 4 bytes in the table of the optimal division: one for each weight and cluster."""


def _check_memory(found: Mapping[str, Weights], clusters: Mapping[str, int]) -> None:
    for path, count in clusters.items():
        size = int(np.prod(found[path].variable.shape))
        if size * count > _MOST_PLACES:
            raise ModelError(
                f"start = 'optimal' does not fit {size:,} weights and {count:,} clusters",
                where=f"layer '{path}'",
                why=f"its table would take {4 * size * count / 1e9:.1f} GB",
                hint="choose start = 'linear', or fewer clusters",
            )


def explain(model: keras.Model, settings: ClusterWeightsSettings) -> list[LayerChange]:
    """How many values each layer's weights would share."""
    found = shareable_weights(model)
    choice = _choose(model, found, settings, {})
    whose = " in each output channel" if settings.scope == "channel" else ""
    changes = {
        path: f"{int(np.prod(found[path].variable.shape)):,} weights share at most {count:,} values{whose}"
        for path, count in choice.clusters.items()
    }
    changes |= {path: f"left alone: {reason}" for path, reason in choice.left_alone.items()}
    order = [*found, *(path for path in choice.left_alone if path not in found)]
    return [LayerChange(layer=path, change=changes[path]) for path in order]


def apply(context: StepContext, settings: ClusterWeightsSettings) -> StepOutcome:
    """Cluster the weights, then train the shared values; nothing where all of them share values already."""
    model = context.model
    found = shareable_weights(model)
    choice = _choose(model, found, settings, _held_codebooks(context))
    left_alone = [LayerChange(layer=path, change=f"left alone: {why}") for path, why in choice.left_alone.items()]
    if not choice.clusters:
        summary = "nothing to cluster: the weights share their values by an earlier step; the model is unchanged"
        return StepOutcome(model=model, summary=summary, layers=tuple(left_alone))
    masks = _held_masks(context)
    before = FileGraph.from_bytes(to_litert(model, ExportSettings()))
    books, error, square = {}, 0.0, 0.0
    for number, (path, clusters) in enumerate(choice.clusters.items()):
        weights = found[path]
        values = np.asarray(weights.variable)
        zeros = ~masks[path] if path in masks else np.zeros(values.shape, bool)
        if settings.keep_zeros == "all":
            zeros |= values == 0
        codes, shared = share_values(
            values, zeros, settings, clusters, weights.channel_axes, mix_seed(context.seed, "clusters", number)
        )
        weights.variable.assign(shared)
        error += float(((values - shared).astype(np.float64) ** 2).sum())
        square += float((values.astype(np.float64) ** 2).sum())
        books[path] = Codebook(
            codes=codes,
            clusters=clusters,
            per_channel=settings.scope == "channel",
            channel_axes=weights.channel_axes,
            may_be_scaled=weights.may_be_scaled,
        )
    promise = ClusteredWeights(codebooks=books)
    at_start = context.evaluate(model)
    promise.hold(model)
    history = context.fit(model, settings)
    apply_constraints(model)
    after = FileGraph.from_bytes(to_litert(model, ExportSettings()))
    size = sum(book.codes.size for book in books.values())
    zeros_kept = sum(int((book.codes == ZERO).sum()) for book in books.values())
    values_left = sum(len(np.unique(book.codes)) for book in books.values())
    layers = [LayerChange(layer=path, change=_shared(book)) for path, book in books.items()]
    return StepOutcome(
        model=model,
        summary=f"{size:,} weights of {len(books)} matrices share {values_left:,} values; float32 file "
        f"{len(before.content):,} -> {len(after.content):,} bytes, zipped {before.zip_bytes:,} -> {after.zip_bytes:,}",
        invariants=(promise,),
        layers=(*layers, *left_alone),
        figures={
            "shared_weights": size,
            "distinct_values": values_left,
            "kept_zeros": zeros_kept,
            "relative_squared_error": error / square if square else 0.0,
            "validation_before_training": at_start,
            "float32_bytes_before": len(before.content),
            "float32_bytes_after": len(after.content),
            "float32_zip_bytes_before": before.zip_bytes,
            "float32_zip_bytes_after": after.zip_bytes,
        },
        history=history,
    )


def _shared(book: Codebook) -> str:
    whose = f", at most {book.clusters:,} in an output channel" if book.per_channel else ""
    zeros = int((book.codes == ZERO).sum())
    kept = f"; {zeros:,} stay zero" if zeros else ""
    return f"{book.codes.size:,} weights share {len(np.unique(book.codes)):,} values{whose}{kept}"


def _held_masks(context: StepContext) -> dict[str, np.ndarray]:
    """Zeros that earlier steps promised, by path (False = zero)."""
    held: dict[str, np.ndarray] = {}
    for invariant in context.invariants:
        for path, mask in getattr(invariant, "masks", {}).items():
            held[path] = mask & held[path] if path in held else mask
    return held


def _held_codebooks(context: StepContext) -> dict[str, Any]:
    """Codebooks of earlier steps: clustering their weights anew could tear a cluster apart."""
    held: dict[str, Any] = {}
    for invariant in context.invariants:
        held.update(getattr(invariant, "codebooks", {}))
    return held


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"clusters": [8, 16, 32, 64], "scope": ["layer", "channel"], "start": ["linear", "density", "optimal"]}
