"""The counterparts of layers that simulate quantization, and how weights get into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from penjing.compression.quantization import kernel_layers
from penjing.compression.structure.copying import layer_again
from penjing.errors import ModelError

layers = keras.layers

KERNELS = {
    layers.Dense: kernel_layers.QuantizedDense,
    layers.EinsumDense: kernel_layers.QuantizedEinsumDense,
    layers.Conv1D: kernel_layers.QuantizedConv1D,
    layers.Conv2D: kernel_layers.QuantizedConv2D,
    layers.DepthwiseConv1D: kernel_layers.QuantizedDepthwiseConv1D,
    layers.DepthwiseConv2D: kernel_layers.QuantizedDepthwiseConv2D,
    layers.Conv2DTranspose: kernel_layers.QuantizedConv2DTranspose,
}


def copy_of(operation: Any, made: dict[int, Any]) -> Any:
    """A layer with the same configuration, once for each; operations without state are used again."""
    if not isinstance(operation, keras.layers.Layer):
        return operation
    if id(operation) not in made:
        made[id(operation)] = (
            keras.models.clone_model(operation) if isinstance(operation, keras.Model) else layer_again(operation)
        )
    return made[id(operation)]


def copy_weights(old: Any, new: Any) -> None:
    """The old layer's weights."""
    if old is not new and isinstance(old, keras.layers.Layer) and old.weights:
        new.set_weights(old.get_weights())


def norm_config(norm: Any) -> dict[str, Any] | None:
    """What a folded BatchNormalization is, in JSON values."""
    if norm is None:
        return None
    return {
        "epsilon": float(norm.epsilon),
        "momentum": float(norm.momentum),
        "scale": bool(norm.scale),
        "center": bool(norm.center),
    }


def quantized_kernel(layer: Any, norm: Any, quantization: Mapping[str, Any], name: str | None = None) -> Any:
    """The layer's quantized counterpart, of the same name if no other is given, without its activation."""
    config = {**layer.get_config(), "activation": None, "name": name or layer.name}
    return KERNELS[type(layer)](**config, quantization=dict(quantization))


def scale_layer(layer: Any, norm: Any, quantization: Mapping[str, Any]) -> Any:
    """The per-channel factor that a BatchNormalization, Rescaling or Normalization is."""
    return kernel_layers.QuantizedScale(name=layer.name, trainable=layer.trainable, quantization=dict(quantization))


def fill_kernel(new: Any, layer: Any, norm: Any) -> None:
    """Copy kernel, bias and BatchNormalization."""
    new.kernel.assign(layer.kernel)
    if getattr(layer, "bias", None) is not None:
        new.bias.assign(layer.bias)
    fill_norm(new, norm)


def fill_norm(new: Any, norm: Any) -> None:
    """Copy the variables of a BatchNormalization."""
    if norm is None:
        return
    if norm.scale:
        new.gamma.assign(norm.gamma)
    if norm.center:
        new.beta.assign(norm.beta)
    new.moving_mean.assign(norm.moving_mean)
    new.moving_variance.assign(norm.moving_variance)


def fill_scale(new: Any, layer: Any) -> None:
    """Copy factor and offset.

    Raises:
        ModelError: They differ along another axis than the last.
    """
    if isinstance(layer, layers.BatchNormalization):
        return fill_norm(new, layer)
    if isinstance(layer, layers.Rescaling):
        factor, offset = np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
    else:
        mean, deviation = np.asarray(layer.mean), np.maximum(np.sqrt(np.asarray(layer.variance)), 1e-7)
        factor, offset = 1.0 / deviation, -mean / deviation
        if layer.invert:
            factor, offset = deviation, mean
    channels = new.kernel.shape
    for name, values, variable in (("factor", factor, new.kernel), ("offset", offset, new.bias)):
        if values.size not in (1, channels[0]) or (values.ndim > 1 and values.shape[-1] != values.size):
            raise ModelError(
                f"the {name} of {type(layer).__name__} has shape {values.shape}",
                where=f"layer '{layer.name}'",
                why="simulated quantization knows one value, or one per channel of the last axis",
                hint=f'leave it in float32: exclude = ["{layer.name}"]',
            )
        variable.assign(np.broadcast_to(values.reshape(-1), channels).astype(np.float32))
    return None


def split_separable(layer: Any) -> tuple[Any, Any]:
    """A SeparableConv as a depthwise and a pointwise convolution, built, with its weights."""
    one = isinstance(layer, layers.SeparableConv1D)
    rank = 1 if one else 2
    depthwise = (layers.DepthwiseConv1D if one else layers.DepthwiseConv2D)(
        layer.kernel_size if rank == 2 else layer.kernel_size[0],
        strides=layer.strides if rank == 2 else layer.strides[0],
        padding=layer.padding,
        depth_multiplier=layer.depth_multiplier,
        dilation_rate=layer.dilation_rate if rank == 2 else layer.dilation_rate[0],
        use_bias=False,
        name=f"{layer.name}_depthwise",
    )
    pointwise = (layers.Conv1D if one else layers.Conv2D)(
        layer.filters, 1, use_bias=layer.use_bias, name=f"{layer.name}_pointwise"
    )
    channels = int(layer.depthwise_kernel.shape[rank])
    depthwise.build((None,) * (rank + 1) + (channels,))
    pointwise.build((None,) * (rank + 1) + (channels * layer.depth_multiplier,))
    depthwise.kernel.assign(layer.depthwise_kernel)
    pointwise.kernel.assign(layer.pointwise_kernel)
    if layer.use_bias:
        pointwise.bias.assign(layer.bias)
    return depthwise, pointwise
