"""Weights of few bits, as a .tflite file holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_NUMPY = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
}
_TYPES = {np.dtype(dtype): kind for kind, dtype in _NUMPY.items()}


def constant(model: Any, tensor: Any) -> np.ndarray:
    """A constant's values, of the tensor's shape."""
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return np.frombuffer(data.tobytes(), _NUMPY[tensor.type]).reshape(tensor.shape)


def channel_scales(values: np.ndarray, bits: int, axis: int) -> np.ndarray:
    """One scale a channel: the largest magnitude is the largest step, 127 or 7. Shape (channels,), float32.

    The converter's own grid of weights; the step below -127 (-7) is not used, so that the grid is symmetric.
    """
    others = tuple(index for index in range(values.ndim) if index != axis)
    largest = np.abs(values).max(axis=others)
    scales = largest.astype(np.float32) / np.float32(2 ** (bits - 1) - 1)
    return np.where(scales > 0, scales, np.float32(1.0))


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A constant in integers."""

    values: np.ndarray
    """int8 (also for 4 bits), int16, int32 or int64."""
    scales: np.ndarray
    """One a channel, float32 of shape (channels,)."""
    axis: int = 0
    """Of the channels."""
    bits: int = 8
    """4 where a file holds two values to a byte."""


def quantized_weights(values: np.ndarray, bits: int, axis: int) -> Quantized:
    """Weights rounded to the nearest step of their channel's grid."""
    scales = channel_scales(values, bits, axis)
    shape = [1] * values.ndim
    shape[axis] = -1
    limit = 2 ** (bits - 1) - 1
    steps = np.clip(np.round(values / scales.reshape(shape)), -limit, limit).astype(np.int8)
    return Quantized(values=steps, scales=scales, axis=axis, bits=bits)


def packed(values: np.ndarray) -> bytes:
    """Two values a byte, the first in the lower half; the last half is zero where their number is odd."""
    nibbles = (values.reshape(-1).astype(np.int8) & 15).astype(np.uint8)
    if nibbles.size % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    return bytes(nibbles[0::2] | (nibbles[1::2] << 4))


def store(model: Any, graph: Any, quantized: Quantized, like: Any) -> int:
    """Add a quantized constant to a file's object form, with the shape and name of the tensor `like`; returns its
    tensor number."""
    is_int4 = quantized.bits == 4
    content = packed(quantized.values) if is_int4 else np.ascontiguousarray(quantized.values).tobytes()
    tensor = schema.TensorT()
    tensor.shape, tensor.name, tensor.hasRank = like.shape, like.name, like.hasRank
    tensor.type = schema.TensorType.INT4 if is_int4 else _TYPES[quantized.values.dtype]
    tensor.buffer = add_buffer(model, content)
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = quantized.scales.astype(np.float32)
    tensor.quantization.zeroPoint = np.zeros(len(quantized.scales), np.int64)
    tensor.quantization.quantizedDimension = quantized.axis
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_buffer(model: Any, content: bytes) -> int:
    """Add a buffer to a file's object form; returns its number."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def operator_code(model: Any, builtin: int, version: int) -> int:
    """The place of an operator among a file's codes; added where it is not there."""
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == builtin:
            code.version = max(code.version, version)
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
