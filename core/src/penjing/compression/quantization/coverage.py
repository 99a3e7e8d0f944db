"""Which layers have a form with simulated quantization, what that form is, and how weights get into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.quantization import kernel_layers
from penjing.errors import ModelError

layers = keras.layers

KERNELS = {
    layers.Dense: kernel_layers.QuantizedDense,
    layers.Conv1D: kernel_layers.QuantizedConv1D,
    layers.Conv2D: kernel_layers.QuantizedConv2D,
    layers.DepthwiseConv1D: kernel_layers.QuantizedDepthwiseConv1D,
    layers.DepthwiseConv2D: kernel_layers.QuantizedDepthwiseConv2D,
    layers.Conv2DTranspose: kernel_layers.QuantizedConv2DTranspose,
}

_KINDS: dict[str, tuple[type, ...]] = {
    "kernel": tuple(KERNELS),
    "separable": (layers.SeparableConv1D, layers.SeparableConv2D),
    "scale": (layers.BatchNormalization, layers.Rescaling, layers.Normalization),
    "identity": (
        layers.Dropout,
        layers.SpatialDropout1D,
        layers.SpatialDropout2D,
        layers.GaussianNoise,
        layers.GaussianDropout,
        layers.ActivityRegularization,
        layers.Identity,
    ),
    "keep": (
        layers.Flatten,
        layers.Reshape,
        layers.Permute,
        layers.RepeatVector,
        layers.ZeroPadding1D,
        layers.ZeroPadding2D,
        layers.Cropping1D,
        layers.Cropping2D,
        layers.MaxPooling1D,
        layers.MaxPooling2D,
        layers.GlobalMaxPooling1D,
        layers.GlobalMaxPooling2D,
        layers.UpSampling1D,
        layers.UpSampling2D,
    ),
    "average": (layers.AveragePooling1D, layers.AveragePooling2D),
    "mean": (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
    "activation": (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax),
    "arithmetic": (layers.Add, layers.Subtract, layers.Multiply, layers.Average),
    "join": (layers.Concatenate, layers.Maximum, layers.Minimum),
    "real": (layers.LayerNormalization, layers.PReLU, layers.UnitNormalization),
}

# Operations of keras.ops in a functional graph (x + 3.0, keras.ops.relu(x)), by the name of their class.
_OPERATIONS = {
    "Add": "arithmetic",
    "Subtract": "arithmetic",
    "Multiply": "arithmetic",
    "TrueDivide": "arithmetic",
    "Divide": "arithmetic",
    "Relu": "activation",
    "Relu6": "activation",
    "Sigmoid": "activation",
    "Tanh": "activation",
    "Softmax": "activation",
    "Silu": "activation",
    "Gelu": "activation",
    "HardSigmoid": "activation",
    "HardSilu": "activation",
    "Elu": "activation",
    "Maximum": "join",
    "Minimum": "join",
    "Concatenate": "join",
    "Reshape": "keep",
    "Transpose": "keep",
    "Squeeze": "keep",
    "ExpandDims": "keep",
}
_SNAKE = {"HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu"}


def kind_of(operation: Any) -> str | None:
    """How an operation of the graph is treated; None where it is not known.

    Raises:
        ModelError: The kind is known, but not with these arguments; names the layer.
    """
    if not isinstance(operation, keras.layers.Layer):
        return _OPERATIONS.get(type(operation).__name__)
    for kind, types in _KINDS.items():
        if type(operation) in types:
            return kind if _has_form(operation) else None
    return None


def _has_form(layer: Any) -> bool:
    """Whether the arguments of a layer of a known kind allow its integer form."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return False
    if isinstance(layer, layers.UpSampling2D):
        return bool(layer.interpolation == "nearest")
    if isinstance(layer, layers.ReLU):
        return not layer.threshold and (
            layer.max_value in (None, 6) if not layer.negative_slope else not layer.max_value
        )
    if isinstance(layer, layers.BatchNormalization):
        axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
        return axis in (-1, len(getattr(layer, "_build_shapes_dict", {}).get("input_shape", ())) - 1)
    return True


# ------------------------------------------------------------------------------------------------------ activations


def activation_of(layer: Any) -> str:
    """The name of a layer's own activation: "linear", "relu", "silu" and so on."""
    function = getattr(layer, "activation", None)
    return "linear" if function is None else str(getattr(function, "__name__", function))


