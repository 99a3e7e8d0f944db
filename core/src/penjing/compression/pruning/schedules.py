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


def iterative_sparsity(progress: float, *, final: float, begin: float, end: float, rounds: int) -> float:
    """Sparsity that rises in rounds, each taking the same share of what is left: s_k = 1 - (1 - s_f)^(k / n).

    Source: the iterative pruning of Han et al. 2015, "Learning both weights and connections", with the geometric
    rounds of Frankle and Carbin 2019, "The lottery ticket hypothesis".

    Args:
        progress: Share of the training that is done, 0 to 1.
        final: Sparsity s_f of the last round.
        begin: Share of the training at which the first round begins.
        end: Share of the training by which the last round has begun.
        rounds: Their number n.
    """
    if progress < begin:
        return 0.0
    if progress >= end:
        return final
    number = 1 + int(rounds * (progress - begin) / (end - begin) + 1e-9)
    return final if number >= rounds else 1.0 - float((1.0 - final) ** (number / rounds))
