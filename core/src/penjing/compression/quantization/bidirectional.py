"""Bidirectional recurrent layers with simulated quantization."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from penjing.compression.quantization.operations import QuantizedArithmetic, QuantizedJoin
from penjing.compression.quantization.recurrent import QuantizedRecurrent, Value


@keras.saving.register_keras_serializable(package="penjing")
class QuantizedBidirectional(keras.layers.Layer):
    """Two recurrent layers, one from each end, and their outputs joined.

    Args:
        merge: "concat", "sum" or "mul".
        forward, backward: Configurations of `QuantizedRecurrent`.
    """

    def __init__(
        self, *, merge: str, forward: Mapping[str, Any], backward: Mapping[str, Any], range: Any, **options: Any
    ) -> None:
        super().__init__(**options)
        self.merge, self.forward_config, self.backward_config = merge, dict(forward), dict(backward)
        self.range_config = dict(range)
        self.forward_layer = QuantizedRecurrent(**self.forward_config)
        self.backward_layer = QuantizedRecurrent(**self.backward_config)
        if merge == "concat":
            self.join: Any = QuantizedJoin(operation="concatenate", axis=-1, range=range, name=f"{self.name}_join")
        else:
            operation = {"sum": "add", "mul": "multiply"}[merge]
            self.join = QuantizedArithmetic(operation=operation, range=range, name=f"{self.name}_join")

    def get_config(self) -> dict[str, Any]:
        own = {"merge": self.merge, "forward": self.forward_config, "backward": self.backward_config}
        return {**super().get_config(), **own, "range": self.range_config}

    def build(self, inputs_shape: Any, grid_shape: Any = None) -> None:
        self.forward_layer.build(inputs_shape)
        self.backward_layer.build(inputs_shape)
        self.join.build((None, self.forward_layer.units))
        self.built = True

    def fill(self, layer: Any) -> None:
        """Copy the weights of the layer that it stands for."""
        self.forward_layer.fill(layer.forward_layer)
        self.backward_layer.fill(layer.backward_layer)

    def named_matrices(self) -> Iterator[tuple[str, Any, Any]]:
        """(name behind the layer's path, owner, variable) for `model_tree.weight_matrices`."""
        for layer in (self.forward_layer, self.backward_layer):
            for name, owner, variable in layer.named_matrices():
                yield f"{layer.name}/{name}", owner, variable

    def call(self, inputs: Any, grid: Any, training: bool | None = None) -> Value:
        """Both outputs joined, and their grid."""
        ends = [layer.run(inputs, grid, training) for layer in (self.forward_layer, self.backward_layer)]
        if self.forward_layer.form["sequences"]:
            ends[1].reverse()
            pair = [(tf.stack([tensor for tensor, _ in states], axis=1), states[-1][1]) for states in ends]
        else:
            pair = [states[-1] for states in ends]
        joined: Value = self.join([tensor for tensor, _ in pair], [each for _, each in pair], training=training)
        return joined

    def compute_output_spec(self, inputs: Any, grid: Any, training: bool | None = None) -> Any:
        one, of_grid = self.forward_layer.compute_output_spec(inputs, grid)
        width = one.shape[-1] * (2 if self.merge == "concat" else 1)
        return keras.KerasTensor((*one.shape[:-1], width), dtype="float32"), of_grid
