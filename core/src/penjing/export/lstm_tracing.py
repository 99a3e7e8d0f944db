"""Trace LSTM layers as functions that the converter turns into UNIDIRECTIONAL_SEQUENCE_LSTM, one operator each.

The converter does so with a function that is marked as an LSTM and has Keras' order of arguments and results; it trusts
the mark and reads the weights alone. Keras 3 sets no such mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from penjing.errors import ModelError

_MARK = "api_implements"


def fused_layers(model: Any) -> list[Any]:
    """The LSTM layers that the operator computes: with tanh and sigmoid, from a state of zeros, over a fixed number of
    steps."""
    import keras

    return [
        layer
        for layer in model._flatten_layers()
        if type(layer) is keras.layers.LSTM
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and not layer.stateful
    ]


@contextmanager
def marked(model: Any) -> Iterator[None]:
    """While it lasts, the LSTM layers are traced as functions that the converter turns into one operator each."""
    layers = fused_layers(model)
    try:
        for layer in layers:
            layer.__dict__.update(_marked_methods(layer))
        yield
    finally:
        for layer in layers:
            for name in ("inner_loop", "get_initial_state"):
                layer.__dict__.pop(name, None)


def _marked_methods(layer: Any) -> dict[str, Callable[..., Any]]:
    import tensorflow as tf

    started: list[bool] = []
    zeros = layer.get_initial_state

    def get_initial_state(batch_size: Any = None) -> Any:
        started.append(True)
        return zeros(batch_size)

    def inner_loop(sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        if mask is not None or not started:
            raise ModelError(
                "an LSTM with a mask, or with a state to start from, is no single operator",
                where=f"layer '{layer.name}'",
                why="LiteRT's operator starts from zeros and takes every step",
                hint="write the layer out",
            )
        started.clear()
        kernel, recurrent = layer.cell.kernel, layer.cell.recurrent_kernel
        bias = layer.cell.bias if layer.cell.use_bias else np.zeros(4 * layer.units, np.float32)

        # The converter reads time_major and the weights, and writes the operator in the function's place: the body only
        # has to have the results' shapes. Whoever uses this checks the file against the model.
        @tf.function(
            autograph=False,
            experimental_attributes={_MARK: f"lstm_{layer.name}", "time_major": False, "go_backwards": False},
        )
        def loop(inputs: Any, hidden: Any, cell: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
            outputs = tf.repeat(hidden[:, None], inputs.shape[1], axis=1)
            return hidden, outputs, hidden, cell, tf.constant(1.0)

        if layer.go_backwards:
            sequences = tf.reverse(sequences, [1])
        values = [tf.convert_to_tensor(value) for value in (kernel, recurrent, bias)]
        last, outputs, hidden, cell, _ = loop(sequences, *initial_state, *values)
        return last, outputs, [hidden, cell]

    return {"inner_loop": inner_loop, "get_initial_state": get_initial_state}


def frozen(model: Any) -> Callable[..., Any]:
    """The model's call with its weights as constants."""
    trainable = [np.asarray(variable) for variable in model.trainable_variables]
    others = [np.asarray(variable) for variable in model.non_trainable_variables]

    def call(inputs: Any, training: bool) -> Any:
        return model.stateless_call(trainable, others, inputs, training=training)[0]

    return call
