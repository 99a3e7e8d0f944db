"""The channel graph of a Keras model: which channels can go, and with which others.

Method: every layer that makes channels gets a unit for each. The graph is walked once, in the order of computation;
each layer's rule moves the units along, ties those that meet (the inputs of an Add, say), and notes which axis of
which variable belongs to which unit. The idea of grouping coupled parameters is that of DepGraph (Fang et al. 2023,
"Towards any structural pruning"); here it is kept per channel, so that concatenation, flattening and reshaping need no
special cases afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from penjing.compression.model_tree import check_traceable, matches
from penjing.compression.structure import kernel_rules, sequence_rules, shape_rules, value_rules  # noqa: F401 (rules)
from penjing.compression.structure.builder import AxisUse, CostTerm, GraphBuilder, LayerCall
from penjing.compression.structure.operation_rules import operation_rule
from penjing.compression.structure.rules import find_rule, unknown
from penjing.compression.structure.units import Labels, Units


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Layers whose channels hang together, and their atoms: what can be removed, one at a time."""

    number: int
    atoms: np.ndarray
    """The atoms' numbers, int64 of shape (size,)."""
    makers: tuple[str, ...]
    """Paths of the layers that make the channels."""
    protected: str | None
    """Why no atom of the group can go; None where some can."""

    @property
    def size(self) -> int:
        return len(self.atoms)


class ChannelGraph:
    """Units, atoms and groups of a model. Make one with `from_model`."""

    def __init__(self, model: keras.Model, builder: GraphBuilder, labels: Mapping[int, Labels | None]) -> None:
        self.model = model
        self.units: Units = builder.units
        self.uses: tuple[AxisUse, ...] = tuple(builder.uses.values())
        self.terms: tuple[CostTerm, ...] = tuple(builder.terms)
        self.atom_of: np.ndarray = builder.units.roots()
        """The atom of each unit."""
        self._labels = labels
        self._reasons = builder.units.protected()

    @classmethod
    def from_model(cls, model: keras.Model, *, protect: Sequence[str] = (), renormalize: bool = False) -> ChannelGraph:
        """Walk a model.

        Args:
            model: Functional or Sequential, built; it is not changed.
            protect: Patterns of layers whose output channels all stay.
            renormalize: Let LayerNormalization and RMSNormalization lose channels. Their statistics are then those of
                the channels that are left, so the others' values change.

        Raises:
            ModelError: The model has no symbolic graph.
        """
        check_traceable(model)
        builder = GraphBuilder(renormalize=renormalize)
        labels: dict[int, Labels | None] = {}
        outputs = _walk(builder, model, "", [None] * len(model.inputs), labels)
        names = (model._functional if isinstance(model, keras.Sequential) else model).output_names
        for name, each in zip(names, outputs, strict=True):
            if each is not None:
                builder.units.protect(each.units, f"output '{name}' of the model")
        for use in builder.uses.values():
            if protect and use.role == "makes" and matches(use.path, protect):
                builder.units.protect(use.units, f"'{use.path}' fits 'protect'")
        return cls(model, builder, labels)

    def labels(self, tensor: Any) -> Labels | None:
        """The channel axis of a symbolic tensor of the model (also of a nested one) and the unit of each channel. None
        where it has none, and for a tensor of another model that shares layers with this one."""
        return self._labels.get(id(tensor))

    def why_protected(self, atom: int) -> str | None:
        """Why an atom must stay; None where it may go."""
        return self._reasons.get(int(atom))

    @cached_property
    def groups(self) -> tuple[ChannelGroup, ...]:
        """Groups in the order of computation: atoms that share a layer which makes them."""
        component: dict[int, list[int]] = {}
        makers: dict[int, list[str]] = {}
        parent: dict[int, int] = {}

        def root(atom: int) -> int:
            while parent[atom] != atom:
                parent[atom] = parent[parent[atom]]
                atom = parent[atom]
            return atom

        for use in self.uses:
            if use.role == "makes":
                atoms = self.atom_of[use.units].tolist()
                for atom in atoms:
                    parent.setdefault(atom, atom)
                    first, second = root(atoms[0]), root(atom)
                    parent[max(first, second)] = min(first, second)
        for use in self.uses:
            if use.role == "makes":
                paths = makers.setdefault(root(int(self.atom_of[use.units[0]])), [])
                if use.path not in paths:
                    paths.append(use.path)
        for atom in parent:
            component.setdefault(root(atom), []).append(atom)
        groups = []
        for number, (first, members) in enumerate(sorted(component.items())):
            reasons = [self.why_protected(atom) for atom in members]
            groups.append(
                ChannelGroup(
                    number=number,
                    atoms=np.array(sorted(members), np.int64),
                    makers=tuple(makers[first]),
                    protected=reasons[0] if all(reasons) else None,
                )
            )
        return tuple(groups)

    def members(self, group: ChannelGroup) -> list[AxisUse]:
        """Every axis of a variable that holds channels of a group."""
        return self._members[group.number]

    @cached_property
    def _members(self) -> list[list[AxisUse]]:
        number_of = np.full(len(self.atom_of), -1, np.int64)
        for group in self.groups:
            number_of[group.atoms] = group.number
        members: list[list[AxisUse]] = [[] for _ in self.groups]
        for use in self.uses:
            for number in np.unique(number_of[self.atom_of[use.units]]).tolist():
                if number >= 0:
                    members[number].append(use)
        return members

    def explain(self, group: ChannelGroup) -> list[str]:
        """A group in words: its layers and axes, and what ties them."""
        verbs = {"makes": "makes them", "reads": "reads them", "carries": "carries them"}
        lines = [f"{group.size} channels made by {', '.join(group.makers)}"]
        for use in self.members(group):
            lines.append(f"  {use.path}: {use.name}, axis {use.axis} ({verbs[use.role]})")
        atoms = set(group.atoms.tolist())
        for why in dict.fromkeys(tie.why for tie in self.units.ties if int(self.atom_of[tie.unit]) in atoms):
            lines.append(f"  tied: {why}")
        if group.protected:
            lines.append(f"  stays: {group.protected}")
        return lines


