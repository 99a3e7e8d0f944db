"""Build a model anew with simulated quantization: same inputs, outputs, names and weights.

The functional graph is walked in order. Every tensor is accompanied by its grid, a second tensor (scale, zero point),
so that a layer knows the integers of its input; operators that only move values pass the grid on. BatchNormalization
and ReLU are taken up by the kernel before them, as the converter does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from penjing.compression.model_tree import matches
from penjing.compression.quantization import coverage
from penjing.compression.quantization.coverage import Step
from penjing.compression.quantization.folding import QuantizedKernel
from penjing.compression.quantization.operations import (
    QuantizedActivation,
    QuantizedArithmetic,
    QuantizedAveragePooling,
    QuantizedJoin,
    QuantizedMean,
)
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
class Rebuilder:
    """Rebuilds one model; `changes` says afterwards what became of each layer."""

    simulation: Simulation
    changes: list[LayerChange] = field(default_factory=list)
    made: dict[int, Any] = field(default_factory=dict)
    """New layers by identity of the old, for layers that are called more than once."""
    names: set[str] = field(default_factory=set)

    def rebuild(self, model: keras.Model) -> keras.Model:
        """The model with simulated quantization, weights copied.

        Raises:
            ModelError: A layer has no integer form; names the layer and the way out.
        """
        graph = _Graph(model, self, "")
        inputs = [
            keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=_input_name(tensor))
            for tensor in graph.inputs
        ]
        outputs = graph.run([Flow(tensor) for tensor in inputs], outermost=True)
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        packed = keras.tree.pack_sequence_as(structure, inputs)
        emitted = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
        results = keras.tree.pack_sequence_as(emitted, [flow.tensor for flow in outputs])
        return keras.Model(packed, results, name=model.name)


class _Graph:
    """One functional model, the outermost or a nested one."""

    def __init__(self, model: Any, rebuilder: Rebuilder, prefix: str) -> None:
        functional = model._functional if isinstance(model, keras.Sequential) else model
        if not hasattr(functional, "_nodes_by_depth"):
            raise ModelError(
                f"the model '{model.name}' ({type(model).__name__}) cannot be looked into",
                where=f"layer '{prefix.rstrip('/') or model.name}'",
                why="a subclassed model does not say how its layers are connected",
                hint="build it with the functional API, or put it under 'exclude'",
            )
        self.rebuilder = rebuilder
        self.simulation = rebuilder.simulation
        self.prefix = prefix
        self.inputs = list(functional.inputs)
        self.outputs = list(functional.outputs)
        self.nodes = [
            node
            for depth in sorted(functional._nodes_by_depth, reverse=True)
            for node in functional._nodes_by_depth[depth]
            if not node.is_input
        ]
        self.consumers: dict[int, list[Any]] = {}
        for node in self.nodes:
            for tensor in node.input_tensors:
                self.consumers.setdefault(id(tensor), []).append(node)
        self.calls: dict[int, int] = {}
        for node in self.nodes:
            self.calls[id(node.operation)] = self.calls.get(id(node.operation), 0) + 1
        self.flows: dict[int, Flow] = {}
        self.done: set[int] = set()
        self.outermost = False
        rebuilder.names.update(node.operation.name for node in self.nodes)

    def run(self, inputs: Sequence[Flow], outermost: bool = False) -> list[Flow]:
        """Call the new layers one after the other; the flows of the outputs."""
        self.outermost = outermost
        for tensor, flow in zip(self.inputs, inputs, strict=True):
            self.flows[id(tensor)] = flow
            readers = self.consumers.get(id(tensor), [])
            in_float = readers and all(self.excluded(node.operation) for node in readers)
            if flow.grid is None and "float" in str(tensor.dtype) and not in_float and outermost:
                self.flows[id(tensor)] = self.on_grid(flow, _input_name(tensor))
        for node in self.nodes:
            if id(node) not in self.done:
                self.node(node)
        return [self.flows[id(tensor)] for tensor in self.outputs]

    # ------------------------------------------------------------------------------------------------- each node

    def node(self, node: Any) -> None:
        operation = node.operation
        if isinstance(operation, keras.Model) and not self.excluded(operation):
            return self.nested(node)
        if self.excluded(operation):
            self.tell(operation, "left alone: fits 'exclude', computes in float32")
            return self.as_it_is(node, keep_grid=False)
        kind = coverage.kind_of(operation)
        if kind is None:
            raise ModelError(
                f"{type(operation).__name__} has no form with simulated quantization",
                where=f"layer '{self.prefix}{operation.name}'",
                why="its integer arithmetic is not known, or LiteRT has no kernel for it",
                hint=f'leave it in float32: exclude = ["{operation.name}"]',
            )
        handler: Callable[[Any], None] = getattr(self, f"on_{kind}")
        return handler(node)

    def excluded(self, operation: Any) -> bool:
        return matches(f"{self.prefix}{operation.name}", self.simulation.exclude)

    def tell(self, operation: Any, change: str) -> None:
        self.rebuilder.changes.append(LayerChange(layer=f"{self.prefix}{operation.name}", change=change))

    def give(self, node: Any, flow: Flow) -> None:
        self.flows[id(node.outputs[0])] = flow

    def flow(self, node: Any) -> Flow:
        """The first input of a node, on a grid."""
        return self.on_grid(self.flows[id(node.input_tensors[0])], node.operation.name, node.input_tensors[0])

    def flows_of(self, node: Any) -> list[Flow]:
        return [self.on_grid(self.flows[id(t)], node.operation.name, t) for t in node.input_tensors]

    def on_grid(self, flow: Flow, name: str, tensor: Any = None) -> Flow:
        """A flow on a grid: itself, or put there by a `Range` of its own."""
        if flow.grid is not None:
            return flow
        layer = Range(**self.range_of("linear"), name=self.unused(f"{name}_range"))
        made = Flow(*layer(flow.tensor))
        if tensor is not None:
            self.flows[id(tensor)] = made
        return made

    def unused(self, name: str) -> str:
        number, chosen = 1, name
        while chosen in self.rebuilder.names:
            number += 1
            chosen = f"{name}_{number}"
        self.rebuilder.names.add(chosen)
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

    def is_output(self, tensor: Any) -> bool:
        return any(tensor is output for output in self.outputs)

    def sole_reader(self, tensor: Any) -> Any | None:
        readers = self.consumers.get(id(tensor), [])
        if len(readers) != 1 or self.is_output(tensor) or self.excluded(readers[0].operation):
            return None
        return readers[0]

    # ------------------------------------------------------------------------------------------- kinds of layers

    def on_identity(self, node: Any) -> None:
        self.as_it_is(node, keep_grid=True)

    def on_keep(self, node: Any) -> None:
        self.flow(node)
        self.tell(node.operation, "moves values: keeps the grid of its input")
        self.as_it_is(node, keep_grid=True)

    def on_real(self, node: Any) -> None:
        self.tell(node.operation, f"left alone: {type(node.operation).__name__} computes in float32")
        self.as_it_is(node, keep_grid=False)

    def as_it_is(self, node: Any, keep_grid: bool) -> None:
        """The same layer or operation on the new tensors."""
        layer = coverage.copy_of(node.operation, self.rebuilder.made)
        fresh = {id(t): self.flows[id(t)].tensor for t in node.input_tensors}
        args, kwargs = keras.tree.map_structure(
            lambda value: fresh.get(id(value), value) if isinstance(value, keras.KerasTensor) else value,
            (list(node.arguments.args), dict(node.arguments.kwargs)),
        )
        results = keras.tree.flatten(layer(*args, **kwargs))
        coverage.copy_weights(node.operation, layer)
        grid = self.flows[id(node.input_tensors[0])].grid if keep_grid else None
        for tensor, result in zip(node.outputs, results, strict=True):
            self.flows[id(tensor)] = Flow(result, grid)

    def on_kernel(self, node: Any) -> None:
        layer = node.operation
        shared = self.calls[id(layer)] > 1
        end, norm = node, None
        activation = coverage.activation_of(layer)
        if activation == "linear" and not shared:
            after = self.sole_reader(end.outputs[0])
            if (
                after is not None
                and coverage.folds(after.operation, end.outputs[0])
                and self.calls[id(after.operation)] == 1
            ):
                norm, end = after.operation, after
                self.done.add(id(after))
                self.tell(norm, f"folded into '{self.prefix}{layer.name}'")
        end, fused, rest = self.take_up(layer, end, activation)
        self.kernel_step(node, end, layer, norm, fused, rest)

    def take_up(self, layer: Any, end: Any, activation: str) -> tuple[Any, str, str]:
        """The ReLU after a node, which the operator computes itself: (last node, fused, activation that is left)."""
        if activation in ("relu", "relu6"):
            return end, activation, "linear"
        if activation != "linear":
            return end, "linear", activation
        after = self.sole_reader(end.outputs[0])
        if after is not None and coverage.kind_of(after.operation) == "activation":
            name, _ = coverage.activation_and_options(after.operation)
            if name in ("relu", "relu6"):
                self.done.add(id(after))
                self.tell(after.operation, f"computed by '{self.prefix}{layer.name}'")
                return after, name, "linear"
        return end, "linear", "linear"

    def kernel_step(self, node: Any, end: Any, layer: Any, norm: Any, fused: str, rest: str) -> None:
        flow = self.flow(node)
        bits = self.simulation.weight_bits
        if matches(f"{self.prefix}{layer.name}", self.simulation.keep_8_bits):
            bits = 8
        new = self.rebuilder.made.get(id(layer))
        if new is None:
            new = coverage.quantized_kernel(layer, norm, self.quantization(bits, norm, fused))
            self.rebuilder.made[id(layer)] = new
            result = Flow(*new(flow.tensor, flow.grid))
            coverage.fill_kernel(new, layer, norm)
            extra = f", {type(norm).__name__} '{norm.name}' folded in" if norm is not None else ""
            extra += f", {fused} fused" if fused != "linear" else ""
            self.tell(layer, f"{bits}-bit weights, {self.simulation.activation_bits}-bit output{extra}")
        else:
            result = Flow(*new(flow.tensor, flow.grid))
        if rest != "linear":
            result = self.activate(result, rest, {}, f"{layer.name}_{rest}", self.last(end.outputs[0]))
        self.give(end, result)

    def quantization(self, bits: int, norm: Any, fused: str) -> dict[str, Any]:
        return {
            "weight_bits": bits,
            "learned": self.simulation.ranges == "learned",
            "fused": fused,
            "norm": coverage.norm_config(norm),
            "batch_statistics": self.simulation.batch_statistics,
            "range": self.range_of(fused),
        }

    def on_separable(self, node: Any) -> None:
        """A depthwise and a pointwise convolution, each with a grid of its own behind it."""
        depthwise, pointwise = coverage.split_separable(node.operation)
        flow = self.flow(node)
        first = coverage.quantized_kernel(
            depthwise, None, self.quantization(self.simulation.weight_bits, None, "linear")
        )
        between = first(flow.tensor, flow.grid)
        coverage.fill_kernel(first, depthwise, None)
        norm, end = None, node
        activation = coverage.activation_of(node.operation)
        after = self.sole_reader(node.outputs[0])
        if activation == "linear" and after is not None and coverage.folds(after.operation, node.outputs[0]):
            norm, end = after.operation, after
            self.done.add(id(after))
            self.tell(norm, f"folded into '{self.prefix}{node.operation.name}'")
        end, fused, rest = self.take_up(node.operation, end, activation)
        second = coverage.quantized_kernel(pointwise, norm, self.quantization(self.simulation.weight_bits, norm, fused))
        result = Flow(*second(*between))
        coverage.fill_kernel(second, pointwise, norm)
        self.tell(node.operation, f"split into '{depthwise.name}' and '{pointwise.name}', both quantized")
        if rest != "linear":
            result = self.activate(result, rest, {}, f"{node.operation.name}_{rest}", self.last(end.outputs[0]))
        self.give(end, result)

    def on_scale(self, node: Any) -> None:
        """BatchNormalization, Rescaling or Normalization that no kernel takes up."""
        layer = node.operation
        end, fused, _ = self.take_up(layer, node, "linear")
        flow = self.flow(node)
        norm = layer if isinstance(layer, keras.layers.BatchNormalization) else None
        new = self.rebuilder.made.get(id(layer))
        if new is None:
            new = coverage.scale_layer(layer, norm, self.quantization(8, norm, fused))
            self.rebuilder.made[id(layer)] = new
            result = Flow(*new(flow.tensor, flow.grid))
            coverage.fill_scale(new, layer)
        else:
            result = Flow(*new(flow.tensor, flow.grid))
        self.tell(layer, "a factor and an offset per channel, in integers")
        self.give(end, result)

    def on_activation(self, node: Any) -> None:
        name, options = coverage.activation_and_options(node.operation)
        if name == "linear":
            return self.give(node, self.flows[id(node.input_tensors[0])])
        result = self.activate(self.flow(node), name, options, node.operation.name, self.last(node.outputs[0]))
        self.tell(node.operation, f"{name}, {self.simulation.activation_bits}-bit output")
        return self.give(node, result)

    def last(self, tensor: Any) -> bool:
        return self.outermost and self.is_output(tensor)

    def activate(self, flow: Flow, name: str, options: dict[str, Any], layer_name: str, last: bool) -> Flow:
        if name in ("silu", "swish"):
            # The file holds it as a LOGISTIC and a MUL, each with a grid.
            gate = self.activate(flow, "sigmoid", {}, self.unused(f"{layer_name}_gate"), False)
            return self.combine("multiply", [flow, gate], "linear", layer_name)
        layer = QuantizedActivation(
            activation_name=name, options=options, range=self.range_of(name, last), name=layer_name
        )
        return Flow(*layer(flow.tensor, flow.grid))

    def combine(self, operation: str, flows: Sequence[Flow], fused: str, name: str) -> Flow:
        layer = QuantizedArithmetic(operation=operation, fused=fused, range=self.range_of(fused), name=name)
        return Flow(*layer([flow.tensor for flow in flows], [flow.grid for flow in flows]))

    def on_arithmetic(self, node: Any) -> None:
        step: Step = coverage.arithmetic_of(node)
        end, fused, _ = self.take_up(node.operation, node, "linear")
        self.tell(node.operation, f"{step.operation}, {self.simulation.activation_bits}-bit output")
        if step.constant is not None:
            flow = self.flow(node)
            layer = QuantizedArithmetic(
                operation=step.operation,
                fused=fused,
                constant=step.constant,
                range=self.range_of(fused),
                name=node.operation.name,
            )
            return self.give(end, Flow(*layer(flow.tensor, flow.grid)))
        flows = self.flows_of(node)
        result = flows[0]
        for number, other in enumerate(flows[1:], start=1):
            last = number + 1 == len(flows) and step.factor is None
            name = node.operation.name if last else self.unused(f"{node.operation.name}_{number}")
            result = self.combine(step.operation, [result, other], fused if last else "linear", name)
        if step.factor is not None:
            layer = QuantizedArithmetic(
                operation="multiply",
                fused=fused,
                constant=step.factor,
                range=self.range_of(fused),
                name=node.operation.name,
            )
            result = Flow(*layer(result.tensor, result.grid))
        return self.give(end, result)

    def on_join(self, node: Any) -> None:
        operation, axis = coverage.join_of(node)
        layer = QuantizedJoin(operation=operation, axis=axis, range=self.range_of("linear"), name=node.operation.name)
        flows = self.flows_of(node)
        self.tell(node.operation, f"{operation}: all inputs brought to one grid")
        self.give(node, Flow(*layer([flow.tensor for flow in flows], [flow.grid for flow in flows])))

    def on_mean(self, node: Any) -> None:
        flow = self.flow(node)
        axes = tuple(range(1, len(flow.tensor.shape) - 1))
        keepdims = bool(getattr(node.operation, "keepdims", False))
        layer = QuantizedMean(axes=axes, keepdims=keepdims, range=self.range_of("linear"), name=node.operation.name)
        self.tell(node.operation, f"mean, {self.simulation.activation_bits}-bit output")
        self.give(node, Flow(*layer(flow.tensor, flow.grid)))

    def on_average(self, node: Any) -> None:
        flow, old = self.flow(node), node.operation
        layer = QuantizedAveragePooling(
            pool_size=old.pool_size,
            strides=old.strides,
            padding=old.padding,
            bits=self.simulation.activation_bits,
            name=old.name,
        )
        self.tell(old, "averages on the grid of its input")
        self.give(node, Flow(*layer(flow.tensor, flow.grid)))

    def nested(self, node: Any) -> None:
        """A model in the model: rebuilt once, with the grids of its inputs and outputs as further tensors."""
        model = node.operation
        flows = (
            self.flows_of(node)
            if all("float" in str(t.dtype) for t in node.input_tensors)
            else [self.flows[id(t)] for t in node.input_tensors]
        )
        made = self.rebuilder.made.get(id(model))
        if made is None:
            inner = _Graph(model, self.rebuilder, f"{self.prefix}{model.name}/")
            inputs = [
                Flow(
                    keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=_input_name(tensor)),
                    None if flow.grid is None else keras.Input(batch_shape=(2,), name=f"{_input_name(tensor)}_grid"),
                )
                for tensor, flow in zip(inner.inputs, flows, strict=True)
            ]
            outputs = inner.run(inputs)
            new = keras.Model(_tensors(inputs), _tensors(outputs), name=model.name)
            made = (new, [flow.grid is not None for flow in outputs])
            self.rebuilder.made[id(model)] = made
        new, with_grid = made
        results = iter(keras.tree.flatten(new(_tensors(flows))))
        for tensor, has in zip(node.outputs, with_grid, strict=True):
            result = next(results)
            self.flows[id(tensor)] = Flow(result, next(results) if has else None)


def _tensors(flows: Sequence[Flow]) -> list[Any]:
    return [tensor for flow in flows for tensor in (flow.tensor, flow.grid) if tensor is not None]


def _input_name(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def quantized_layers(model: keras.Model) -> list[Any]:
    """All layers with a rounded kernel."""
    from penjing.compression.model_tree import walk_layers

    return [layer for _, layer in walk_layers(model) if isinstance(layer, QuantizedKernel)]
