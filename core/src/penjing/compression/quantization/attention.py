"""MultiHeadAttention and GroupQueryAttention with simulated quantization, written out as the operators of the file.

Queries, keys, values and outputs are FULLY_CONNECTED with a scale per output channel; scores and contexts are
BATCH_MATMUL of two activations; between them stand a SELECT_V2 where there is a mask, and SOFTMAX. The scores' factor
1 / sqrt(key_dim) is part of the queries' kernel, whose integers it does not change: only their steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization.kernel_layers import QuantizedEinsumDense
from penjing.compression.quantization.matrix_products import QuantizedMatmul, QuantizedScores
from penjing.compression.quantization.operations import QuantizedActivation, QuantizedArithmetic
from penjing.compression.quantization.recurrent import Value
from penjing.compression.quantization.written_out import WrittenOut

HEADS_BEFORE_STEPS = (0, 2, 1, 3)


KINDS = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)


def form_of(layer: Any) -> dict[str, Any]:
    """A layer's form in JSON values, the argument `form` of `QuantizedAttention`."""
    grouped = isinstance(layer, keras.layers.GroupQueryAttention)
    heads = int(layer.num_query_heads if grouped else layer.num_heads)
    return {
        "heads": heads,
        "key_value_heads": int(layer.num_key_value_heads) if grouped else heads,
        "key_dim": int(layer.head_dim if grouped else layer.key_dim),
        "value_dim": int(layer.head_dim if grouped else layer.value_dim),
        "units": int(layer._output_dense.kernel.shape[-1]),
        "bias": bool(layer.use_bias),
        "dropout": float(layer.dropout),
        "gate": bool(layer.get_config().get("use_gate", False)),
        "window": layer.get_config().get("sliding_window"),
    }


