"""The technique `prune-channels`: whole channels go, so that file, MACs and time all shrink.

Channels that hang together (the inputs of an Add, a convolution with its BatchNormalization, the heads of an attention)
go together: see `penjing.compression.structure`. Which go is a matter of `criteria`; how many, of `selection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import check_patterns, walk_layers
from penjing.compression.pruning import criteria
from penjing.compression.pruning.channel_counts import ChannelCounts
from penjing.compression.pruning.selection import Limits, Selector, channels_left
from penjing.compression.settings.channel_pruning import PruneChannelsSettings
from penjing.compression.structure.cost import CostModel
from penjing.compression.structure.graph import ChannelGraph
from penjing.compression.structure.surgery import join_kept, remove_atoms
from penjing.contract import ExportSettings, LayerChange, Preview, Split, StepContext, StepOutcome
from penjing.errors import ModelError
from penjing.export.trial import file_cost

NOTHING = np.array([], np.int64)
_UNITS = {"macs": "MACs", "params": "weights", "flash": "bytes"}


def apply(context: StepContext, settings: PruneChannelsSettings) -> StepOutcome:
    """Prune in rounds, with a training after each."""
    model = context.model
    graph = prunable_graph(model, settings)
    if _all_stay(graph):  # and the settings take the nearest that can be had
        return StepOutcome(
            model=model, summary=f"nothing removed: {_why_all_stay(graph)}", layers=tuple(explain(model, settings))
        )
    macs, weights = CostModel(graph).macs(NOTHING), CostModel(graph).parameters(NOTHING)
    before = channels_left(graph, NOTHING)
    kept: dict[str, list[np.ndarray | None]] = {}
    invariants = list(context.invariants)
    history: dict[str, list[float]] = {}
    for number in range(1, settings.iterations + 1):
        if number > 1:
            graph = prunable_graph(model, settings)
        seed = context.seed + number
        scores = score(graph, settings, context.train, context.task, seed)
        part = number / settings.iterations
        gone = select(graph, settings, scores, part, (macs, weights))
        model, round_kept = remove_atoms(graph, gone.tolist())
        kept = join_kept(kept, round_kept)
        invariants = [invariant.resized(round_kept) for invariant in invariants]
        curves = context.fit(model, settings, label=f"round {number}", invariants=invariants)
        for name, values in curves.items():
            history.setdefault(name, []).extend(values)
    after_graph = ChannelGraph.from_model(model)
    cost = CostModel(after_graph)
    after = channels_left(after_graph, NOTHING)
    for path, layer in walk_layers(model):
        # A grouped convolution with one channel a group only hands channels on, as a depthwise one does.
        if path in before and path not in after:
            after[path] = (int(layer.filters), int(layer.filters))
    macs_left, weights_left = cost.macs(NOTHING), cost.parameters(NOTHING)
    channels = sum(count for count, _ in before.values()), sum(count for count, _ in after.values())
    return StepOutcome(
        model=model,
        summary=(
            f"{channels[0]:,} -> {channels[1]:,} channels, {macs:,} -> {macs_left:,} MACs "
            f"({macs_left / max(1, macs):.1%} left), {weights:,} -> {weights_left:,} weights, by {settings.criterion}"
            + _missed(settings, (macs, weights), (macs_left, weights_left))
        ),
        invariants=(ChannelCounts.of(model, [path for path in kept if "/" not in path or path in after]),),
        layers=tuple(
            LayerChange(
                layer=path,
                change=_change(count, after[path][0]),
                before=count,
                after=after[path][0],
                unit="channels",
            )
            for path, (count, _) in before.items()
        ),
        figures={
            "channels_before": channels[0],
            "channels_after": channels[1],
            "macs_before": macs,
            "macs_after": macs_left,
            "weights_before": weights,
            "weights_after": weights_left,
        },
        history=history,
        kept=kept,
    )


def prunable_graph(model: keras.Model, settings: PruneChannelsSettings) -> ChannelGraph:
    """The channel graph, checked.

    Raises:
        ModelError: A pattern fits no layer, or no channel of the model can go and the settings do not take what there
            is; the reasons are named.
    """
    check_patterns(model, settings.protect, "protect")
    graph = ChannelGraph.from_model(
        model, protect=settings.protect, renormalize=settings.normalization == "renormalize"
    )
    if _all_stay(graph) and not settings.nearest:
        raise ModelError(
            "no channel of the model can be removed",
            why=_why_all_stay(graph),
            hint="leave the step out, or prune weights; nearest = true goes on without",
        )
    return graph


def _all_stay(graph: ChannelGraph) -> bool:
    return all(group.protected for group in graph.groups)


def _why_all_stay(graph: ChannelGraph) -> str:
    reasons = dict.fromkeys(f"{', '.join(group.makers)}: {group.protected}" for group in graph.groups)
    return "; ".join(list(reasons)[:6]) or "it has no layer that makes channels"


def score(
    graph: ChannelGraph, settings: PruneChannelsSettings, train: Split | None, task: Any, seed: int
) -> np.ndarray:
    """Importance of each atom by the chosen criterion.

    Raises:
        ModelError: No channel that may go has a score.
    """
    name = settings.criterion
    if name in criteria.NEEDS_DATA:
        assert train is not None
        measure = criteria.taylor if name == "taylor" else criteria.apoz
        scores = measure(graph, train, task, settings.examples, seed)
    elif name == "random":
        scores = criteria.random_scores(graph, seed)
    elif name == "batchnorm-scale":
        scores = criteria.batchnorm_scale(graph)
    elif name == "geometric-median":
        scores = criteria.geometric_median(graph)
    elif name == "lamp":
        scores = criteria.lamp(graph)
    else:
        scores = criteria.magnitude(graph, 1 if name == "l1" else 2)
    free = [atom for group in graph.groups for atom in group.atoms.tolist() if graph.why_protected(atom) is None]
    if np.isnan(scores[free]).all():
        raise ModelError(
            f"the criterion '{name}' says nothing about this model",
            why={
                "batchnorm-scale": "no channel passes through a BatchNormalization with a scale",
                "apoz": "no layer at the top level reads a channel that may go",
            }.get(name, "no channel that may go belongs to a kernel"),
            hint="choose another criterion: criterion = 'l2'",
        )
    return scores


def select(
    graph: ChannelGraph,
    settings: PruneChannelsSettings,
    scores: np.ndarray,
    part: float,
    whole: tuple[int, int],
) -> np.ndarray:
    """Atoms that go in this round.

    Args:
        part: Share of the way to the target that this round must reach, 0 to 1.
        whole: MACs and weights before the first round.

    Raises:
        ModelError: The target cannot be reached, and the settings do not take the nearest that can, which is named.
    """
    limits = Limits(round_to=settings.round_to, min_channels=settings.min_channels, max_ratio=settings.max_ratio)
    selector = Selector(graph, scores, settings.scope, limits)
    cost = CostModel(graph)
    if settings.target == "ratio":
        assert settings.ratio is not None
        # Equal rounds: what each leaves, multiplied, is what is left in the end.
        left = 1.0 - settings.ratio
        return selector.removed(1.0 - left ** (1.0 / settings.iterations))
    if settings.target == "flash":
        return _for_flash(graph, selector, cost, settings, part)
    measure, total = (cost.parameters, whole[1]) if settings.target == "params" else (cost.macs, whole[0])
    limit = total - part * (total - _goal(settings, whole))
    chosen, reached = selector.for_cost(measure, limit)
    if not reached and not settings.nearest:
        raise _unreachable(settings.target, limit, measure(chosen), total)
    return chosen


def _goal(settings: PruneChannelsSettings, whole: tuple[int, int]) -> float:
    """MACs or weights that may be left, of so many."""
    total, asked = (whole[1], settings.params) if settings.target == "params" else (whole[0], settings.macs or 0.5)
    assert asked is not None
    return asked * total if asked < 1 else asked


def _missed(settings: PruneChannelsSettings, whole: tuple[int, int], left: tuple[int, int]) -> str:
    """What `nearest` has to say for itself."""
    number = {"macs": 0, "params": 1}.get(settings.target)
    if number is None or left[number] <= _goal(settings, whole):
        return ""
    return f"; {_goal(settings, whole):,.0f} {_UNITS[settings.target]} cannot be reached, this is the nearest"


def _unreachable(target: str, limit: float, nearest: float, total: float) -> ModelError:
    unit = _UNITS[target]
    return ModelError(
        f"{limit:,.0f} {unit} cannot be reached by removing channels",
        why=f"with the channels that may go, at least {nearest:,.0f} of {total:,.0f} {unit} are left",
        hint=f"{target} = {nearest:.0f} is the nearest (nearest = true takes it); or raise max_ratio, "
        "lower min_channels, protect less",
    )


def _for_flash(
    graph: ChannelGraph,
    selector: Selector,
    cost: CostModel,
    settings: PruneChannelsSettings,
    part: float,
) -> np.ndarray:
    """The fewest removals whose written file is within the limit.

    The size of a file is weights plus a rest (operators, scales), and the rest shrinks as well. So the file is really
    written: a straight line through the files written so far proposes the next number of weights.
    """
    assert settings.flash is not None
    form = ExportSettings(mode=settings.flash_format)
    whole = file_cost(graph.model, form).flash_bytes
    weights = cost.parameters(NOTHING)
    limit = whole - part * (whole - settings.flash)
    per_weight = 4.0 if settings.flash_format == "float32" else 1.0
    goal = weights - (whole - limit) / per_weight
    best: tuple[int, np.ndarray] | None = None
    least: tuple[float, float, np.ndarray] = (float("inf"), 0.0, NOTHING)
    seen: list[tuple[int, int]] = [(weights, whole)]
    for _ in range(8):
        chosen, reached = selector.for_cost(cost.parameters, goal)
        left = cost.parameters(chosen)
        if left in [known for known, _ in seen] and best is not None:
            break
        size = file_cost(remove_atoms(graph, chosen.tolist())[0], form).flash_bytes
        least = min(least, (size, left, chosen), key=lambda found: found[:2])
        seen.append((left, size))
        if size <= limit and (best is None or left > best[0]):
            best = (left, chosen)
        if not reached and size > limit:
            break
        (x0, y0), (x1, y1) = sorted(seen, key=lambda point: abs(point[1] - limit))[:2]
        slope = (y1 - y0) / (x1 - x0) if x1 != x0 and y1 != y0 else per_weight
        goal = max(1.0, x0 + (limit - y0) / slope - (0 if best else 1))
    if best is None and not settings.nearest:
        raise _unreachable("flash", limit, least[0], whole)
    return least[2] if best is None else best[1]


def explain(model: keras.Model, settings: PruneChannelsSettings) -> list[LayerChange]:
    """Channels of each layer before and after, and what they hang together with; before any training.

    Criteria that look at data say only how many may go.
    """
    graph = prunable_graph(model, settings)
    known = settings.criterion not in criteria.NEEDS_DATA and not _all_stay(graph)
    changes = []
    counts = channels_left(graph, NOTHING)
    if known:
        scores = score(graph, settings, None, None, 1)
        cost = CostModel(graph)
        whole = cost.macs(NOTHING), cost.parameters(NOTHING)
        gone = select(graph, settings.model_copy(update={"iterations": 1}), scores, 1.0, whole)
        counts = channels_left(graph, gone)
        unrounded = counts
        if settings.round_to > 1:
            free = select(graph, settings.model_copy(update={"iterations": 1, "round_to": 1}), scores, 1.0, whole)
            unrounded = channels_left(graph, free)
    for group in graph.groups:
        for path in group.makers:
            if path not in counts:
                continue
            others = [other for other in group.makers if other != path]
            more = " ..." if len(others) > 4 else ""
            tied = f", tied to {', '.join(others[:4])}{more}" if others else ""
            before, after = counts[path]
            if group.protected:
                text = f"all {before} channels stay: {group.protected}"
            elif known and before == after:
                text = f"all {before} channels stay: {_why_none_goes(before, unrounded[path][1], settings)}{tied}"
            elif known:
                text = _change(before, after) + tied
            else:
                text = f"{before} channels, how many go is decided by {settings.criterion} on training examples{tied}"
            changes.append(LayerChange(layer=path, change=text))
    return changes


def preview(model: keras.Model, settings: PruneChannelsSettings) -> Preview:
    """The model with the sizes that it will have, for the steps that follow in a dry run. Where data decide which
    channels go, magnitude stands in for it."""
    stand_in = {"criterion": "l2"} if settings.criterion in criteria.NEEDS_DATA else {}
    settings = settings.model_copy(update={**stand_in, "iterations": 1})
    graph = prunable_graph(model, settings)
    if _all_stay(graph):
        return Preview(model=model)
    cost = CostModel(graph)
    whole = cost.macs(NOTHING), cost.parameters(NOTHING)
    scores = score(graph, settings, None, None, 1)
    gone = select(graph, settings, scores, 1.0, whole)
    return Preview(model=remove_atoms(graph, gone.tolist())[0])


def _why_none_goes(before: int, unrounded: int, settings: PruneChannelsSettings) -> str:
    """Why a layer that nothing protects keeps all its channels."""
    if before <= settings.min_channels:
        return f"min_channels is {settings.min_channels}"
    if unrounded < before:
        return f"fewer than round_to = {settings.round_to} of them would go"
    if settings.scope == "local":
        return "the share that goes is less than one of them"
    return f"by {settings.criterion}, channels of other layers count for less"


def _change(before: int, after: int) -> str:
    return f"{before} -> {after} channels" if after != before else f"all {before} channels stay"


def search_space() -> dict[str, Sequence[Any]]:
    """Settings worth trying."""
    return {
        "macs": [0.8, 0.65, 0.5, 0.35, 0.25],
        "criterion": ["l2", "taylor", "batchnorm-scale", "geometric-median"],
        "scope": ["isomorphic", "global", "local"],
    }
