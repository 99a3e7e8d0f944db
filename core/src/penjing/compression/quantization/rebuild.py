"""Build a model anew with simulated quantization: same inputs, outputs, names and weights.

The functional graph is walked in order. Every tensor is accompanied by its grid, a second tensor (scale, zero point),
so that a layer knows the integers of its input; operators that only move values pass the grid on. BatchNormalization
and ReLU are taken up by the kernel before them, as the converter does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from penjing.compression.quantization import coverage
from penjing.compression.quantization.attention_forms import AttentionForms
from penjing.compression.quantization.graph_walk import Flow, Simulation, Work, count_calls, input_name
from penjing.contract import LayerChange
from penjing.errors import ModelError

READ_MASKS = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.Bidirectional,
    keras.layers.GlobalAveragePooling1D,
)


def rebuild(model: keras.Model, simulation: Simulation) -> tuple[keras.Model, list[LayerChange]]:
    """The model with simulated quantization, weights copied, ranges not set yet; and what became of each layer.

    Raises:
        ModelError: A layer has no integer form; names the layer and the way out.
    """
    work = Work(simulation, calls=count_calls(model))
    graph = _Graph(model, work, "")
    inputs = [
        keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=input_name(tensor)) for tensor in graph.inputs
    ]
    outputs = graph.run([Flow(tensor) for tensor in inputs], outermost=True)
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    packed = keras.tree.pack_sequence_as(structure, inputs)
    emitted = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    results = keras.tree.pack_sequence_as(emitted, [flow.tensor for flow in outputs])
    return keras.Model(packed, results, name=model.name), work.changes


class _Graph(AttentionForms):
    def node(self, node: Any) -> None:
        operation = node.operation
        if isinstance(operation, keras.Model) and not self.excluded(operation):
            return self.nested(node)
        if self.excluded(operation):
            self.tell(operation, "left alone: fits 'exclude', computes in float32")
            return self.as_it_is(node, keep_grid=False)
        if not isinstance(operation, keras.layers.Layer) and not any("float" in str(t.dtype) for t in node.outputs):
            return self.as_it_is(node, keep_grid=False)  # a comparison, a mask
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

    def nested(self, node: Any) -> None:
        """A model in the model: rebuilt once, with the grids of its inputs and outputs as further tensors."""
        model = node.operation
        flows = (
            self.flows_of(node)
            if all("float" in str(t.dtype) for t in node.input_tensors)
            else [self.flows[id(t)] for t in node.input_tensors]
        )
        if any(getattr(t, "_keras_mask", None) is not None for t in node.input_tensors):
            for layer in model._flatten_layers(include_self=False):
                if isinstance(layer, (*READ_MASKS, keras.layers.RNN)):
                    raise ModelError(
                        "a mask that comes from outside of a nested model has no form with simulated quantization",
                        where=f"layer '{self.prefix}{model.name}/{layer.name}'",
                        why="the nested model does not say where its mask comes from",
                        hint="call its layers in the outer model, or put it under 'exclude'",
                    )
        made = self.work.made.get(id(model))
        if made is None:
            inner = _Graph(model, self.work, f"{self.prefix}{model.name}/")
            inputs = [
                Flow(
                    keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=input_name(tensor)),
                    None if flow.grid is None else keras.Input(batch_shape=(2,), name=f"{input_name(tensor)}_grid"),
                )
                for tensor, flow in zip(inner.inputs, flows, strict=True)
            ]
            outputs = inner.run(inputs)
            new = keras.Model(_tensors(inputs), _tensors(outputs), name=model.name)
            made = (new, [flow.grid is not None for flow in outputs])
            self.work.made[id(model)] = made
        new, with_grid = made
        results = iter(keras.tree.flatten(new(_tensors(flows))))
        for tensor, has in zip(node.outputs, with_grid, strict=True):
            result = next(results)
            self.flows[id(tensor)] = Flow(result, next(results) if has else None)


def _tensors(flows: Sequence[Flow]) -> list[Any]:
    return [tensor for flow in flows for tensor in (flow.tensor, flow.grid) if tensor is not None]