@keras.saving.register_keras_serializable(package="penjing")
class QuantizedAttention(WrittenOut):
    """Attention of several heads on grids, over the one axis between batch and channels; `form` is of `form_of`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        key_dim, value_dim = self.form["key_dim"], self.form["value_dim"]
        self.query = self._projection("query", key_dim, factor=1.0 / math.sqrt(key_dim))
        # A model that was saved before there were groups has as many.
        self.groups = self.form.get("key_value_heads", self.form["heads"])
        self.key = self._projection("key", key_dim, heads=self.groups)
        self.value = self._projection("value", value_dim, heads=self.groups)
        self.scores = QuantizedScores(range=self._range(), name=f"{self.name}_scores")
        self.softmax = self._activation("softmax")
        self.dropout = keras.layers.Dropout(self.form["dropout"], name=f"{self.name}_dropout")
        self.context = QuantizedMatmul(range=self._range(), name=f"{self.name}_context")
        self.gate = None
        if self.form["gate"]:
            self.gate = self._projection("gate", value_dim)
            self.gate_activation = self._activation("sigmoid")
            self.gated = QuantizedArithmetic(operation="multiply", range=self._range(), name=f"{self.name}_gated")
        self.output_projection = QuantizedEinsumDense(
            "abcd,cde->abe",
            output_shape=(None, self.form["units"]),
            bias_axes="e" if self.form["bias"] else None,
            quantization=self.quantization,
            name=f"{self.name}_attention_output",
        )

    def _projection(self, name: str, size: int, factor: float = 1.0, heads: int | None = None) -> QuantizedEinsumDense:
        return QuantizedEinsumDense(
            "abc,cde->abde",
            output_shape=(None, heads or self.form["heads"], size),
            bias_axes="de" if self.form["bias"] else None,
            quantization=self.quantization,
            factor=factor,
            name=f"{self.name}_{name}",
        )

    def _range(self, activation: str = "linear") -> dict[str, Any]:
        return {**self.quantization["range"], "fixed": self.fixed.get(activation)}

    def _activation(self, name: str) -> QuantizedActivation:
        return QuantizedActivation(
            activation_name=name, options={}, range=self._range(name), name=f"{self.name}_{name}"
        )

    def build(self, inputs_shape: Any, grids_shape: Any = None) -> None:
        queries, values, keys = (tuple(shape) for shape in inputs_shape)
        self.query.build(queries)
        self.key.build(keys)
        self.value.build(values)
        if self.gate is not None:
            self.gate.build(queries)
            self.gated.build(None)
            self.gate_activation.build(None)
        self.output_projection.build((*queries[:-1], self.form["heads"], self.form["value_dim"]))
        for layer in (self.scores, self.softmax, self.context):
            layer.build(None)
        self.built = True

    # ---------------------------------------------------------------------------------------------------- weights

    def _parts(self, layer: Any = None) -> Iterator[tuple[str, Any, Any]]:
        """(name of the projection, its counterpart here, the projection of a Keras layer)."""
        names = {"query": "query", "key": "key", "value": "value", "attention_output": "output_projection"}
        if self.gate is not None:
            names["gate"] = "gate"
        for name, own in names.items():
            theirs = "output" if name == "attention_output" else name
            yield name, getattr(self, own), None if layer is None else getattr(layer, f"_{theirs}_dense")

    def fill(self, layer: Any) -> None:
        """Copy the weights of the layer that it stands for."""
        for _, own, theirs in self._parts(layer):
            own.kernel.assign(theirs.kernel)
            if self.form["bias"]:
                own.bias.assign(theirs.bias)

    def named_matrices(self) -> Iterator[tuple[str, Any, Any]]:
        """(name behind the layer's path, owner, variable) for `model_tree.weight_matrices`."""
        for name, own, _ in self._parts():
            yield name, own, own.kernel

    # ------------------------------------------------------------------------------------------------------ calls

    def call(
        self, inputs: Any, grids: Any, allowed: Any = None, causal: bool = False, training: bool | None = None
    ) -> Value:
        """The output (n, t, units) on its grid, and the grid.

        Args:
            inputs: Queries (n, t, ...), values (n, s, ...) and keys (n, s, ...).
            grids: Their grids.
            allowed: Masks by the names that the arguments of a Keras layer have, without "_mask": "query" (n, t),
                "value" and "key" (n, s), "attention" (n, t, s) or (n, heads, t, s).
            causal: Whether a place looks at none behind it.
        """
        inputs = [tf.identity(tensor) for tensor in inputs]  # without Keras' masks, which projections know nothing of
        queries, query_grid = self.query(inputs[0], grids[0], training=training)
        values, value_grid = self.value(inputs[1], grids[1], training=training)
        keys, key_grid = self.key(inputs[2], grids[2], training=training)
        values, keys = self._for_each_head(values), self._for_each_head(keys)
        queries, values, keys = (tf.transpose(x, HEADS_BEFORE_STEPS) for x in (queries, values, keys))
        together = self._together(allowed or {}, causal, int(queries.shape[2]), int(keys.shape[2]))
        scores = self.scores([queries, keys], [query_grid, key_grid], allowed=together, training=training)
        weights, weight_grid = self.softmax(*scores, training=training)
        if together is not None and self.quantization["range"]["bits"] == 16:
            weights = tf.where(_or_whole_rows(together), weights, 0.0)
        if training:
            weights = self.dropout(weights, training=True)
        context, grid = self.context([weights, values], [weight_grid, value_grid], training=training)
        context = tf.transpose(context, HEADS_BEFORE_STEPS)
        if self.gate is not None:
            opened = self.gate_activation(*self.gate(inputs[0], grids[0], training=training), training=training)
            context, grid = self.gated([context, opened[0]], [grid, opened[1]], training=training)
        result: Value = self.output_projection(context, grid, training=training)
        return result

    def _for_each_head(self, tensor: Any) -> Any:
        """Keys or values (n, s, groups, size) with those of its group for each head of the queries."""
        heads = self.form["heads"]
        return tensor if self.groups == heads else tf.gather(tensor, np.arange(heads) * self.groups // heads, axis=2)

    def _together(self, masks: Mapping[str, Any], causal: bool, queries: int, keys: int) -> Any:
        """All masks as one, of rank 4; None where there is none."""
        parts = []
        for name, mask in masks.items():
            mask = tf.cast(mask, tf.bool)
            if name == "query":
                mask = mask[:, None, :, None]
            elif name in ("value", "key"):
                mask = mask[:, None, None, :]
            elif len(mask.shape) == 3:
                mask = mask[:, None]
            parts.append(mask)
        row, column = np.arange(queries)[:, None], np.arange(keys)[None, :]
        if causal:
            parts.append(tf.constant((row >= column)[None, None]))
        if self.form["window"] is not None:
            parts.append(tf.constant((np.abs(row - column) < self.form["window"])[None, None]))
        if not parts:
            return None
        result = parts[0]
        for part in parts[1:]:
            result = tf.logical_and(result, part)
        return result

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The queries' mask."""
        return previous_mask[0] if isinstance(previous_mask, list) else previous_mask

    def compute_output_spec(
        self, inputs: Any, grids: Any, allowed: Any = None, causal: bool = False, training: bool | None = None
    ) -> Any:
        shape = (*inputs[0].shape[:-1], self.form["units"])
        return keras.KerasTensor(shape, dtype="float32"), keras.KerasTensor((2,), dtype="float32")


def _or_whole_rows(allowed: Any) -> Any:
    """The mask, and all of a row where it allows nothing, which SOFTMAX spreads evenly. With 16 bits its table ends at
    exp(-10), one step of 1/32768: that much of a forbidden place would be left."""
    return tf.logical_or(allowed, tf.logical_not(tf.reduce_any(allowed, -1, keepdims=True)))
