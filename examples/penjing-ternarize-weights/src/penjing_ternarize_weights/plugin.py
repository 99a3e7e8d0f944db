"""What the plugin contributes. Imports nothing heavy: code is named here, and imported when it is needed."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Technique


@hookimpl
def penjing_techniques() -> Iterable[Technique]:
    yield Technique(
        name="ternarize-weights",
        summary="Weights become -a, 0 or a, with one magnitude a for each output channel.",
        settings="penjing_ternarize_weights.settings:Settings",
        apply="penjing_ternarize_weights.technique:apply",
        explain="penjing_ternarize_weights.technique:explain",
        search_space="penjing_ternarize_weights.technique:search_space",
        # Each decides anew about single weights, or shares values across channels.
        not_after=("cluster-weights",),
        not_before=("cluster-weights", "prune-weights"),
        invariants=("penjing_ternarize_weights.promise:TernaryWeights",),
    )
