"""The forms with simulated quantization of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penjing.compression.quantization.bidirectional import QuantizedBidirectional
from penjing.compression.quantization.graph_walk import Flow
from penjing.compression.quantization.recurrent import QuantizedRecurrent, form_of
from penjing.compression.quantization.window_forms import WindowForms
from penjing.errors import ModelError


class RecurrentForms(WindowForms):
    """A walk that knows recurrent layers too."""

    def on_recurrent(self, node: Any) -> None:
        """LSTM, GRU, SimpleRNN: written out step by step."""
        self._recurrent(node, lambda layer: QuantizedRecurrent(**self._recurrent_options(layer), name=layer.name))

    def on_bidirectional(self, node: Any) -> None:
        """A recurrent layer from each end."""

        def make(layer: Any) -> QuantizedBidirectional:
            ends = [
                {**self._recurrent_options(each), "name": each.name}
                for each in (layer.forward_layer, layer.backward_layer)
            ]
            return QuantizedBidirectional(
                merge=layer.merge_mode,
                forward=ends[0],
                backward=ends[1],
                range=self.range_of("linear"),
                name=layer.name,
            )

        self._recurrent(node, make)

    def _recurrent(self, node: Any, make: Callable[[Any], Any]) -> None:
        layer, flow = node.operation, self.flow(node)
        if len(node.input_tensors) > 1 or flow.tensor.shape[1] is None:
            raise ModelError(
                f"{type(layer).__name__} has no form with simulated quantization here",
                where=f"layer '{self.prefix}{layer.name}'",
                why="it is given a state or a mask, or the number of its steps is open",
                hint=f'leave it in float32: exclude = ["{layer.name}"]',
            )
        new = self.work.made.get(id(layer))
        if new is None:
            new = self.work.made[id(layer)] = make(layer)
            result = Flow(*new(flow.tensor, flow.grid))
            new.fill(layer)
            bits = f"{self.bits_of(layer)}-bit weights, {self.simulation.activation_bits}-bit state"
            self.tell(layer, f"{bits}, written out in {flow.tensor.shape[1]} steps")
        else:
            result = Flow(*new(flow.tensor, flow.grid))
        self.give(node, result)

    def _recurrent_options(self, layer: Any) -> dict[str, Any]:
        return {
            "form": form_of(layer),
            "quantization": self.quantization(self.bits_of(layer), None, "linear"),
            "fixed": self.fixed_grids(),
        }
