"""The engine's own techniques, as the `penjing_techniques` hook hands them out. Imports nothing heavy."""

from __future__ import annotations

from penjing.contract import Technique

_SETTINGS = "penjing.compression.settings"
_PRUNE = "penjing.compression.pruning.weights"
_CHANNELS = "penjing.compression.pruning.channels"
_DEAD = "penjing.compression.pruning.dead.technique"
_QUANTIZE = "penjing.compression.quantization.post_training"
_DISTILL = "penjing.compression.distillation.technique"
_CLUSTER = "penjing.compression.clustering"
_FACTORIZE = "penjing.compression.factorization.low_rank"
_AWARE = "penjing.compression.quantization.aware_training"

TECHNIQUES = (
    Technique(
        name="finetune",
        summary="Train the model further, keeping every promise of earlier steps.",
        settings=f"{_SETTINGS}.training:FinetuneSettings",
        apply="penjing.compression.finetuning:apply",
        explain="penjing.compression.finetuning:explain",
    ),
    Technique(
        name="distill",
        summary="Learn from a teacher: its outputs, its layers, its relations, on top of the labels.",
        settings=f"{_SETTINGS}.distillation:DistillSettings",
        apply=f"{_DISTILL}:apply",
        explain=f"{_DISTILL}:explain",
        search_space=f"{_DISTILL}:search_space",
    ),
    Technique(
        name="remove-dead",
        summary="Remove channels that are provably constant or unread: the outputs stay the same.",
        settings=f"{_SETTINGS}.dead_channels:RemoveDeadSettings",
        apply=f"{_DEAD}:apply",
        explain=f"{_DEAD}:explain",
        preview=f"{_DEAD}:preview",
        search_space=f"{_DEAD}:search_space",
        changes_structure=True,
    ),
    Technique(
        name="factorize",
        summary="Layers become products of thinner layers: fewer parameters and fewer MACs.",
        settings=f"{_SETTINGS}.factorization:FactorizeSettings",
        apply=f"{_FACTORIZE}:apply",
        explain=f"{_FACTORIZE}:explain",
        preview=f"{_FACTORIZE}:preview",
        search_space=f"{_FACTORIZE}:search_space",
        changes_structure=True,
    ),
    Technique(
        name="prune-weights",
        summary="Small weights become zero and stay zero (a smaller zip, not a smaller file).",
        settings=f"{_SETTINGS}.weight_pruning:PruneWeightsSettings",
        apply=f"{_PRUNE}:apply",
        invariants=(
            "penjing.compression.pruning.sparsity_mask:SparsityMask",
            "penjing.compression.pruning.structured_mask:StructuredMask",
        ),
        explain=f"{_PRUNE}:explain",
        search_space=f"{_PRUNE}:search_space",
        not_after=("cluster-weights",),
    ),
    Technique(
        name="prune-channels",
        summary="Whole channels go, with all that hangs on them: a smaller and faster model.",
        settings=f"{_SETTINGS}.channel_pruning:PruneChannelsSettings",
        apply=f"{_CHANNELS}:apply",
        invariants=("penjing.compression.pruning.channel_counts:ChannelCounts",),
        explain=f"{_CHANNELS}:explain",
        preview=f"{_CHANNELS}:preview",
        search_space=f"{_CHANNELS}:search_space",
        changes_structure=True,
    ),
    Technique(
        name="cluster-weights",
        summary="Weights of a layer share a few values (a smaller zip, not a smaller file).",
        settings=f"{_SETTINGS}.clustering:ClusterWeightsSettings",
        apply=f"{_CLUSTER}.sharing:apply",
        invariants=(f"{_CLUSTER}.clustered_weights:ClusteredWeights",),
        explain=f"{_CLUSTER}.sharing:explain",
        search_space=f"{_CLUSTER}.sharing:search_space",
    ),
    Technique(
        name="quantize-aware-training",
        summary="Train with simulated int8 or int4 weights and integer activations; the file equals the simulation.",
        settings=f"{_SETTINGS}.aware_training:QuantizeAwareTrainingSettings",
        apply=f"{_AWARE}:apply",
        explain=f"{_AWARE}:explain",
        preview=f"{_AWARE}:preview",
        search_space=f"{_AWARE}:search_space",
        freezes_structure=True,
    ),
    Technique(
        name="quantize",
        summary="Post-training quantization: int8, dynamic or float16.",
        settings=f"{_SETTINGS}.quantization:QuantizeSettings",
        apply=f"{_QUANTIZE}:apply",
        explain=f"{_QUANTIZE}:explain",
        preview=f"{_QUANTIZE}:preview",
        search_space=f"{_QUANTIZE}:search_space",
        ends_recipe=True,
        conflict=f"{_SETTINGS}.quantization:conflict",
    ),
)