def activation_and_options(operation: Any) -> tuple[str, dict[str, Any]]:
    """An activation's name and keyword arguments."""
    if isinstance(operation, layers.ReLU):
        if operation.negative_slope:
            return "leaky_relu", {"negative_slope": float(operation.negative_slope)}
        return ("relu6" if operation.max_value == 6 else "relu"), {}
    if isinstance(operation, layers.LeakyReLU):
        return "leaky_relu", {"negative_slope": float(operation.negative_slope)}
    if isinstance(operation, layers.ELU):
        return "elu", {"alpha": float(operation.alpha)}
    if isinstance(operation, layers.Softmax):
        return "softmax", {"axis": operation.axis}
    if isinstance(operation, layers.Activation):
        name = activation_of(operation)
        return name, {"negative_slope": 0.2} if name == "leaky_relu" else {}
    name = type(operation).__name__
    options = {}
    if name == "Gelu":
        options = {"approximate": bool(operation.approximate)}
    if name == "Softmax":
        options = {"axis": operation.axis}
    return _SNAKE.get(name, name.lower()), options


# ------------------------------------------------------------------------------------------------ sums and the like


@dataclass(frozen=True, kw_only=True)
class Step:
    """An arithmetic operation of a node."""

    operation: str
    constant: Any = None
    """The second operand, where it is a constant."""
    factor: float | None = None
    """What the result is multiplied with (a mean of tensors)."""


def arithmetic_of(node: Any) -> Step:
    """What a node of kind "arithmetic" computes.

    Raises:
        ModelError: A constant is divided by a tensor, or subtracted from.
    """
    operation = node.operation
    if isinstance(operation, layers.Average):
        return Step(operation="add", factor=1.0 / len(node.input_tensors))
    name = type(operation).__name__.lower()
    if len(node.input_tensors) > 1 and name in ("add", "subtract", "multiply"):
        return Step(operation=name)
    arguments = list(node.arguments.args) + list(node.arguments.kwargs.values())
    constants = [value for value in arguments if not isinstance(value, keras.KerasTensor)]
    first_is_constant = arguments and not isinstance(arguments[0], keras.KerasTensor)
    if len(constants) == 1 and len(node.input_tensors) == 1:
        value = np.asarray(constants[0], np.float32)
        if name in ("add", "multiply"):
            return Step(operation=name, constant=value.tolist())
        if name == "subtract" and not first_is_constant:
            return Step(operation="add", constant=(-value).tolist())
        if name in ("truedivide", "divide") and not first_is_constant:
            return Step(operation="multiply", constant=(1.0 / value).tolist())
    raise ModelError(
        f"the operation '{name}' has no form with simulated quantization",
        where=f"operation '{operation.name}'",
        why="only sums, differences and products of tensors, and of a tensor and a constant, are known",
        hint=f'leave it in float32: exclude = ["{operation.name}"]',
    )


def join_of(node: Any) -> tuple[str, int]:
    """What a node of kind "join" computes, and along which axis (of the tensor with the batch)."""
    axis = getattr(node.operation, "axis", -1)
    rank = len(node.input_tensors[0].shape)
    return type(node.operation).__name__.lower(), int(axis) % rank


# -------------------------------------------------------------------------------------------------- layers, weights


def copy_of(operation: Any, made: dict[int, Any]) -> Any:
    """A layer with the same configuration, once for each; operations without state are used again."""
    if not isinstance(operation, keras.layers.Layer):
        return operation
    if id(operation) not in made:
        made[id(operation)] = (
            keras.models.clone_model(operation)
            if isinstance(operation, keras.Model)
            else type(operation).from_config(operation.get_config())
        )
    return made[id(operation)]


def copy_weights(old: Any, new: Any) -> None:
    """The old layer's weights."""
    if old is not new and isinstance(old, keras.layers.Layer) and old.weights:
        new.set_weights(old.get_weights())


def folds(operation: Any, tensor: Any) -> bool:
    """Whether an operation is a BatchNormalization of a tensor's last axis."""
    if type(operation) is not layers.BatchNormalization:
        return False
    axis = operation.axis if isinstance(operation.axis, int) else operation.axis[0]
    return axis % len(tensor.shape) == len(tensor.shape) - 1


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


def quantized_kernel(layer: Any, norm: Any, quantization: Mapping[str, Any]) -> Any:
    """The layer's quantized counterpart, of the same name, without its activation."""
    config = {**layer.get_config(), "activation": None}
    return KERNELS[type(layer)](**config, quantization=dict(quantization))


def scale_layer(layer: Any, norm: Any, quantization: Mapping[str, Any]) -> Any:
    """The per-channel factor that a BatchNormalization, Rescaling or Normalization is."""
    return kernel_layers.QuantizedScale(name=layer.name, trainable=layer.trainable, quantization=dict(quantization))


def fill_kernel(new: Any, layer: Any, norm: Any) -> None:
    """Copy kernel, bias and BatchNormalization."""
    new.kernel.assign(layer.kernel)
    if layer.use_bias:
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
