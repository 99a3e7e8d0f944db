"""The walk over a functional graph: nodes in order, the tensors of the new graph, and who reads what."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from penjing.compression.model_tree import matches
from penjing.compression.quantization.ranges import FIXED_8, FIXED_16, Range
from penjing.contract import LayerChange
from penjing.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What is simulated, and where not."""

    weight_bits: int = 8
    activation_bits: int = 8
    ranges: str = "moving-average"
    momentum: float = 0.99
    batch_statistics: bool = True
    observes: bool = True
    exclude: Sequence[str] = ()
    """Patterns of layers that stay in float."""
    keep_8_bits: Sequence[str] = ()
    """Patterns of layers whose weights keep 8 bits."""


@dataclass(frozen=True)
class Flow:
    """A tensor of the new graph."""

    tensor: Any
    grid: Any = None
    """Its grid; None where it holds real numbers."""


@dataclass
class Work:
    """What the graphs of one rebuilding share."""

    simulation: Simulation
    changes: list[LayerChange] = field(default_factory=list)
    """What became of each layer."""
    made: dict[int, Any] = field(default_factory=dict)
    """New layers by identity of the old, for layers that are called more than once."""
    names: set[str] = field(default_factory=set)
    calls: dict[int, int] = field(default_factory=dict)
    """How often each operation stands in the outermost model and the models in it, by identity."""


def nodes_of(model: Any) -> list[Any] | None:
    """The nodes of a functional or sequential model, inputs left out, in order; None of another kind of model."""
    functional = model._functional if isinstance(model, keras.Sequential) else model
    if not hasattr(functional, "_nodes_by_depth"):
        return None
    return [
        node
        for depth in sorted(functional._nodes_by_depth, reverse=True)
        for node in functional._nodes_by_depth[depth]
        if not node.is_input
    ]


def count_calls(model: Any) -> dict[int, int]:
    """How often each operation stands in a model and the models in it. A model that is called twice is one place for
    what it holds."""
    calls: dict[int, int] = {}
    models, known = [model], {id(model)}
    while models:
        for node in nodes_of(models.pop()) or ():
            operation = node.operation
            calls[id(operation)] = calls.get(id(operation), 0) + 1
            if isinstance(operation, keras.Model) and id(operation) not in known:
                known.add(id(operation))
                models.append(operation)
    return calls


