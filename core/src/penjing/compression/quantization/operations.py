"""Operations without weights on integer grids: sums, products, means, activations, joined tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic, softmax, tables, tables_16
from penjing.compression.quantization.folding import ACTIVATIONS
from penjing.compression.quantization.ranges import Range, carried_mask, is_calibrating
from penjing.export import recording
from penjing.export.integer_graph import constant_grid

_register = keras.saving.register_keras_serializable(package="penjing")


class QuantizedOperation(keras.layers.Layer, ABC):
    """An operation whose output has a grid of its own.

    Args:
        range: Arguments of the output's `Range`.
    """

    arguments: tuple[str, ...] = ()
    """Further arguments of the constructor, kept in the configuration."""

    def __init__(self, *, range: Mapping[str, Any], **options: Any) -> None:
        own = {name: options.pop(name) for name in self.arguments if name in options}
        super().__init__(**options)
        for name, value in own.items():
            setattr(self, name, value)
        self.range_config = dict(range)
        self.output_range = Range(**self.range_config, name="range")

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.arguments}
        return {**super().get_config(), "range": self.range_config, **own}

    def build(self, inputs_shape: Any, grid_shape: Any = None) -> None:
        if not self.output_range.built:  # two operations may share one
            self.output_range.build()
        self.built = True

    @abstractmethod
    def real(self, inputs: Any) -> Any:
        """The operation on real numbers."""

    def exact(self, inputs: Any, grid: Any) -> Any:
        """The operation as the reference kernel computes it; real numbers of the output's grid."""
        own = self.output_range.grid()
        return arithmetic.real(arithmetic.quantize(self.real(inputs), own, self.output_range.bits), own)

    def recorded(self, inputs: Any) -> Any:
        """The operation as the converter is to see it."""
        return self.real(inputs)

    def call(self, inputs: Any, grid: Any, training: bool | None = None) -> tuple[Any, Any]:
        """The output on its grid, and the grid."""
        if recording.current() is not None:
            return self.output_range.mark(self.recorded(inputs))
        if is_calibrating():
            outputs = self.real(inputs)
            self.output_range.observe(outputs)
            return outputs, self.output_range.grid()
        if training:
            return self.output_range.simulate(self.real(inputs), True), self.output_range.grid()
        return self.exact(inputs, grid), self.output_range.grid()

    def compute_output_spec(self, inputs: Any, grid: Any, training: bool | None = None) -> Any:
        shape = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), inputs)
        shape = self.compute_output_shape([tuple(t.shape) for t in inputs] if isinstance(inputs, list) else shape)
        return keras.KerasTensor(shape, dtype="float32"), keras.KerasTensor((2,), dtype="float32")

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the inputs: layers in float32 may stand behind and read it."""
        return carried_mask(previous_mask)

    def _scaled(self, integers: Any, factor: Any, fused: str = "linear") -> Any:
        """Accumulators times a factor, on the output's grid, as real numbers."""
        own = self.output_range.grid()
        scaled = arithmetic.scale_integers(integers, factor)
        return arithmetic.real(arithmetic.clamp(scaled, own, self.output_range.bits, fused), own)


_ARITHMETIC = {"add": tf.add, "subtract": tf.subtract, "multiply": tf.multiply}


