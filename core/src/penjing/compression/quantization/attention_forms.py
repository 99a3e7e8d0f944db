"""The forms with simulated quantization of what transformers are made of: attention and embeddings."""

from __future__ import annotations

import inspect
from typing import Any

from penjing.compression.quantization.attention import KINDS, QuantizedAttention, form_of
from penjing.compression.quantization.embedding import QuantizedEmbedding
from penjing.compression.quantization.graph_walk import Flow
from penjing.compression.quantization.ranges import Range
from penjing.compression.quantization.recurrent_forms import RecurrentForms
from penjing.errors import ModelError

_MASKS = {"query_mask": "query", "value_mask": "value", "key_mask": "key", "attention_mask": "attention"}


class AttentionForms(RecurrentForms):
    """A walk that knows attention and embeddings too."""

    def reads_as_mask(self, node: Any, tensor: Any) -> bool:
        """Attention reads its masks so."""
        if not isinstance(node.operation, KINDS):
            return False
        return all(value is not tensor or name in _MASKS for name, value in _arguments(node).items())

    def on_embedding(self, node: Any) -> None:
        """A table of bytes; 16-bit activations have their own grid behind it."""
        layer = node.operation
        new = self.work.made.get(id(layer))
        numbers = self.flows[id(node.input_tensors[0])].tensor
        if new is None:
            config = {**layer.get_config(), "name": layer.name}
            new = self.work.made[id(layer)] = QuantizedEmbedding.from_config(config)
            result = Flow(*new(numbers))
            new.embeddings.assign(layer.embeddings)
            self.tell(layer, "8-bit rows, looked up")
        else:
            result = Flow(*new(numbers))
        if self.simulation.activation_bits != 8:
            wide = Range(**self.range_of("linear"), name=self.unused(f"{layer.name}_range"))
            result = Flow(*wide(result.tensor, result.grid))
        self.give(node, result)

    def on_attention(self, node: Any) -> None:
        """Attention of two or three tensors, with its masks."""
        layer = node.operation
        given = _arguments(node)
        queries, values = given["query"], given["value"]
        keys = values if given.get("key") is None else given["key"]
        why = _why_not(layer, given)
        if why is not None:
            raise ModelError(
                f"{type(layer).__name__} has no form with simulated quantization here",
                where=f"layer '{self.prefix}{layer.name}'",
                why=why,
                hint=f'leave it in float32: exclude = ["{layer.name}"]',
            )
        flows = [self.on_grid(self.flows[id(t)], layer.name, t) for t in (queries, values, keys)]
        masks = {_MASKS[name]: self.flows[id(given[name])].tensor for name in _MASKS if given.get(name) is not None}
        for name in ("query", "value", "key"):
            carried = None if given.get(name) is None else self.mask_of(given[name])
            if carried is not None:
                masks.setdefault(name, carried)
        causal = bool(given.get("use_causal_mask"))

        def call(attention: QuantizedAttention) -> Flow:
            tensors, grids = [flow.tensor for flow in flows], [flow.grid for flow in flows]
            return Flow(*attention(tensors, grids, allowed=masks, causal=causal))

        new = self.work.made.get(id(layer))
        if new is None:
            new = self.work.made[id(layer)] = QuantizedAttention(
                form=form_of(layer),
                quantization=self.quantization(self.bits_of(layer), None, "linear"),
                fixed=self.fixed_grids(),
                name=layer.name,
            )
            result = call(new)
            new.fill(layer)
            bits = f"{self.bits_of(layer)}-bit weights, {self.simulation.activation_bits}-bit activations"
            self.tell(layer, f"{bits}, {new.form['heads']} heads as two products of activations and a softmax")
        else:
            result = call(new)
        self.give(node, result)


def _arguments(node: Any) -> dict[str, Any]:
    """The arguments of a call by name."""
    parameters = inspect.signature(node.operation.call)
    return dict(parameters.bind(*node.arguments.args, **node.arguments.kwargs).arguments)


def _why_not(layer: Any, given: dict[str, Any]) -> str | None:
    if len(given["query"].shape) != 3 or len(given["value"].shape) != 3 or len(layer._output_dense.kernel.shape) != 3:
        return "it attends over other axes than one between batch and channels"
    if given["query"].shape[1] is None or given["value"].shape[1] is None:
        return "the number of its steps is open"
    if given.get("return_attention_scores"):
        return "it gives its scores out"
    return None
