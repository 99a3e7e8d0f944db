"""How sparsity grows during training."""

from __future__ import annotations


def polynomial_sparsity(progress: float, *, initial: float, final: float, begin: float, end: float) -> float:
    """Sparsity at a point of the training: s = s_f + (s_i - s_f) (1 - (t - t_0) / (t_1 - t_0))^3.

    Source: Zhu and Gupta 2017, "To prune, or not to prune", equation 1.

    Args:
        progress: Share of the training that is done, 0 to 1.
        initial: Sparsity s_i at `begin`; there is none before it.
        final: Sparsity s_f from `end` on.
        begin: Share of the training t_0 at which pruning begins.
        end: Share of the training t_1 at which the final sparsity is reached.
    """
    if progress < begin:
        return 0.0
    if progress >= end:
        return final
    remaining = 1.0 - (progress - begin) / (end - begin)
    return final + (initial - final) * remaining**3
