"""The form with simulated quantization of each kind of layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from penjing.compression.model_tree import matches
from penjing.compression.quantization import counterparts, coverage
from penjing.compression.quantization.activation_names import Activation, activation_of, own_activation
from penjing.compression.quantization.coverage import Step
from penjing.compression.quantization.graph_walk import Flow, Walk, renewed
from penjing.compression.quantization.layer_normalization import OrderedLayerNormalization
from penjing.compression.quantization.operations import (
    QuantizedActivation,
    QuantizedArithmetic,
    QuantizedJoin,
)
from penjing.errors import ModelError

LINEAR: Activation = ("linear", {})


class LayerForms(Walk):
    """A walk that knows what to make of each kind of layer; the kinds are those of `coverage.kind_of`."""

    def on_identity(self, node: Any) -> None:
        """Dropout and the like."""
        self.as_it_is(node, keep_grid=True)

    def on_keep(self, node: Any) -> None:
        """An operator that only moves or chooses values."""
        self.flow(node)
        self.tell(node.operation, "moves values: keeps the grid of its input")
        self.as_it_is(node, keep_grid=True)

    def on_real(self, node: Any) -> None:
        """A layer without an integer form that need not be asked for."""
        layer = node.operation
        self.tell(layer, f"left alone: {type(layer).__name__} computes in float32")
        if isinstance(layer, keras.layers.LayerNormalization) and id(layer) not in self.work.made:
            axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
            if [axis % len(node.input_tensors[0].shape) for axis in axes] == [len(node.input_tensors[0].shape) - 1]:
                self.work.made[id(layer)] = OrderedLayerNormalization.from_config(layer.get_config())
        self.as_it_is(node, keep_grid=False)

    def as_it_is(self, node: Any, keep_grid: bool) -> None:
        """The same layer or operation on the new tensors."""
        layer = counterparts.copy_of(node.operation, self.work.made)
        fresh = {id(t): self.flows[id(t)].tensor for t in node.input_tensors}
        args, kwargs = renewed(node, fresh)
        results = keras.tree.flatten(layer(*args, **kwargs))
        counterparts.copy_weights(node.operation, layer)
        grid = self.flows[id(node.input_tensors[0])].grid if keep_grid else None
        for tensor, result in zip(node.outputs, results, strict=True):
            self.flows[id(tensor)] = Flow(result, grid)

    def on_kernel(self, node: Any) -> None:
        """A layer with a kernel, with what follows it."""
        layer = node.operation
        shared = self.shared(layer)
        end, norm = node, None
        activation = self.activation_of_kernel(layer, layer)
        if activation == LINEAR and not shared:
            after = self.sole_reader(end.outputs[0])
            if (
                after is not None
                and coverage.folds(after.operation, end.outputs[0])
                and self.calls[id(after.operation)] == 1
            ):
                norm, end = after.operation, after
                self.done.add(id(after))
                self.tell(norm, f"folded into '{self.prefix}{layer.name}'")
        end, fused, rest = self.take_up(layer, end, activation, alone=shared)
        self.kernel_step(node, end, layer, layer, norm, fused, rest)

    def activation_of_kernel(self, layer: Any, named: Any) -> Activation:
        """What a layer's own activation computes.

        Args:
            named: The layer as the model knows it.

        Raises:
            ModelError: It is not one of Keras' functions.
        """
        found = own_activation(layer)
        if found is None:
            function = layer.activation
            raise ModelError(
                f"the activation {getattr(function, '__name__', type(function).__name__)} has no form with simulated "
                "quantization inside another layer",
                where=f"layer '{self.prefix}{named.name}'",
                why="its integer arithmetic is not known",
                hint="make it a layer of its own (PReLU has a form then), build it of keras.ops, or leave this layer "
                f'in float32: exclude = ["{named.name}"]',
            )
        return found

    def shared(self, layer: Any) -> bool:
        """Whether a layer is called more than once; its counterpart then is one for all calls."""
        return self.calls[id(layer)] > 1

    def take_up(
        self, layer: Any, end: Any, activation: Activation, *, alone: bool = False
    ) -> tuple[Any, str, Activation]:
        """The ReLU after a node, which the operator computes itself: (last node, fused, activation that is left).

        Args:
            alone: Leave what comes after the layer, since not every call of it has the same there.
        """
        if activation[0] in ("relu", "relu6"):
            return end, activation[0], LINEAR
        if activation != LINEAR:
            return end, "linear", activation
        after = None if alone else self.sole_reader(end.outputs[0])
        if after is not None and coverage.kind_of(after.operation) == "activation":
            name, _ = activation_of(after.operation) or LINEAR
            if name in ("relu", "relu6"):
                self.done.add(id(after))
                self.tell(after.operation, f"computed by '{self.prefix}{layer.name}'")
                return after, name, LINEAR
        return end, "linear", LINEAR

    def kernel_step(self, node: Any, end: Any, layer: Any, named: Any, norm: Any, fused: str, rest: Activation) -> None:
        """Call the quantized layer, and an activation that is an operator of its own.

        Args:
            named: The layer as the model knows it: `layer`, or what wraps it.
        """
        flow = self.flow(node)
        new = self.work.made.get(id(named))
        if new is None:
            bits = self.bits_of(named)
            options = self.quantization(bits, norm, fused)
            if named is not layer:
                options["matrix"] = f"{named.name}/{layer.name}"
            new = counterparts.quantized_kernel(layer, norm, options, name=named.name)
            self.work.made[id(named)] = new
            result = Flow(*new(flow.tensor, flow.grid))
            counterparts.fill_kernel(new, layer, norm)
            extra = f", {type(norm).__name__} '{norm.name}' folded in" if norm is not None else ""
            extra += f", {fused} fused" if fused != "linear" else ""
            extra += ", all steps at once" if named is not layer else ""
            self.tell(named, f"{bits}-bit weights, {self.simulation.activation_bits}-bit output{extra}")
        else:
            result = Flow(*new(flow.tensor, flow.grid))
        self.finish(end, result, named, rest)

    def finish(self, end: Any, result: Flow, layer: Any, rest: Activation) -> None:
        """Hand on a layer's result, through the activation that its operator does not compute itself."""
        if rest != LINEAR:
            name, options = rest
            place = self.unused(f"{layer.name}_{name}")
            result = self.activate(result, name, options, place, self.last(end.outputs[0]))
        self.give(end, result)

    def on_distributed(self, node: Any) -> None:
        """TimeDistributed of a Dense, which works on the last axis alone: a Dense of all steps at once."""
        wrapper, layer = node.operation, node.operation.layer
        self.refuse_mask(node, "the wrapper passes a mask on that a Dense does not know")
        activation = self.activation_of_kernel(layer, wrapper)
        end, fused, rest = self.take_up(wrapper, node, activation, alone=self.shared(wrapper))
        self.kernel_step(node, end, layer, wrapper, None, fused, rest)

    def bits_of(self, layer: Any) -> int:
        """The bits of a layer's weights."""
        return 8 if matches(f"{self.prefix}{layer.name}", self.simulation.keep_8_bits) else self.simulation.weight_bits

    def quantization(self, bits: int, norm: Any, fused: str) -> dict[str, Any]:
        """The arguments of a `QuantizedKernel`."""
        return {
            "weight_bits": bits,
            "learned": self.simulation.ranges == "learned",
            "fused": fused,
            "norm": counterparts.norm_config(norm),
            "batch_statistics": self.simulation.batch_statistics,
            "range": self.range_of(fused),
        }

    def on_separable(self, node: Any) -> None:
        """A depthwise and a pointwise convolution, each with a grid of its own behind it."""
        layer, norm, end = node.operation, None, node
        activation = self.activation_of_kernel(layer, layer)
        after = None if self.shared(layer) else self.sole_reader(node.outputs[0])
        if activation == LINEAR and after is not None and coverage.folds(after.operation, node.outputs[0]):
            norm, end = after.operation, after
            self.done.add(id(after))
            self.tell(norm, f"folded into '{self.prefix}{layer.name}'")
        end, fused, rest = self.take_up(layer, end, activation, alone=self.shared(layer))
        flow = self.flow(node)
        made = self.work.made.get(id(layer))
        if made is None:
            depthwise, pointwise = counterparts.split_separable(layer)
            bits = self.bits_of(layer)
            first, second = (
                counterparts.quantized_kernel(
                    half, its_norm, {**self.quantization(bits, its_norm, its_fused), "matrix": f"{layer.name}/{name}"}
                )
                for half, its_norm, its_fused, name in (
                    (depthwise, None, "linear", "depthwise_kernel"),
                    (pointwise, norm, fused, "pointwise_kernel"),
                )
            )
            result = Flow(*second(*first(flow.tensor, flow.grid)))
            counterparts.fill_kernel(first, depthwise, None)
            counterparts.fill_kernel(second, pointwise, norm)
            self.work.made[id(layer)] = (first, second)
            self.tell(layer, f"split into '{first.name}' and '{second.name}', {bits}-bit weights")
        else:
            first, second = made
            result = Flow(*second(*first(flow.tensor, flow.grid)))
        self.finish(end, result, layer, rest)

    def on_scale(self, node: Any) -> None:
        """BatchNormalization, Rescaling or Normalization that no kernel takes up."""
        layer = node.operation
        end, fused, _ = self.take_up(layer, node, LINEAR, alone=self.shared(layer))
        flow = self.flow(node)
        norm = layer if isinstance(layer, keras.layers.BatchNormalization) else None
        new = self.work.made.get(id(layer))
        if new is None:
            new = counterparts.scale_layer(layer, norm, self.quantization(8, norm, fused))
            self.work.made[id(layer)] = new
            result = Flow(*new(flow.tensor, flow.grid))
            counterparts.fill_scale(new, layer)
        else:
            result = Flow(*new(flow.tensor, flow.grid))
        self.tell(layer, "a factor and an offset per channel, in integers")
        self.give(end, result)

    def refuse_mask(self, node: Any, why: str) -> None:
        """Refuse a node that is given a mask beside its input.

        Raises:
            ModelError: It is.
        """
        if len(node.input_tensors) > 1:
            raise ModelError(
                f"{type(node.operation).__name__} with a mask has no form with simulated quantization",
                where=f"layer '{self.prefix}{node.operation.name}'",
                why=why,
                hint=f'leave it in float32: exclude = ["{node.operation.name}"]',
            )

    def on_activation(self, node: Any) -> None:
        """An activation that no operator took up."""
        self.refuse_mask(node, "only attention knows what a place is that does not count")
        name, options = activation_of(node.operation) or LINEAR
        if name == "linear":
            return self.give(node, self.flows[id(node.input_tensors[0])])
        result = self.activate(
            self.flow(node), name, options, self.name_for(node.operation), self.last(node.outputs[0])
        )
        self.tell(node.operation, f"{name}, {self.simulation.activation_bits}-bit output")
        return self.give(node, result)

    def last(self, tensor: Any) -> bool:
        """Whether a tensor is what the outermost model emits."""
        return self.outermost and self.is_output(tensor)

    def activate(self, flow: Flow, name: str, options: dict[str, Any], layer_name: str, last: bool) -> Flow:
        """Call an activation."""
        if name in ("silu", "swish"):
            # The file holds it as a LOGISTIC and a MUL, each with a grid.
            gate = self.activate(flow, "sigmoid", {}, self.unused(f"{layer_name}_gate"), False)
            return self.combine("multiply", [flow, gate], "linear", layer_name)
        layer = QuantizedActivation(
            activation_name=name, options=options, range=self.range_of(name, last), name=layer_name
        )
        return Flow(*layer(flow.tensor, flow.grid))

    def combine(self, operation: str, flows: Sequence[Flow], fused: str, name: str) -> Flow:
        """Call a sum, difference or product of two tensors."""
        layer = QuantizedArithmetic(operation=operation, fused=fused, range=self.range_of(fused), name=name)
        return Flow(*layer([flow.tensor for flow in flows], [flow.grid for flow in flows]))

    def on_arithmetic(self, node: Any) -> None:
        """Add, Subtract, Multiply, Average; sums and products with a constant."""
        step: Step = coverage.arithmetic_of(node)
        end, fused, _ = self.take_up(node.operation, node, LINEAR)
        self.tell(node.operation, f"{step.operation}, {self.simulation.activation_bits}-bit output")
        if step.operation == "absolute":
            return self.give(end, self._absolute(node))
        if step.operation == "square":
            flow = self.flow(node)
            return self.give(end, self.combine("multiply", [flow, flow], fused, self.name_for(node.operation)))
        if step.constant is not None:
            flow = self.flow(node)
            layer = QuantizedArithmetic(
                operation=step.operation,
                fused=fused,
                constant=step.constant,
                range=self.range_of(fused),
                name=self.name_for(node.operation),
            )
            return self.give(end, Flow(*layer(flow.tensor, flow.grid)))
        flows = self.flows_of(node)
        result = flows[0]
        for number, other in enumerate(flows[1:], start=1):
            last = number + 1 == len(flows) and step.factor is None
            name = self.name_for(node.operation) if last else self.unused(f"{node.operation.name}_{number}")
            result = self.combine(step.operation, [result, other], fused if last else "linear", name)
        if step.factor is not None:
            layer = QuantizedArithmetic(
                operation="multiply",
                fused=fused,
                constant=step.factor,
                range=self.range_of(fused),
                name=self.name_for(node.operation),
            )
            result = Flow(*layer(result.tensor, result.grid))
        return self.give(end, result)

    def _absolute(self, node: Any) -> Flow:
        """The larger of a value and its opposite."""
        flow, name = self.flow(node), node.operation.name
        negated = QuantizedArithmetic(
            operation="multiply",
            constant=-1.0,
            range=self.range_of("linear"),
            name=self.unused(f"{name}_opposite"),
        )
        opposite = Flow(*negated(flow.tensor, flow.grid))
        larger = QuantizedJoin(
            operation="maximum", axis=-1, range=self.range_of("linear"), name=self.name_for(node.operation)
        )
        return Flow(*larger([flow.tensor, opposite.tensor], [flow.grid, opposite.grid]))

    def on_join(self, node: Any) -> None:
        """Concatenate, Maximum, Minimum."""
        operation, axis = coverage.join_of(node)
        layer = QuantizedJoin(
            operation=operation, axis=axis, range=self.range_of("linear"), name=self.name_for(node.operation)
        )
        flows = self.flows_of(node)
        self.tell(node.operation, f"{operation}: all inputs brought to one grid")
        self.give(node, Flow(*layer([flow.tensor for flow in flows], [flow.grid for flow in flows])))