class Walk(ABC):
    """One functional model, the outermost or a nested one, and how far its new graph has come."""

    def __init__(self, model: Any, work: Work, prefix: str) -> None:
        functional = model._functional if isinstance(model, keras.Sequential) else model
        nodes = nodes_of(model)
        if nodes is None:
            raise ModelError(
                f"the model '{model.name}' ({type(model).__name__}) cannot be looked into",
                where=f"layer '{prefix.rstrip('/') or model.name}'",
                why="a subclassed model does not say how its layers are connected",
                hint="build it with the functional API, or put it under 'exclude'",
            )
        self.work = work
        self.simulation = work.simulation
        self.prefix = prefix
        self.inputs = list(functional.inputs)
        self.outputs = list(functional.outputs)
        self.nodes = nodes
        self.consumers: dict[int, list[Any]] = {}
        for node in self.nodes:
            for tensor in node.input_tensors:
                self.consumers.setdefault(id(tensor), []).append(node)
        self.calls = work.calls
        self.flows: dict[int, Flow] = {}
        self.done: set[int] = set()
        self.given: set[str] = set()
        self.outermost = False
        work.names.update(node.operation.name for node in self.nodes)

    def run(self, inputs: Sequence[Flow], outermost: bool = False) -> list[Flow]:
        """Call the new layers one after the other; the flows of the outputs."""
        self.outermost = outermost
        for tensor, flow in zip(self.inputs, inputs, strict=True):
            self.flows[id(tensor)] = flow
            readers = self.consumers.get(id(tensor), [])
            in_float = readers and all(
                self.excluded(node.operation) or self.reads_as_mask(node, tensor) for node in readers
            )
            if flow.grid is None and "float" in str(tensor.dtype) and not in_float and outermost:
                self.flows[id(tensor)] = self.on_grid(flow, input_name(tensor))
        for node in self.nodes:
            if id(node) not in self.done:
                self.node(node)
        return [self.flows[id(tensor)] for tensor in self.outputs]

    @abstractmethod
    def node(self, node: Any) -> None:
        """Call the new form of a node's layer."""

    def reads_as_mask(self, node: Any, tensor: Any) -> bool:
        """Whether a tensor only tells a node where to look."""
        return False

    def mask_of(self, tensor: Any) -> Any:
        """The new tensor of the mask that an old tensor carries; None where it carries none.

        Keras does not always hand a mask over as an argument, so the graph's nodes may not have it.
        """
        mask = getattr(tensor, "_keras_mask", None)
        return None if mask is None else self._again(mask)

    def _again(self, tensor: Any) -> Any:
        if id(tensor) not in self.flows:
            operation, index, _ = tensor._keras_history
            node = operation._inbound_nodes[index]
            args, kwargs = renewed(node, {id(given): self._again(given) for given in node.input_tensors})
            for old, new in zip(node.outputs, keras.tree.flatten(operation(*args, **kwargs)), strict=True):
                self.flows[id(old)] = Flow(new)
        return self.flows[id(tensor)].tensor

    def excluded(self, operation: Any) -> bool:
        """Whether an operation stays in float."""
        return matches(f"{self.prefix}{operation.name}", self.simulation.exclude)

    def tell(self, operation: Any, change: str) -> None:
        """Note what becomes of an operation."""
        self.work.changes.append(LayerChange(layer=f"{self.prefix}{operation.name}", change=change))

    def give(self, node: Any, flow: Flow) -> None:
        """Set the flow of a node's output."""
        self.flows[id(node.outputs[0])] = flow

    def flow(self, node: Any) -> Flow:
        """The first input of a node, on a grid."""
        return self.on_grid(self.flows[id(node.input_tensors[0])], node.operation.name, node.input_tensors[0])

    def flows_of(self, node: Any) -> list[Flow]:
        """The inputs of a node, each on a grid."""
        return [self.on_grid(self.flows[id(t)], node.operation.name, t) for t in node.input_tensors]

    def on_grid(self, flow: Flow, name: str, tensor: Any = None) -> Flow:
        """A flow on a grid: itself, or put there by a `Range` of its own."""
        if flow.grid is not None:
            return flow
        layer = Range(**self.range_of("linear"), name=self.unused(f"{name}_range"))
        # Bytes of an image, say; the file casts them first.
        real = flow.tensor if "float" in str(flow.tensor.dtype) else keras.ops.cast(flow.tensor, "float32")
        made = Flow(*layer(real))
        if tensor is not None:
            self.flows[id(tensor)] = made
        return made

    def name_for(self, operation: Any) -> str:
        """The name of an operation's new layer: the same, but for the second call of a layer without weights."""
        if operation.name in self.given:
            return self.unused(operation.name)
        self.given.add(operation.name)
        return str(operation.name)

    def unused(self, name: str) -> str:
        """A name that no layer has yet, remembered as taken."""
        number, chosen = 1, name
        while chosen in self.work.names:
            number += 1
            chosen = f"{name}_{number}"
        self.work.names.add(chosen)
        return chosen

    def range_of(self, activation: str, last: bool = False) -> dict[str, Any]:
        """Arguments of the range of an output."""
        simulation = self.simulation
        fixed = (FIXED_16 if simulation.activation_bits == 16 else FIXED_8).get(activation)
        return {
            "bits": simulation.activation_bits,
            "kind": simulation.ranges,
            "momentum": simulation.momentum,
            "fixed": fixed,
            "positive": activation in ("relu", "relu6"),
            "rounds_in_training": not (last and fixed is not None),
            "observes": simulation.observes,
        }

    def fixed_grids(self) -> dict[str, list[float]]:
        """Grids that activations demand, in JSON values."""
        fixed = FIXED_16 if self.simulation.activation_bits == 16 else FIXED_8
        return {name: list(grid) for name, grid in fixed.items()}

    def is_output(self, tensor: Any) -> bool:
        """Whether the graph emits a tensor."""
        return any(tensor is output for output in self.outputs)

    def sole_reader(self, tensor: Any) -> Any | None:
        """The node that alone reads a tensor; None where there are others, or it stays in float."""
        readers = self.consumers.get(id(tensor), [])
        if len(readers) != 1 or self.is_output(tensor) or self.excluded(readers[0].operation):
            return None
        return readers[0]


def renewed(node: Any, fresh: dict[int, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a node's call with new tensors, by identity of the old, in place of the old."""
    args, kwargs = keras.tree.map_structure(
        lambda value: fresh.get(id(value), value) if isinstance(value, keras.KerasTensor) else value,
        (list(node.arguments.args), dict(node.arguments.kwargs)),
    )
    return args, kwargs


def input_name(tensor: Any) -> str:
    """The name of the input layer of a tensor."""
    return str(tensor._keras_history.operation.name)
