"""The layers with a rounded kernel: Dense, convolutions, and the per-channel factor that BatchNormalization is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic
from penjing.compression.quantization.folding import QuantizedKernel

_register = keras.saving.register_keras_serializable(package="penjing")


@_register
class QuantizedDense(QuantizedKernel, keras.layers.Dense):
    """Dense with a rounded kernel (in, out)."""

    kernel_axes = (0,)

    def linear(self, inputs: Any, kernel: Any) -> Any:
        return keras.ops.matmul(inputs, kernel)

    def rescale(self, accumulator: Any, factor: Any) -> Any:
        # The reference kernel of FULLY_CONNECTED multiplies in float64 and rounds once.
        return tf.cast(arithmetic.round_away(tf.cast(accumulator, tf.float64) * factor), tf.int64)

    def recorded_linear(self, inputs: Any, kernel: np.ndarray) -> Any:
        # A matrix product of two axes is one FULLY_CONNECTED; of more it would be a BATCH_MATMUL.
        return tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), tf.constant(kernel))


@_register
class QuantizedEinsumDense(QuantizedKernel, keras.layers.EinsumDense):
    """EinsumDense that sums the last axes of its input with the first of its kernel, one FULLY_CONNECTED in the file.

    Args:
        factor: What kernel and bias are multiplied with before they are rounded.
    """

    def __init__(self, *args: Any, factor: float = 1.0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.factor = factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}

    @property
    def summed(self) -> int:
        """How many axes are summed."""
        return summed_axes(self.equation) or 0

    @property
    def kernel_axes(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(self.summed))

    def folded_kernel(self) -> Any:
        return super().folded_kernel() * self.factor

    def folded_bias(self) -> Any:
        bias = super().folded_bias()
        if bias is None:
            return None
        sizes = [int(size) for size in self.kernel.shape[self.summed :]]
        return tf.reshape(tf.broadcast_to(bias, sizes), [-1]) * self.factor

    def _rows(self, inputs: Any) -> list[Any]:
        """Sizes of the axes that are not summed."""
        shape, sizes = tf.shape(inputs), inputs.shape[: len(inputs.shape) - self.summed]
        return [-1, *(shape[axis] if size is None else size for axis, size in enumerate(sizes[1:], start=1))]

    def _matrix(self, kernel: Any) -> Any:
        return tf.reshape(kernel, [int(np.prod(self.kernel.shape[: self.summed])), -1])

    def call(self, inputs: Any, grid: Any, training: bool | None = None) -> tuple[Any, Any]:
        outputs, own = super().call(inputs, grid, training)
        sizes = [int(size) for size in self.kernel.shape[self.summed :]]
        return tf.reshape(outputs, [*self._rows(inputs), *sizes]), own

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        kept = len(inputs_shape) - self.summed
        return (*inputs_shape[:kept], *self.kernel.shape[self.summed :])

    def linear(self, inputs: Any, kernel: Any) -> Any:
        matrix = self._matrix(kernel)
        return keras.ops.matmul(tf.reshape(inputs, [*self._rows(inputs), matrix.shape[0]]), matrix)

    def rescale(self, accumulator: Any, factor: Any) -> Any:
        return QuantizedDense.rescale(self, accumulator, factor)

    def file_kernel(self, kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(int(np.prod(kernel.shape[: self.summed])), -1).T

    def recorded_linear(self, inputs: Any, kernel: np.ndarray) -> Any:
        matrix = kernel.reshape(int(np.prod(kernel.shape[: self.summed])), -1)
        return tf.matmul(tf.reshape(inputs, [-1, matrix.shape[0]]), tf.constant(matrix))


def summed_axes(equation: str) -> int | None:
    """How many last axes of the input are summed with as many first axes of the kernel, in "abcd,cde->abe" 2.

    None where the equation sums others, or orders the outputs otherwise.
    """
    found = re.fullmatch(r"(\w+),(\w+)->(\w+)", equation.replace(" ", "").replace("...", ""))
    if found is None:
        return None
    given, kernel, out = found.groups()
    count = sum(letter not in out for letter in given)
    rest = given[: len(given) - count]
    plain = count > 0 and rest != "" and given[len(rest) :] == kernel[:count] and out == rest + kernel[count:]
    return count if plain else None


@_register
class QuantizedConv1D(QuantizedKernel, keras.layers.Conv1D):
    """Conv1D with a rounded kernel (length, in, out)."""

    kernel_axes = (0, 1)

    def linear(self, inputs: Any, kernel: Any) -> Any:
        if self.padding != "causal":
            return self.convolution_op(inputs, kernel)
        before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
        padded = tf.pad(inputs, [[0, 0], [before, 0], [0, 0]])
        return keras.ops.conv(
            padded, kernel, strides=list(self.strides), padding="valid", dilation_rate=self.dilation_rate
        )

    def recorded_linear(self, inputs: Any, kernel: np.ndarray) -> Any:
        if not _is_dilated(self):
            return super().recorded_linear(inputs, kernel)
        padding = "SAME" if self.padding == "same" else "VALID"
        if self.padding == "causal":
            inputs = tf.pad(inputs, [[0, 0], [self.dilation_rate[0] * (self.kernel_size[0] - 1), 0], [0, 0]])
        outputs = tf.nn.conv2d(inputs[:, None], kernel[None], 1, padding, dilations=(1, self.dilation_rate[0]))
        return tf.squeeze(outputs, 1)

    def file_kernel(self, kernel: np.ndarray) -> np.ndarray:
        return np.moveaxis(kernel, -1, 0)[:, None]


@_register
class QuantizedConv2D(QuantizedKernel, keras.layers.Conv2D):
    """Conv2D with a rounded kernel (height, width, in, out)."""

    def recorded_linear(self, inputs: Any, kernel: np.ndarray) -> Any:
        if not _is_dilated(self):
            return super().recorded_linear(inputs, kernel)
        return tf.nn.conv2d(inputs, kernel, 1, self.padding.upper(), dilations=self.dilation_rate)


@_register
class QuantizedDepthwiseConv1D(QuantizedKernel, keras.layers.DepthwiseConv1D):
    """DepthwiseConv1D with a rounded kernel (length, in, multiplier)."""

    kernel_axes = (0,)
    file_axis = 3

    def linear(self, inputs: Any, kernel: Any) -> Any:
        return _depthwise(self, inputs, kernel)

    def recorded_linear(self, inputs: Any, kernel: np.ndarray) -> Any:
        if not _is_dilated(self):
            return super().recorded_linear(inputs, kernel)
        rate = self.dilation_rate[0]
        return tf.squeeze(_dilated_depthwise(inputs[:, None], kernel[None], self.padding, (rate, rate)), 1)

    def file_kernel(self, kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(1, 1, kernel.shape[0], -1)


@_register
class QuantizedDepthwiseConv2D(QuantizedKernel, keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D with a rounded kernel (height, width, in, multiplier)."""

    kernel_axes = (0, 1)
    file_axis = 3

    def linear(self, inputs: Any, kernel: Any) -> Any:
        return _depthwise(self, inputs, kernel)

    def recorded_linear(self, inputs: Any, kernel: np.ndarray) -> Any:
        if not _is_dilated(self):
            return super().recorded_linear(inputs, kernel)
        return _dilated_depthwise(inputs, kernel, self.padding, self.dilation_rate)

    def file_kernel(self, kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(1, *kernel.shape[:2], -1)


@_register
class QuantizedConv2DTranspose(QuantizedKernel, keras.layers.Conv2DTranspose):
    """Conv2DTranspose with a rounded kernel (height, width, out, in)."""

    kernel_axes = (0, 1, 3)

    def linear(self, inputs: Any, kernel: Any) -> Any:
        return keras.ops.conv_transpose(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
        )

    def file_kernel(self, kernel: np.ndarray) -> np.ndarray:
        return np.moveaxis(kernel, 2, 0)


@_register
class QuantizedScale(QuantizedKernel, keras.layers.Layer):
    """y = x * factor + offset per channel of the last axis, a depthwise convolution of one value in the file.

    Stands for BatchNormalization that no kernel takes up (`norm`, factor 1 and offset 0), Rescaling, Normalization.
    """

    kernel_axes = ()
    file_axis = 3

    def build(self, inputs_shape: Any, grid_shape: Any = None) -> None:
        channels = int(inputs_shape[-1])
        self.kernel = self.add_weight(name="factor", shape=(channels,), initializer="ones", trainable=False)
        self.bias = self.add_weight(name="offset", shape=(channels,), initializer="zeros", trainable=False)
        QuantizedKernel.build(self, inputs_shape, grid_shape)

    def linear(self, inputs: Any, kernel: Any) -> Any:
        return inputs * kernel

    def file_kernel(self, kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(1, 1, 1, -1)

    def recorded_linear(self, inputs: Any, kernel: np.ndarray) -> Any:
        channels = kernel.shape[0]
        images = tf.reshape(inputs, [1, 1, -1, channels]) if len(inputs.shape) != 4 else inputs
        return tf.nn.depthwise_conv2d(images, kernel.reshape(1, 1, channels, 1), (1, 1, 1, 1), "VALID")

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape


def _is_dilated(layer: Any) -> bool:
    """Whether the converter is to see the dilation in the operator. TensorFlow's own functions write a rearrangement, a
    plain convolution and the way back, which it puts together unless two convolutions share the rearrangement."""
    return max(layer.dilation_rate) > 1


def _depthwise(layer: Any, inputs: Any, kernel: Any) -> Any:
    return keras.ops.depthwise_conv(
        inputs, kernel, strides=layer.strides, padding=layer.padding, dilation_rate=layer.dilation_rate
    )


def _dilated_depthwise(images: Any, kernel: np.ndarray, padding: str, rate: Sequence[int]) -> Any:
    return tf.raw_ops.DepthwiseConv2dNative(
        input=images, filter=kernel, strides=[1, 1, 1, 1], padding=padding.upper(), dilations=[1, *rate, 1]
    )
