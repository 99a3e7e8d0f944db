"""LSTM, GRU and SimpleRNN with simulated quantization, written out step by step as the operators of the file.

A step is made of the operators that other layers are made of: a FULLY_CONNECTED of the inputs (of all steps at once),
one of the state, sums, products, activations. Each computes as LiteRT's reference kernel does it, so the file answers
the same. All steps share their grids. The state begins at zero, so that the first step needs no product of it.

Of a GRU, h = hh + z (h - hh) is computed, which is z h + (1 - z) hh with one product less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic
from penjing.compression.quantization.kernel_layers import QuantizedDense
from penjing.compression.quantization.operations import QuantizedActivation, QuantizedArithmetic
from penjing.compression.quantization.ranges import Range
from penjing.compression.quantization.written_out import WrittenOut

_register = keras.saving.register_keras_serializable(package="penjing")
Value = tuple[Any, Any]
"""A tensor and its grid."""
GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
_STEPS = {
    "LSTM": {"sum": "add", "new": "multiply", "kept": "multiply", "cell": "add", "output": "multiply"},
    "GRU": {
        **{"sum": "add", "reset": "multiply", "candidate": "add"},
        **{"away": "subtract", "share": "multiply", "output": "add", "first": "subtract"},
    },
    "SimpleRNN": {"sum": "add"},
}
"""The sums and products of a step, each with a grid of its own."""
ACTIVATIONS = ("linear", "relu", "relu6", "tanh", "sigmoid", "hard_sigmoid", "elu", "softsign")
"""What a step can compute; all but the last three in integers."""


def form_of(layer: Any) -> dict[str, Any]:
    """A layer's form in JSON values, the argument `form` of `QuantizedRecurrent`."""
    kind = type(layer).__name__
    return {
        "kind": kind,
        "units": int(layer.units),
        "bias": bool(layer.use_bias),
        "activation": _name(layer.activation),
        "gate": "linear" if kind == "SimpleRNN" else _name(layer.recurrent_activation),
        "reset_after": kind == "GRU" and bool(layer.reset_after),
        "sequences": bool(layer.return_sequences),
        "backwards": bool(layer.go_backwards),
    }


def has_form(layer: Any) -> bool:
    """Whether a recurrent layer's arguments allow its integer form: no state comes in or goes out."""
    form = form_of(layer)
    known = form["activation"] in ACTIVATIONS and form["gate"] in ACTIVATIONS
    return known and not (layer.stateful or layer.return_state)


def _name(activation: Any) -> str:
    return str(getattr(activation, "__name__", activation))


