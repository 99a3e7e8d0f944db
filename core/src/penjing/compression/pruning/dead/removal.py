"""Remove what is dead from a model, round by round, until nothing is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import keras
import numpy as np

from penjing.compression.bounds.calls import CallGraph, is_plain
from penjing.compression.bounds.propagation import ModelBounds, Range, model_bounds
from penjing.compression.pruning.dead.constant_branches import find_constant_branches
from penjing.compression.pruning.dead.liveness import DeadChannels, find_dead
from penjing.compression.pruning.dead.observation import observed_constants
from penjing.compression.pruning.dead.rewriting import find_idle, rebuilt
from penjing.compression.structure.graph import ChannelGraph
from penjing.compression.structure.surgery import join_kept, remove_atoms

Kept = dict[str, list[np.ndarray | None]]


@dataclass
class Removal:
    """A model and what it took to get there."""

    model: keras.Model
    kept: Kept = field(default_factory=dict)
    dead: dict[str, Counter[str]] = field(default_factory=dict)
    """Channels removed by layer and rule."""
    idle: dict[str, str] = field(default_factory=dict)
    """Layers left out, and why they did nothing."""
    rounds: int = 0


def remove_dead(
    model: keras.Model,
    ranges: Sequence[Range],
    *,
    observed_on: Sequence[Sequence[np.ndarray]] = (),
    promised: bool = False,
    max_rounds: int = 10,
) -> Removal:
    """Remove what is dead until nothing is. The given model is not changed, and is returned where nothing is dead.

    Args:
        ranges: Of each input, in the order of `model.inputs`.
        observed_on: Parts of the data; channels that are constant on all of it then count as constant.
        promised: Earlier steps have promised something about kernels. Then no branch is left out, since its layers
            would be gone, and no weight that stays changes, but for biases.
        max_rounds: Removing may make more channels dead; at most so many rounds.
    """
    removal = Removal(model=model)
    for _ in range(max_rounds if is_plain(model) else 0):
        bounds = _analysed(removal.model, ranges, observed_on)
        idle = find_idle(bounds, merges=not promised)
        if idle:
            removal.model = rebuilt(removal.model, {path: index for path, (index, _) in idle.items()})
            removal.idle |= {path: why for path, (_, why) in idle.items()}
            bounds = _analysed(removal.model, ranges, observed_on)
        branches = {} if promised else _leave_out_constant_branches(removal, bounds, ranges, observed_on)
        if branches:
            idle = {**idle, **branches}
            bounds = _analysed(removal.model, ranges, observed_on)
        dead = find_dead(bounds, ChannelGraph.from_model(removal.model), promised=promised)
        lacking = {id(reader.layer) for reader in dead.lack_bias()}
        if lacking:
            removal.model = rebuilt(removal.model, {}, with_bias=lacking)
            bounds = _analysed(removal.model, ranges, observed_on)
            dead = find_dead(bounds, ChannelGraph.from_model(removal.model), promised=promised)
        if not idle and not dead.atoms.size:
            break
        removal.rounds += 1
        if dead.atoms.size:
            _remove(removal, dead)
    return removal


def _leave_out_constant_branches(
    removal: Removal, bounds: ModelBounds, ranges: Sequence[Range], observed_on: Sequence[Sequence[np.ndarray]]
) -> dict[str, tuple[int, str]]:
    """As `find_idle` has it; the constants are in the biases."""
    branches = find_constant_branches(bounds, ChannelGraph.from_model(removal.model))
    lacking = {id(layer) for branch in branches for layer in branch.lack_bias()}
    if lacking:
        removal.model = rebuilt(removal.model, {}, with_bias=lacking)
        bounds = _analysed(removal.model, ranges, observed_on)
        branches = find_constant_branches(bounds, ChannelGraph.from_model(removal.model))
    if not branches:
        return {}
    before = removal.model
    weights = before.get_weights()
    try:
        for branch in branches:
            branch.fold()
        removal.model = rebuilt(before, {branch.path: branch.kept for branch in branches})
    finally:
        before.set_weights(weights)  # it may be the caller's
    left_out = {branch.path: (branch.kept, branch.why) for branch in branches}
    removal.idle |= {path: why for path, (_, why) in left_out.items()}
    return left_out


def _analysed(model: keras.Model, ranges: Sequence[Range], observed_on: Sequence[Sequence[np.ndarray]]) -> ModelBounds:
    graph = CallGraph.from_model(model)
    return model_bounds(graph, ranges, observed_constants(graph, observed_on) if observed_on else None)


def _remove(removal: Removal, dead: DeadChannels) -> None:
    before = removal.model
    weights = before.get_weights()
    try:
        dead.fold()
        removal.model, kept = remove_atoms(dead.graph, dead.atoms)
    finally:
        before.set_weights(weights)  # it may be the caller's
    removal.kept = join_kept(removal.kept, kept)
    for path, counts in dead.by_layer().items():
        removal.dead[path] = removal.dead.get(path, Counter()) + counts
