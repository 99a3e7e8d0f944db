"""The forms with simulated quantization of what works on places: means, pooling, resizing."""

from __future__ import annotations

from typing import Any

import keras

from penjing.compression.quantization.average_pooling import QuantizedAveragePooling
from penjing.compression.quantization.graph_walk import Flow
from penjing.compression.quantization.layer_forms import LayerForms
from penjing.compression.quantization.operations import QuantizedMean
from penjing.compression.quantization.resizing import QuantizedResizing
from penjing.errors import ModelError


class WindowForms(LayerForms):
    """A walk that knows these layers too."""

    def on_mean(self, node: Any) -> None:
        """Global average pooling, or a mean over axes of an example."""
        self.refuse_mask(node, "the number that it divides by differs from example to example")
        flow = self.flow(node)
        axes = mean_axes(node)
        keepdims = bool(getattr(node.operation, "keepdims", False))
        layer = QuantizedMean(
            axes=axes, keepdims=keepdims, range=self.range_of("linear"), name=self.name_for(node.operation)
        )
        self.tell(node.operation, f"mean, {self.simulation.activation_bits}-bit output")
        self.give(node, Flow(*layer(flow.tensor, flow.grid)))

    def on_average(self, node: Any) -> None:
        """Average pooling."""
        flow, old = self.flow(node), node.operation
        layer = QuantizedAveragePooling(
            pool_size=old.pool_size,
            strides=old.strides,
            padding=old.padding,
            bits=self.simulation.activation_bits,
            name=self.name_for(old),
        )
        self.tell(old, "averages on the grid of its input")
        self.give(node, Flow(*layer(flow.tensor, flow.grid)))

    def on_resize(self, node: Any) -> None:
        """Bilinear resizing."""
        layer = QuantizedResizing(size=node.outputs[0].shape[1:3], name=self.name_for(node.operation))
        flow = self.flow(node)
        self.tell(node.operation, "resized on the grid of its input")
        self.give(node, Flow(*layer(flow.tensor, flow.grid)))


def mean_axes(node: Any) -> tuple[int, ...]:
    """The axes that a node of kind "mean" averages over, the batch's being 0.

    Raises:
        ModelError: It averages over the examples.
    """
    rank = len(node.input_tensors[0].shape)
    if isinstance(node.operation, keras.layers.Layer):
        return tuple(range(1, rank - 1))
    given = node.operation.axis
    axes = range(rank) if given is None else given if isinstance(given, (list, tuple)) else [given]
    found = tuple(sorted(axis % rank for axis in axes))
    if 0 in found:
        raise ModelError(
            "a mean over the examples has no form with simulated quantization",
            where=f"operation '{node.operation.name}'",
            why="a file answers one example at a time",
            hint="give the mean's axes, without the first",
        )
    return found
