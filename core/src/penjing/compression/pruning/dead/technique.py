"""The technique `remove-dead`: channels that are provably constant or unread go, and the outputs stay the same.

Method: interval bound propagation (Gowal et al. 2018) from the input's declared range gives what each channel can be;
a channel that is one number wherever it is read goes into the bias behind it; what nothing reads any more is found by
liveness from the outputs backwards, as compilers find dead code. Removal is that of structured pruning
(`compression.structure`). The difference at the outputs is measured, and the step fails if there is one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras

from penjing.bundle.atomic import write_json_atomically
from penjing.compression.bounds.calls import CallGraph, is_plain
from penjing.compression.bounds.propagation import UNBOUNDED, Range, model_bounds
from penjing.compression.model_tree import count_parameters, walk_layers
from penjing.compression.pruning.dead.certificate import LIMIT, Difference, check, compare
from penjing.compression.pruning.dead.constant_branches import find_constant_branches
from penjing.compression.pruning.dead.liveness import channel_counts, find_dead
from penjing.compression.pruning.dead.ranges import (
    declared_ranges,
    input_arrays,
    input_names,
    random_inputs,
    ranges_of,
    some_of,
)
from penjing.compression.pruning.dead.removal import Removal, remove_dead
from penjing.compression.pruning.dead.rewriting import find_idle
from penjing.compression.settings.dead_channels import RemoveDeadSettings
from penjing.compression.structure.graph import ChannelGraph
from penjing.contract import LayerChange, Preview, StepContext, StepOutcome


def explain(model: keras.Model, settings: RemoveDeadSettings) -> list[LayerChange]:
    """Dead channels by layer and rule, before anything is changed."""
    declared = declared_ranges(model, settings)
    if not is_plain(model):
        return [LayerChange(layer="", change="left alone: the model has a call of its own, nothing is known of it")]
    graph = CallGraph.from_model(model)
    bounds = model_bounds(graph, [declared.get(name, UNBOUNDED) for name in input_names(model)])
    changes = []
    if not declared:
        text = "the input's range will come from the data; what is listed here is dead for every input"
        changes.append(LayerChange(layer="", change=text))
    if settings.evidence == "data":
        text = "channels that are constant on all data will go as well, unproven; they are not known yet"
        changes.append(LayerChange(layer="", change=text))
    dead = find_dead(bounds, ChannelGraph.from_model(model))
    sizes, counts = channel_counts(dead.graph), dead.by_layer()
    for path, size in sizes.items():
        changes.append(LayerChange(layer=path, change=_dead(size, counts.get(path, Counter()))))
    idle = {path: why for path, (_, why) in find_idle(bounds).items()}
    idle |= {
        branch.path: branch.why for branch in find_constant_branches(bounds, dead.graph) if branch.path not in idle
    }
    for path, why in idle.items():
        changes.append(LayerChange(layer=path, change=f"left out: {why}"))
    return changes


def preview(model: keras.Model, settings: RemoveDeadSettings) -> Preview:
    """The model without what is dead for the declared range, or for any input where none is declared."""
    declared = declared_ranges(model, settings)
    ranges = [declared.get(name, UNBOUNDED) for name in input_names(model)]
    return Preview(model=remove_dead(model, ranges, max_rounds=settings.max_rounds).model)


def _dead(size: int, counts: Counter[str]) -> str:
    if not counts:
        return f"none of {size:,} channels dead"
    rules = ", ".join(f"{count:,} {rule}" for rule, count in sorted(counts.items()))
    return f"{counts.total():,} of {size:,} channels dead ({rules})"


def apply(context: StepContext, settings: RemoveDeadSettings) -> StepOutcome:
    """Remove dead channels and layers, and certify that the outputs are the same.

    Raises:
        DataError: The data leaves the declared input range.
        CheckFailedError: The outputs would change; nothing is removed then.
    """
    model = context.model
    parts = [context.train.x, context.validation.x]
    ranges = ranges_of(model, settings, parts)
    proven = settings.evidence == "proof"
    removal = remove_dead(
        model,
        [ranges[name] for name in input_names(model)],
        observed_on=[] if proven else [input_arrays(model, x) for x in parts],
        promised=bool(context.invariants),
        max_rounds=settings.max_rounds,
    )
    real = [some_of(x, settings.examples) for x in parts]
    difference = compare(model, removal.model, real, random_inputs(model, ranges, settings.examples, context.seed))
    check(difference, proven=proven)
    document = _certificate(model, removal, ranges, difference, settings)
    write_json_atomically(context.folder / "certificate.json", document)
    return StepOutcome(
        model=removal.model,
        summary=_summary(document),
        layers=tuple(_layer_changes(document)),
        figures=_figures(document),
        kept=removal.kept,
    )


def _certificate(
    model: keras.Model,
    removal: Removal,
    ranges: Mapping[str, Range],
    difference: Difference,
    settings: RemoveDeadSettings,
) -> dict[str, Any]:
    """What was removed, by which rule, and what it changed, as JSON values."""
    before, after = _parameters(model), _parameters(removal.model)
    sizes = channel_counts(ChannelGraph.from_model(model))
    layers = []
    for path, parameters in before.items():
        counts = removal.dead.get(path, Counter())
        lost = parameters - after.get(path, 0)
        if counts or lost or path in removal.idle:
            layers.append(
                {
                    "layer": path,
                    "channels": sizes.get(path, 0),
                    "channels_removed": counts.total(),
                    "rules": dict(sorted(counts.items())),
                    "left_out": removal.idle.get(path, "no later layer reads it" if path not in after else ""),
                    "parameters_removed": lost,
                }
            )
    removed = count_parameters(model) - count_parameters(removal.model)
    data = "the data's span" if settings.input_range is None else "declared"
    return {
        "statement": "Every removed channel is constant or unread for all inputs within the range."
        if settings.evidence == "proof"
        else "Some removed channels were only observed to be constant on the data: this is no proof.",
        "evidence": settings.evidence,
        "input_range": {name: _finite_range(span) for name, span in ranges.items()},
        "input_range_from": data,
        "widened_by": 0.0 if settings.input_range is not None else settings.widen,
        "largest_difference_on_data": difference.real,
        "largest_difference_on_random_inputs": difference.random,
        "limit": LIMIT,
        "unit": "share of the output's range",
        "output_ranges": [list(span) for span in difference.ranges],
        "examples_of_data": difference.examples_real,
        "random_examples": difference.examples_random,
        "rounds": removal.rounds,
        "channels_removed": sum(counts.total() for counts in removal.dead.values()),
        "channels_by_rule": dict(sorted(sum(removal.dead.values(), Counter()).items())),
        "parameters_before": count_parameters(model),
        "parameters_removed": removed,
        "bytes_removed_float32": 4 * removed,
        "layers": layers,
    }


def _finite_range(span: Range) -> list[float | None]:
    return [None if abs(end) == float("inf") else end for end in span]


def _parameters(model: keras.Model) -> dict[str, int]:
    """Number of weights by layer path."""
    return {path: sum(math.prod(weight.shape) for weight in layer.weights) for path, layer in walk_layers(model)}


def _layer_changes(document: Mapping[str, Any]) -> list[LayerChange]:
    changes = []
    for layer in document["layers"]:
        text = _dead(layer["channels"], Counter(layer["rules"])) if layer["channels_removed"] else ""
        text = f"left out: {layer['left_out']}" if layer["left_out"] else text
        if layer["parameters_removed"]:
            text = ", ".join(filter(None, [text, f"{layer['parameters_removed']:,} parameters less"]))
        changes.append(LayerChange(layer=layer["layer"], change=text))
    return changes or [LayerChange(layer="", change="nothing dead")]


def _summary(document: Mapping[str, Any]) -> str:
    if not document["layers"]:
        return "nothing dead: the model is unchanged"
    how = "proven dead" if document["evidence"] == "proof" else "dead on the data (not proven)"
    return (
        f"{document['channels_removed']:,} channels {how}, {document['parameters_removed']:,} of "
        f"{document['parameters_before']:,} parameters removed; outputs differ by at most "
        f"{document['largest_difference_on_data']:.1g} of their range"
    )


def _figures(document: Mapping[str, Any]) -> dict[str, float]:
    figures = {
        name: float(document[name])
        for name in ("channels_removed", "parameters_removed", "bytes_removed_float32", "largest_difference_on_data")
    }
    if document["largest_difference_on_random_inputs"] is not None:
        figures["largest_difference_on_random_inputs"] = document["largest_difference_on_random_inputs"]
    for rule, count in document["channels_by_rule"].items():
        figures[f"channels: {rule}"] = float(count)
    return figures


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"evidence": ["proof", "data"]}
