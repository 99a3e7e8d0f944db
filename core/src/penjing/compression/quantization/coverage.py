"""Which layers and operations have a form with simulated quantization, and of which kind it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.quantization import recurrent
from penjing.compression.quantization.activation_names import activation_of
from penjing.compression.quantization.counterparts import KERNELS
from penjing.compression.quantization.kernel_layers import summed_axes
from penjing.errors import ModelError

layers = keras.layers

_AUGMENTATIONS = (
    layers.RandomBrightness,
    layers.RandomColorDegeneration,
    layers.RandomColorJitter,
    layers.RandomContrast,
    layers.RandomErasing,
    layers.RandomFlip,
    layers.RandomGaussianBlur,
    layers.RandomGrayscale,
    layers.RandomHue,
    layers.RandomInvert,
    layers.RandomPerspective,
    layers.RandomPosterization,
    layers.RandomRotation,
    layers.RandomSaturation,
    layers.RandomSharpness,
    layers.RandomShear,
    layers.RandomTranslation,
    layers.RandomZoom,
)
"""They change images in training alone."""

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
        layers.AlphaDropout,
        *_AUGMENTATIONS,
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
        layers.CenterCrop,
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
    "recurrent": (layers.LSTM, layers.GRU, layers.SimpleRNN),
    "bidirectional": (layers.Bidirectional,),
    "distributed": (layers.TimeDistributed,),
    "attention": (layers.MultiHeadAttention, layers.GroupQueryAttention),
    "embedding": (layers.Embedding,),
    "real": (
        layers.LayerNormalization,
        layers.GroupNormalization,
        layers.RMSNormalization,
        layers.UnitNormalization,
        layers.PReLU,
        layers.Masking,
    ),
}

# Operations of keras.ops in a functional graph (x + 3.0, keras.ops.relu(x)), by the name of their class.
_OPERATIONS = {
    "Add": "arithmetic",
    "Subtract": "arithmetic",
    "Multiply": "arithmetic",
    "TrueDivide": "arithmetic",
    "Divide": "arithmetic",
    "Negative": "arithmetic",
    "Square": "arithmetic",
    "Absolute": "arithmetic",
    "Maximum": "join",
    "Minimum": "join",
    "Concatenate": "join",
    "Reshape": "keep",
    "Transpose": "keep",
    "Squeeze": "keep",
    "ExpandDims": "keep",
    "GetItem": "keep",
    "Split": "keep",
    "Max": "keep",
    "Mean": "mean",
}


def kind_of(operation: Any) -> str | None:
    """How an operation of the graph is treated; None where it is not known.

    Raises:
        ModelError: The kind is known, but not with these arguments; names the layer.
    """
    if not isinstance(operation, keras.layers.Layer):
        return "activation" if activation_of(operation) else _OPERATIONS.get(type(operation).__name__)
    if _is_bilinear(operation):
        return "resize"
    for kind, types in _KINDS.items():
        if type(operation) in types:
            return kind if _has_form(operation) else None
    return None


def _is_bilinear(layer: Any) -> bool:
    """Whether a layer is a bilinear resizing of images to a fixed size."""
    if type(layer) not in (layers.UpSampling2D, layers.Resizing) or layer.interpolation != "bilinear":
        return False
    if layer.data_format != "channels_last" or any(
        getattr(layer, name, False) for name in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias")
    ):
        return False
    return all(None not in node.input_tensors[0].shape[1:3] for node in layer._inbound_nodes)


def _has_form(layer: Any) -> bool:
    """Whether the arguments of a layer of a known kind allow its integer form."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return False
    if isinstance(layer, layers.Bidirectional):
        known = isinstance(layer.forward_layer, _KINDS["recurrent"]) and layer.merge_mode in ("concat", "sum", "mul")
        return known and recurrent.has_form(layer.forward_layer) and recurrent.has_form(layer.backward_layer)
    if isinstance(layer, layers.TimeDistributed):
        return type(layer.layer) is layers.Dense
    if isinstance(layer, _KINDS["recurrent"]):
        return recurrent.has_form(layer)
    if isinstance(layer, layers.EinsumDense):
        return _is_one_product(layer)
    if isinstance(layer, layers.UpSampling2D):
        return bool(layer.interpolation == "nearest")
    if isinstance(layer, layers.CenterCrop):  # it scales images that are smaller
        sizes = [node.input_tensors[0].shape[-3:-1] for node in layer._inbound_nodes]
        return all((height or 0) >= layer.height and (width or 0) >= layer.width for height, width in sizes)
    if isinstance(layer, _KINDS["activation"]):
        return activation_of(layer) is not None
    if isinstance(layer, layers.BatchNormalization):
        axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
        return axis in (-1, len(getattr(layer, "_build_shapes_dict", {}).get("input_shape", ())) - 1)
    return True


def _is_one_product(layer: Any) -> bool:
    """Whether an EinsumDense is a matrix product whose bias is one value per output channel."""
    summed = summed_axes(layer.equation)
    if summed is None:
        return False
    outputs = layer.equation.replace(" ", "").split(",")[1].split("->")[0][summed:]
    return set(layer.bias_axes or "") <= set(outputs)


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
    if name == "negative":
        return Step(operation="multiply", constant=-1.0)
    if name in ("square", "absolute"):
        return Step(operation=name)
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


def folds(operation: Any, tensor: Any) -> bool:
    """Whether an operation is a BatchNormalization of a tensor's last axis."""
    if type(operation) is not layers.BatchNormalization:
        return False
    if isinstance(tensor._keras_history.operation, layers.EinsumDense):
        channels = tensor._keras_history.operation.kernel.shape[summed_axes(tensor._keras_history.operation.equation) :]
        if len(channels) != 1:
            return False  # it has one factor for several channels of the kernel
    axis = operation.axis if isinstance(operation.axis, int) else operation.axis[0]
    return axis % len(tensor.shape) == len(tensor.shape) - 1
