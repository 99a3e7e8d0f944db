"""Layers with a kernel that simulate quantized weights, BatchNormalization folded into them.

With factor = gamma / sqrt(variance + epsilon), the folded kernel is kernel x factor, the folded bias
beta + (bias - mean) x factor; what is rounded is the folded kernel, as in the file. While batch statistics are used the
convolution still runs once: z, the output of the rounded folded kernel, has the batch's mean and variance up to that
factor, and

    y = (z - mean(z)) * sqrt(variance + epsilon) / sqrt(batch variance + epsilon) + beta

is BatchNormalization of the rounded convolution. Source: Jacob et al. 2018, section 3.2; Krishnamoorthi 2018,
"Quantizing deep convolutional networks for efficient inference", section 3.2.2, for correcting by the moving variance
and freezing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic, fake_quant
from penjing.compression.quantization.ranges import Range, is_calibrating
from penjing.export import recording
from penjing.export.recording import IntegerWeights

ACTIVATIONS = {"linear": lambda x: x, "relu": tf.nn.relu, "relu6": tf.nn.relu6}
"""What an operator does to its output before it is rounded."""


class QuantizedKernel:
    """What all layers with a rounded kernel share. A mix-in before a Keras layer, or a layer of its own.

    Args:
        quantization: JSON values: `weight_bits` (8 or 4), `learned` (steps of weights are learned), `fused` (the
            activation: "linear", "relu", "relu6"), `norm` (None or `epsilon`, `momentum`, `scale`, `center` of the
            BatchNormalization that is folded in), `batch_statistics` (use them until frozen), `range` (arguments of the
            output's `Range`), `matrix` (the key of its kernel among a model's weight matrices, behind the path that the
            layer stands in, where it is not the layer's name).
    """

    kernel_axes: tuple[int, ...] = (0, 1, 2)
    """Axes of the kernel that belong to one output channel."""
    file_axis = 0
    """The axis of the output channels in the file."""

    def __init__(self, *args: Any, quantization: Mapping[str, Any], **options: Any) -> None:
        super().__init__(*args, **options)
        self.quantization = dict(quantization)
        self.weight_bits: int = self.quantization["weight_bits"]
        self.norm: dict[str, Any] | None = self.quantization["norm"]
        self.fused: str = self.quantization["fused"]
        self.output_range = Range(**self.quantization["range"], name="range")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "quantization": self.quantization}  # type: ignore[misc]

    def build(self: Any, inputs_shape: Any, grid_shape: Any = None) -> None:
        super().build(inputs_shape)  # type: ignore[misc]
        channels = int(np.prod([s for a, s in enumerate(self.kernel.shape) if a not in self.kernel_axes]))
        if self.norm is not None:
            if self.norm["scale"]:
                self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
            if self.norm["center"]:
                self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")
            self.moving_mean = self.add_weight(name="moving_mean", shape=(channels,), trainable=False)
            self.moving_variance = self.add_weight(name="moving_variance", shape=(channels,), trainable=False)
            self.frozen = self.add_weight(name="frozen", shape=(), initializer="zeros", trainable=False)
        if self.quantization["learned"]:
            self.log_steps = self.add_weight(name="log_steps", shape=(channels,), initializer="zeros")
        self.output_range.build()
        self.built = True

    # Keras' own kernels save nothing but kernel and bias.
    def save_own_variables(self: Any, store: Any) -> None:
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self: Any, store: Any) -> None:
        keras.layers.Layer.load_own_variables(self, store)

    # ------------------------------------------------------------------------------ what each kind of layer says

    def linear(self: Any, inputs: Any, kernel: Any) -> Any:
        """The layer's product of inputs and kernel, without bias."""
        return self.convolution_op(inputs, kernel)

    def file_kernel(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel in the file's order of axes."""
        return np.moveaxis(kernel, -1, 0)

    # --------------------------------------------------------------------------------------------------- folding

    def _along(self: Any, vector: Any) -> Any:
        """A value per output channel, shaped to be multiplied with the kernel."""
        shape = [1 if axis in self.kernel_axes else int(size) for axis, size in enumerate(self.kernel.shape)]
        return tf.reshape(vector, shape)

    def _factor(self: Any) -> Any:
        gamma = self.gamma.value if self.norm["scale"] else 1.0
        return gamma * tf.math.rsqrt(self.moving_variance.value + self.norm["epsilon"])

    def folded_kernel(self: Any) -> Any:
        """The kernel with BatchNormalization's factor in it, float32 of the kernel's shape."""
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel if self.norm is None else kernel * self._along(self._factor())

    def folded_bias(self: Any) -> Any:
        """The bias with BatchNormalization's offset in it, float32 of shape (channels,); None where there is none."""
        bias = self.bias.value if self.bias is not None else None
        if self.norm is None:
            return bias
        beta = self.beta.value if self.norm["center"] else 0.0
        return beta + ((bias if bias is not None else 0.0) - self.moving_mean.value) * self._factor()

    def shift_output(self: Any, steps: int) -> None:
        """Move every output by whole steps of its grid: bias and range together, so that each is rounded as before.

        Raises:
            ValueError: The layer has no bias, or its range is fixed by the operator.
        """
        if self.bias is None:
            raise ValueError("the layer has no bias")
        moved = float(self.output_range.grid()[0]) * steps
        self.output_range.shift(steps)
        self.bias.assign_add([moved] * int(self.bias.shape[0]))

    # -------------------------------------------------------------------------------------------------- rounding

    def start_steps(self: Any) -> None:
        """Let learned steps start where the squared error of the weights is least."""
        if self.quantization["learned"]:
            steps = fake_quant.best_steps(self.folded_kernel(), self.kernel_axes, self.weight_bits)
            self.log_steps.assign(tf.math.log(tf.reshape(steps, [-1])))

    def _steps(self: Any, kernel: Any) -> Any:
        if self.quantization["learned"]:
            return self._along(tf.exp(self.log_steps.value))
        return fake_quant.largest_steps(kernel, self.kernel_axes, self.weight_bits)

    def _simulated(self: Any, kernel: Any) -> Any:
        if self.quantization["learned"]:
            limit = float(fake_quant.weight_limit(self.weight_bits))
            log_steps = self._along(self.log_steps.value)
            return fake_quant.learned_step(kernel, log_steps, -limit, limit, self.kernel_axes)
        return fake_quant.straight_through(kernel, tf.stop_gradient(self._steps(kernel)), self.weight_bits)

    def integers(self: Any, scale: Any) -> tuple[Any, Any, Any]:
        """What the file holds: integer weights (float32, kernel's shape), steps (channels,), bias (channels,) or None.

        Args:
            scale: The input's scale; steps are kept so large that a bias fits into 32 bits.
        """
        kernel, bias = self.folded_kernel(), self.folded_bias()
        steps = self._steps(kernel)
        if bias is not None:
            steps = tf.maximum(steps, self._along(tf.abs(bias) / (scale * np.float32(2.0**30))))
        return fake_quant.round_weights(kernel, steps, self.weight_bits), tf.reshape(steps, [-1]), bias

    # ------------------------------------------------------------------------------------------------------ calls

    def call(self: Any, inputs: Any, grid: Any, training: bool | None = None) -> tuple[Any, Any]:
        """The output on its grid, and the grid: float32 of shape (n, ...) and (2,)."""
        if recording.current() is not None:
            return self._recorded(inputs, grid)
        if is_calibrating():
            outputs = ACTIVATIONS[self.fused](self._with_bias(self.linear(inputs, self.folded_kernel())))
            self.output_range.observe(outputs)
            return outputs, self.output_range.grid()
        if not training:
            return self._exact(inputs, grid)
        product = self.linear(inputs, self._simulated(self.folded_kernel()))
        if self.norm is not None and self.quantization["batch_statistics"]:
            product = tf.cond(
                self.frozen.value < 0.5, lambda: self._normalised(product), lambda: self._with_bias(product)
            )
        else:
            product = self._with_bias(product)
        outputs = ACTIVATIONS[self.fused](product)
        return self.output_range.simulate(outputs, True), self.output_range.grid()

    def _with_bias(self, product: Any) -> Any:
        bias = self.folded_bias()
        return product if bias is None else tf.add(product, bias)

    def _normalised(self: Any, product: Any) -> Any:
        """BatchNormalization of the product with the batch's own statistics; updates the moving ones."""
        mean, variance = tf.nn.moments(product, list(range(len(product.shape) - 1)))
        factor = self._factor()
        known = tf.abs(factor) > 1e-12  # a channel of gamma 0 says nothing about its statistics
        inverse = tf.where(known, 1.0 / tf.where(known, factor, 1.0), 0.0)
        batch_variance = tf.where(known, variance * tf.square(inverse), self.moving_variance.value)
        bias = self.bias.value if self.bias is not None else 0.0
        batch_mean = tf.where(known, mean * inverse + bias, self.moving_mean.value)
        epsilon, share = self.norm["epsilon"], 1.0 - self.norm["momentum"]
        correction = tf.sqrt((self.moving_variance.value + epsilon) / (batch_variance + epsilon))
        correction = tf.identity(correction)
        beta = self.beta.value if self.norm["center"] else 0.0
        outputs = product * correction + (beta - mean * correction)
        with tf.control_dependencies([outputs]):
            self.moving_mean.assign_add(share * tf.stop_gradient(batch_mean - self.moving_mean.value))
            self.moving_variance.assign_add(share * tf.stop_gradient(batch_variance - self.moving_variance.value))
        return outputs

    def _exact(self: Any, inputs: Any, grid: Any) -> tuple[Any, Any]:
        """The integer arithmetic of the reference kernels."""
        weights, steps, bias = self.integers(grid[0])
        wide = self.output_range.bits == 16
        accumulator = self._accumulate(tf.round(inputs / grid[0]), weights, wide)
        step = arithmetic.double(grid[0]) * arithmetic.double(steps)
        if bias is not None:
            accumulator += tf.cast(tf.round(arithmetic.double(bias) / step), tf.int64)
        own = self.output_range.grid()
        factor = step / arithmetic.double(own[0])
        clamped = arithmetic.clamp(self.rescale(accumulator, factor), own, self.output_range.bits, self.fused)
        return arithmetic.real(clamped, own), own

    def rescale(self, accumulator: Any, factor: Any) -> Any:
        """Accumulators times (input scale x weight scale / output scale), rounded as the kernel does it."""
        if self.output_range.bits == 16:
            return arithmetic.scale_wide_integers(accumulator, factor)
        return arithmetic.scale_integers(accumulator, factor)

    def _accumulate(self: Any, offsets: Any, weights: Any, wide: bool) -> Any:
        """The sum of products, exact: float32 holds integers up to 2^24, float64 up to 2^53."""
        products = int(np.prod([self.kernel.shape[axis] for axis in self.kernel_axes]))
        largest = products * (65535 if wide else 255) * fake_quant.weight_limit(self.weight_bits)
        if largest >= 2**24:
            offsets, weights = tf.cast(offsets, tf.float64), tf.cast(weights, tf.float64)
        return tf.cast(tf.round(self.linear(offsets, weights)), tf.int64)

    def _recorded(self: Any, inputs: Any, grid: Any) -> tuple[Any, Any]:
        """Float operators for the converter, with the weights' integers noted beside."""
        made = recording.current()
        assert made is not None
        scale = np.float32(tf.get_static_value(grid)[0])
        with tf.init_scope():
            weights, steps, bias = self.integers(tf.constant(scale))
            integers = np.asarray(weights).astype(np.int8)
            real = np.asarray(weights * self._along(steps))
            steps = np.asarray(steps)
            bias = None if bias is None else np.asarray(bias)
        made.add(
            IntegerWeights(
                layer=self.name,
                values=np.ascontiguousarray(self.file_kernel(integers)),
                scales=steps,
                axis=self.file_axis,
                bits=self.weight_bits,
            )
        )
        outputs = self.recorded_linear(inputs, real)
        if bias is not None:
            outputs = tf.nn.bias_add(outputs, bias) if len(outputs.shape) > 2 else outputs + bias
        marked, own = self.output_range.mark(ACTIVATIONS[self.fused](outputs))
        shape = self.compute_output_shape(inputs.shape)
        return (tf.reshape(marked, shape) if len(shape) != len(marked.shape) else marked), own

    def recorded_linear(self, inputs: Any, kernel: np.ndarray) -> Any:
        """`linear` as the converter is to see it; the shape may differ, since a reshape follows."""
        return self.linear(inputs, tf.constant(kernel))

    def compute_output_spec(self: Any, inputs: Any, grid: Any, training: bool | None = None) -> Any:
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype="float32"), keras.KerasTensor((2,), dtype="float32")