@_register
class QuantizedArithmetic(QuantizedOperation):
    """The sum, difference or product of two tensors, or of a tensor and a constant.

    Args:
        operation: "add", "subtract" or "multiply".
        fused: "linear", "relu" or "relu6".
        constant: The second operand where it is a constant: a number or nested lists.
    """

    arguments = ("operation", "fused", "constant")
    operation: str
    fused: str = "linear"
    constant: Any = None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        if self.constant is not None:
            return np.broadcast_shapes((1, *inputs_shape[1:]), np.shape(self.constant))[:0] + tuple(inputs_shape)
        first, second = inputs_shape
        sizes = np.broadcast_shapes(*(tuple(1 if size is None else size for size in s) for s in (first, second)))
        return (None, *sizes[1:])

    def _operands(self, inputs: Any) -> tuple[Any, Any]:
        if self.constant is None:
            return inputs[0], inputs[1]
        return inputs, tf.constant(np.asarray(self.constant, np.float32))

    def real(self, inputs: Any) -> Any:
        return ACTIVATIONS[self.fused](_ARITHMETIC[self.operation](*self._operands(inputs)))

    def exact(self, inputs: Any, grid: Any) -> Any:
        first, second = self._operands(inputs)
        if self.constant is None:
            grids = grid
        else:
            made = constant_grid(np.asarray(self.constant, np.float32), self.output_range.bits)
            grids = [grid, tf.constant([made.scale, 0.0], tf.float32)]
        a, b = arithmetic.offsets(first, grids[0]), arithmetic.offsets(second, grids[1])
        own = self.output_range.grid()
        if self.operation == "multiply":
            factor = grids[0][0] * grids[1][0] / own[0]
            return self._scaled(a * b, arithmetic.double(factor), self.fused)
        # Both operands are brought to half of the larger scale with spare bits, then added.
        spare = 15 if self.output_range.bits == 16 else 20
        scales = [arithmetic.double(g[0]) for g in grids]
        twice = 2.0 * tf.maximum(*scales)
        a = arithmetic.scale_integers(tf.bitwise.left_shift(a, tf.constant(spare, tf.int64) + 0 * a), scales[0] / twice)
        b = arithmetic.scale_integers(tf.bitwise.left_shift(b, tf.constant(spare, tf.int64) + 0 * b), scales[1] / twice)
        total = a + b if self.operation == "add" else a - b
        return self._scaled(total, twice / (2.0**spare * arithmetic.double(own[0])), self.fused)


@_register
class QuantizedJoin(QuantizedOperation):
    """Concatenate, Maximum or Minimum: all inputs are brought to the output's grid first.

    Args:
        operation: "concatenate", "maximum" or "minimum".
        axis: Of "concatenate".
    """

    arguments = ("operation", "axis")
    operation: str
    axis: int = -1

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        shape = list(inputs_shape[0])
        if self.operation == "concatenate":
            shape[self.axis] = sum(other[self.axis] for other in inputs_shape)
        return tuple(shape)

    def real(self, inputs: Any) -> Any:
        if self.operation == "concatenate":
            return tf.concat(inputs, self.axis)
        choose = tf.maximum if self.operation == "maximum" else tf.minimum
        outputs = inputs[0]
        for other in inputs[1:]:
            outputs = choose(outputs, other)
        return outputs

    def exact(self, inputs: Any, grid: Any) -> Any:
        return self.real([self.output_range.regrid(x, g) for x, g in zip(inputs, grid, strict=True)])

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """As of an operation of two tensors; none where steps are joined to steps."""
        rank = len(inputs[0].shape)
        return carried_mask(previous_mask) if self.axis % rank == rank - 1 else None

    def call(self, inputs: Any, grid: Any, training: bool | None = None) -> tuple[Any, Any]:
        if recording.current() is None:
            return super().call(inputs, grid, training)
        marked = [self.output_range.mark(tensor) for tensor in inputs]
        return self.real([tensor for tensor, _ in marked]), marked[0][1]