def is_nested_model(operation: Any) -> bool:
    """Whether it is a model with a graph of its own: functional or Sequential."""
    return isinstance(operation, keras.Sequential) or (
        isinstance(operation, keras.Model) and hasattr(operation, "_nodes_by_depth")
    )


def _walk(
    builder: GraphBuilder,
    model: Any,
    prefix: str,
    inputs: Sequence[Labels | None],
    labels: dict[int, Labels | None],
) -> list[Labels | None]:
    """Apply the rules along a functional graph; nested models are opened."""
    function = model._functional if isinstance(model, keras.Sequential) else model
    for tensor, each in zip(function.inputs, inputs, strict=True):
        _note(builder, labels, tensor, each, prefix)
    for depth in sorted(function._nodes_by_depth, reverse=True):
        for node in function._nodes_by_depth[depth]:
            if not node.operation or node.is_input:
                continue
            operation = node.operation
            path = f"{prefix}{operation.name}"
            given = tuple(labels[id(tensor)] for tensor in node.input_tensors)
            if is_nested_model(operation):
                made = _walk(builder, operation, f"{path}/", given, labels)
            else:
                call = LayerCall(
                    layer=operation,
                    path=path,
                    labels=given,
                    shapes=tuple(tuple(tensor.shape[1:]) for tensor in node.input_tensors),
                    output_shapes=tuple(tuple(tensor.shape[1:]) for tensor in node.outputs),
                    arguments=tuple(
                        argument
                        for argument in (*node.arguments.args, *node.arguments.kwargs.values())
                        if isinstance(argument, (int, float, np.ndarray, np.generic)) or hasattr(argument, "numpy")
                    ),
                    given=tuple(node.arguments.args[1:]),
                )
                made = _apply(builder, call)
            for tensor, each in zip(node.outputs, made, strict=True):
                _note(builder, labels, tensor, each, path)
    return [labels[id(tensor)] for tensor in function.outputs]


def _apply(builder: GraphBuilder, call: LayerCall) -> list[Labels | None]:
    if not call.shapes:
        return unknown(builder, call)
    function = operation_rule(call.layer) or find_rule(call.layer)
    return function(builder, call)


def _note(builder: GraphBuilder, labels: dict[int, Labels | None], tensor: Any, each: Labels | None, path: str) -> None:
    """Remember a tensor's labels; in a nested model that is called twice, tie them to those of the first call."""
    known = labels.get(id(tensor))
    if known is not None and each is not None and known.axis == each.axis:
        builder.units.tie(known.units, each.units, f"'{path.rstrip('/')}' is called more than once")
    elif known is not None or (id(tensor) in labels and each is not None):
        for one in (known, each):
            if one is not None:
                builder.units.protect(one.units, f"'{path.rstrip('/')}' is called with other channels elsewhere")
        each = known
    labels[id(tensor)] = each