@_register
class QuantizedRecurrent(WrittenOut):
    """A recurrent layer on grids; `form` is of `form_of`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kind, self.units = self.form["kind"], self.form["units"]
        self.bits = self.quantization["range"]["bits"]
        width = GATES[self.kind] * self.units
        state_bias = self.form["bias"] and self.form["reset_after"]
        self.of_inputs = QuantizedDense(
            width, use_bias=self.form["bias"], quantization=self.quantization, name=f"{self.name}_inputs"
        )
        self.of_state = QuantizedDense(
            width if self._whole_state else 2 * self.units,
            use_bias=state_bias,
            quantization={**self.quantization, "range": self._state_range},
            name=f"{self.name}_state",
        )
        self.of_reset_state = None
        if not self._whole_state:
            self.of_reset_state = QuantizedDense(
                self.units,
                use_bias=False,
                quantization={**self.quantization, "range": self._state_range},
                name=f"{self.name}_reset_state",
            )
        self.gate = self._activation(self.form["gate"], "gate")
        self.activation = self._activation(self.form["activation"], "activation")
        self.cell_activation = self._activation(self.form["activation"], "cell_activation")
        self.steps = {name: self._arithmetic(operation, name) for name, operation in _STEPS[self.kind].items()}
        if self.kind == "GRU":
            self.steps["first"].output_range = self.steps["output"].output_range

    @property
    def _whole_state(self) -> bool:
        """Whether one product of the state serves all gates; not where the state is reset before it is multiplied."""
        return self.kind != "GRU" or self.form["reset_after"]

    @property
    def _state_range(self) -> dict[str, Any]:
        """Ranges that all steps share stay where calibration put them, or are learned: a moving average over the steps
        would follow the last ones, and clip the widest."""
        return {**self.quantization["range"], "observes": False}

    def _range(self, activation: str = "linear") -> dict[str, Any]:
        positive = activation in ("relu", "relu6")
        return {**self._state_range, "fixed": self.fixed.get(activation), "positive": positive}

    def _arithmetic(self, operation: str, name: str) -> QuantizedArithmetic:
        return QuantizedArithmetic(operation=operation, range=self._range(), name=f"{self.name}_{name}")

    def _activation(self, activation: str, name: str) -> Any:
        if activation == "linear":
            return Range(**self._range(), name=f"{self.name}_{name}")
        return QuantizedActivation(
            activation_name=activation, options={}, range=self._range(activation), name=f"{self.name}_{name}"
        )

    def build(self, inputs_shape: Any, grid_shape: Any = None) -> None:
        self.of_inputs.build(inputs_shape)
        self.of_state.build((None, self.units))
        if self.of_reset_state is not None:
            self.of_reset_state.build((None, self.units))
        for layer in (self.gate, self.activation, self.cell_activation, *self.steps.values()):
            layer.build((None, self.units))
        self.built = True

    # ---------------------------------------------------------------------------------------------------- weights

    def fill(self, layer: Any) -> None:
        """Copy the weights of the layer that it stands for."""
        cell, gates = layer.cell, 2 * self.units
        self.of_inputs.kernel.assign(cell.kernel)
        recurrent = np.asarray(cell.recurrent_kernel)
        self.of_state.kernel.assign(recurrent if self._whole_state else recurrent[:, :gates])
        if self.of_reset_state is not None:
            self.of_reset_state.kernel.assign(recurrent[:, gates:])
        if not self.form["bias"]:
            return
        bias = np.array(cell.bias)
        if self.form["reset_after"]:
            # Two biases of the gates are one; the candidate's second is reset with the state.
            bias, of_state = bias[0], bias[1]
            bias[:gates] += of_state[:gates]
            self.of_state.bias.assign(np.concatenate([np.zeros(gates, np.float32), of_state[gates:]]))
        self.of_inputs.bias.assign(bias)

    def named_matrices(self) -> Iterator[tuple[str, Any, Any]]:
        """(name behind the layer's path, owner, variable) for `model_tree.weight_matrices`."""
        yield "kernel", self.of_inputs, self.of_inputs.kernel
        if self._whole_state:
            yield "recurrent_kernel", self.of_state, self.of_state.kernel

    # ------------------------------------------------------------------------------------------------------ steps

    def run(self, inputs: Any, grid: Any, training: bool | None) -> list[Value]:
        """The states after each step, in the order in which they are computed."""
        product, product_grid = self.of_inputs(inputs, grid, training=training)
        parts = tf.unstack(product, axis=1)
        step = {"LSTM": self._lstm, "GRU": self._gru, "SimpleRNN": self._simple}[self.kind]
        states: list[Value] = []
        memory: Any = None
        for part in reversed(parts) if self.form["backwards"] else parts:
            state, memory = step((part, product_grid), states[-1] if states else None, memory, training)
            states.append(state)
        return states

    def _do(self, name: str, first: Value, second: Value, training: bool | None) -> Value:
        result: Value = self.steps[name]([first[0], second[0]], [first[1], second[1]], training=training)
        return result

    def _with_state(self, part: Value, state: Value | None, training: bool | None) -> Value:
        """The inputs' share of a step and the state's."""
        if state is None:
            return part
        return self._do("sum", part, self.of_state(*state, training=training), training)

    def _simple(self, part: Value, state: Value | None, memory: Any, training: bool | None) -> tuple[Value, Any]:
        total = self._with_state(part, state, training)
        return self.activation(*total, training=training), None

    def _lstm(self, part: Value, state: Value | None, memory: Any, training: bool | None) -> tuple[Value, Any]:
        total, grid = self._with_state(part, state, training)
        entering, keeping, candidate, leaving = tf.split(total, 4, axis=-1)
        opened, new = self.gate(entering, grid, training=training), self.activation(candidate, grid, training=training)
        cell = self._do("new", opened, new, training)
        if memory is not None:
            kept = self._do("kept", self.gate(keeping, grid, training=training), memory, training)
            cell = self._do("cell", kept, cell, training)
        shown = self.cell_activation(*cell, training=training)
        return self._do("output", self.gate(leaving, grid, training=training), shown, training), cell

    def _gru(self, part: Value, state: Value | None, memory: Any, training: bool | None) -> tuple[Value, Any]:
        own, grid = part
        of_gates, of_candidate = tf.split(own, [2 * self.units, self.units], axis=-1)
        of_state: Value | None = None
        if state is not None:
            product, product_grid = self.of_state(*state, training=training)
            if self._whole_state:
                product, of_reset = tf.split(product, [2 * self.units, self.units], axis=-1)
                of_state = (of_reset, product_grid)
            of_gates, gate_grid = self._do("sum", (of_gates, grid), (product, product_grid), training)
        else:
            gate_grid = grid
            if self._whole_state and self.form["bias"]:
                of_state = self._constant(self.of_state.bias.value[2 * self.units :])
        updating, resetting = tf.split(of_gates, 2, axis=-1)
        candidate: Value = (of_candidate, grid)
        if self._whole_state and of_state is not None:
            reset = self._do("reset", self.gate(resetting, gate_grid, training=training), of_state, training)
            candidate = self._do("candidate", candidate, reset, training)
        elif self.of_reset_state is not None and state is not None:
            reset = self._do("reset", self.gate(resetting, gate_grid, training=training), state, training)
            candidate = self._do("candidate", candidate, self.of_reset_state(*reset, training=training), training)
        new: Value = self.activation(*candidate, training=training)
        update: Value = self.gate(updating, gate_grid, training=training)
        if state is None:
            return self._do("first", new, self._do("share", update, new, training), training), None
        away = self._do("away", state, new, training)
        return self._do("output", new, self._do("share", update, away, training), training), None

    def _constant(self, values: Any) -> Value:
        """A constant operand, with the grid that the file gives it."""
        largest = tf.reduce_max(tf.abs(values))
        limit = np.float32(arithmetic.limits(self.bits)[1])
        return values, tf.stack([tf.where(largest > 0.0, largest / limit, 1.0), tf.zeros(())])

    def call(self, inputs: Any, grid: Any, training: bool | None = None) -> Value:
        """The last state, or all of them along axis 1, and their grid."""
        states = self.run(inputs, grid, training)
        if not self.form["sequences"]:
            return states[-1]
        return tf.stack([tensor for tensor, _ in states], axis=1), states[-1][1]

    def compute_output_spec(self, inputs: Any, grid: Any, training: bool | None = None) -> Any:
        steps = inputs.shape[1:2] if self.form["sequences"] else ()
        shape = (inputs.shape[0], *steps, self.units)
        return keras.KerasTensor(shape, dtype="float32"), keras.KerasTensor((2,), dtype="float32")