@_register
class QuantizedMean(QuantizedOperation):
    """The mean over some axes (global average pooling).

    Args:
        axes: Axes to average over.
        keepdims: Whether they stay, of size 1.
    """

    arguments = ("axes", "keepdims")
    axes: Sequence[int]
    keepdims: bool = False

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        if self.keepdims:
            return tuple(1 if axis in self.axes else size for axis, size in enumerate(inputs_shape))
        return tuple(size for axis, size in enumerate(inputs_shape) if axis not in self.axes)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """None: what was masked is gone."""

    def real(self, inputs: Any) -> Any:
        return tf.reduce_mean(inputs, list(self.axes), keepdims=self.keepdims)

    def exact(self, inputs: Any, grid: Any) -> Any:
        total = tf.reduce_sum(arithmetic.offsets(inputs, grid), list(self.axes), keepdims=self.keepdims)
        count = int(np.prod([inputs.shape[axis] for axis in self.axes]))
        own = self.output_range.grid()
        multiplier, shift = arithmetic.fixed_point(arithmetic.double(grid[0]) / arithmetic.double(own[0]))
        # The kernel divides the multiplier by the count, after giving it as many bits as the count has.
        bits = tf.minimum(tf.constant(count.bit_length() - 1, tf.int64), 31 + shift)
        multiplier = tf.bitwise.left_shift(multiplier, bits) // count
        scaled = arithmetic.apply_fixed_point(total, multiplier, shift - bits)
        return arithmetic.real(arithmetic.clamp(scaled, own, self.output_range.bits, "linear"), own)


@_register
class QuantizedActivation(QuantizedOperation):
    """An activation that is an operator of its own.

    Args:
        activation: A Keras activation's name.
        options: Keyword arguments of the activation.
    """

    arguments = ("activation_name", "options")
    activation_name: str
    options: Mapping[str, Any]

    @property
    def activation(self) -> Any:
        """Tells, as in Keras' own layers, what a model's last layer emits."""
        return keras.activations.get(self.activation_name)

    def real(self, inputs: Any) -> Any:
        return self.activation(inputs, **dict(self.options))

    def recorded(self, inputs: Any) -> Any:
        if self.activation_name == "leaky_relu":
            return tf.nn.leaky_relu(inputs, self.options["negative_slope"])
        if self.activation_name == "relu6":
            return tf.nn.relu6(inputs)
        return self.real(inputs)

    def exact(self, inputs: Any, grid: Any) -> Any:
        own = self.output_range.grid()
        if self.activation_name in ("relu", "relu6"):
            factor = arithmetic.double(grid[0] / own[0])
            return self._scaled(arithmetic.offsets(inputs, grid), factor, self.activation_name)
        if self.activation_name == "leaky_relu":
            offsets = arithmetic.offsets(inputs, grid)
            slope = np.float32(self.options["negative_slope"])
            positive = self._scaled(offsets, arithmetic.double(grid[0] / own[0]))
            negative = self._scaled(offsets, arithmetic.double(grid[0] * slope / own[0]))
            return tf.where(offsets >= 0, positive, negative)
        integers = self._kernel(arithmetic.offsets(inputs, grid), grid, own)
        return super().exact(inputs, grid) if integers is None else arithmetic.real(integers, own)

    def _kernel(self, offsets: Any, grid: Any, own: Any) -> Any | None:
        """Integers as the operator's kernel computes them; None where the file holds no such operator."""
        name, wide = self.activation_name, self.output_range.bits == 16
        if name == "softmax":
            return self._softmax(offsets, grid, own)
        if wide:
            kernel = {"sigmoid": tables_16.sigmoid, "tanh": tables_16.tanh}.get(name)
            return None if kernel is None else kernel(offsets, grid[0])
        if name in ("hard_silu", "hard_swish"):
            return tables.hard_swish(offsets, grid, own)
        function = tables.function_of(name, self.options)
        return None if function is None else tables.looked_up(function, offsets, grid, own)

    def _softmax(self, offsets: Any, grid: Any, own: Any) -> Any:
        rank = len(offsets.shape)
        order = list(range(rank))
        axis = self.options.get("axis", -1) % rank
        order[axis], order[-1] = order[-1], order[axis]  # the operator knows the last axis alone
        kernel = tables_16.softmax if self.output_range.bits == 16 else softmax.softmax
        return tf.transpose(kernel(tf.transpose(offsets, order), grid[0]), order) + tf.cast(own[1], tf.int64)
