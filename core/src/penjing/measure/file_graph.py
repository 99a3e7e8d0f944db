"""A .tflite file as plain data: operators, tensors, weights. The flatbuffer is read, nothing is run."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from penjing.errors import ModelError

_DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "INT32": "int32",
    "UINT8": "uint8",
    "INT64": "int64",
    "INT8": "int8",
    "INT16": "int16",
    "BOOL": "bool",
    "FLOAT64": "float64",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "UINT16": "uint16",
}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor of the file."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    """numpy's name, or the file's own for types that numpy lacks ("int4")."""
    data: bytes
    """Content of a constant; empty for an activation."""
    scales: tuple[float, ...]
    """One per channel, or one, or none."""
    zero_points: tuple[int, ...]

    @property
    def is_constant(self) -> bool:
        return bool(self.data)

    @property
    def zero_point(self) -> int:
        return self.zero_points[0] if self.zero_points else 0

    @property
    def values(self) -> np.ndarray:
        """The constant as an array of its shape; int4 unpacked to int8.

        Raises:
            ModelError: The file gives it another number of bytes than its shape has.
        """
        try:
            return self._values()
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"tensor {self.index} cannot be read",
                why=f"{len(self.data):,} bytes for shape {self.shape} of {self.dtype}",
                hint="the file is damaged, or holds its weights in a packed form",
            ) from error

    def _values(self) -> np.ndarray:
        if min(self.shape, default=0) < 0:  # numpy would take it for "whatever is left"
            raise ValueError("a size is negative")
        if self.dtype == "int4":
            packed = np.frombuffer(self.data, np.uint8)
            nibbles = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1).astype(np.int8)
            nibbles = np.where(nibbles > 7, nibbles - 16, nibbles).astype(np.int8)
            return nibbles[: int(np.prod(self.shape))].reshape(self.shape)
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator of the file, in execution order."""

    name: str
    """As the format spells it: CONV_2D, FULLY_CONNECTED; a custom operator by its own name."""
    inputs: tuple[int, ...]
    """Tensor numbers; -1 for an optional input that is left out."""
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Subgraph:
    """One graph of the file; the first is the network."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FileGraph:
    """All that a .tflite file says about its network."""

    subgraphs: tuple[Subgraph, ...]
    content: bytes

    @classmethod
    def from_bytes(cls, content: bytes) -> FileGraph:
        """Read a file.

        Raises:
            ModelError: The bytes are no .tflite file or are damaged.
        """
        if len(content) < 16 or content[4:8] != b"TFL3":
            raise ModelError("this is no .tflite file", why="the identifier TFL3 is missing at byte 4 of the file")
        from ai_edge_litert import schema_py_generated as schema

        try:
            model = schema.ModelT.InitFromPackedBuf(content, 0)
            buffers = [_content(buffer) for buffer in model.buffers]
            subgraphs = tuple(_subgraph(graph, model, buffers, schema) for graph in model.subgraphs)
            if not subgraphs:
                raise ValueError("it holds no graph")
            if sum(map(len, buffers)) > len(content):
                raise ValueError("its weights lie one upon the other")
        # Damaged offsets make the reader fail in any of these ways.
        except (
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            AttributeError,
            OverflowError,
            MemoryError,
            UnicodeDecodeError,
            RecursionError,
            AssertionError,
        ) as error:
            raise _damaged(error) from error
        except Exception as error:
            # struct.error and the flatbuffers package's own errors have no common base.
            if type(error).__module__ in ("struct", "flatbuffers.encode", "flatbuffers.number_types"):
                raise _damaged(error) from error
            raise
        return cls(subgraphs=subgraphs, content=content)

    @property
    def main(self) -> Subgraph:
        return self.subgraphs[0]

    def constants(self) -> list[Tensor]:
        """Weights and other constants of all graphs, those that numpy can hold."""
        return [
            tensor
            for graph in self.subgraphs
            for tensor in graph.tensors
            if tensor.is_constant and (tensor.dtype == "int4" or tensor.dtype in _DTYPES.values())
        ]

    @cached_property
    def bytes_by_kind(self) -> dict[str, int]:
        """Where the flash goes: weights, quantization parameters, and the graph's structure. Sums to the file."""
        seen: set[int] = set()
        weights = 0
        for graph in self.subgraphs:
            for tensor in graph.tensors:
                if tensor.is_constant and id(tensor.data) not in seen:
                    seen.add(id(tensor.data))
                    weights += len(tensor.data)
        scales = _quantization_bytes(self.content)
        return {
            "weights": weights,
            "quantization": scales,
            "structure": len(self.content) - weights - scales,
        }

    @property
    def zip_bytes(self) -> int:
        """Size of the file in a zip (deflate, level 9): for downloads, not for flash."""
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        return len(compressor.compress(self.content)) + len(compressor.flush())

    def operator_counts(self) -> dict[str, int]:
        """How often each operator occurs, in order of first occurrence."""
        counts: dict[str, int] = {}
        for graph in self.subgraphs:
            for operator in graph.operators:
                counts[operator.name] = counts.get(operator.name, 0) + 1
        return counts


def _quantization_bytes(content: bytes) -> int:
    """Bytes of scales and zero points; a vector that several tensors point to counts once."""
    from ai_edge_litert import schema_py_generated as schema

    sizes: dict[int, int] = {}
    model = schema.Model.GetRootAs(content, 0)
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for index in range(graph.TensorsLength()):
            quantization = graph.Tensors(index).Quantization()
            if quantization is None:
                continue
            table = quantization._tab
            for slot, width in ((8, 4), (10, 8)):  # scale, zero_point
                offset = table.Offset(slot)
                if offset:
                    sizes[table.Vector(offset)] = width * table.VectorLen(offset)
    return sum(sizes.values())


def _damaged(error: Exception) -> ModelError:
    return ModelError(
        "the .tflite file is damaged",
        why=f"{type(error).__name__}: {error}",
        hint="write or download it again",
    )


def _content(buffer: Any) -> bytes:
    return b"" if buffer.data is None else bytes(np.asarray(buffer.data, np.uint8))


def _numbers(values: Any, tensors: int) -> tuple[int, ...]:
    """Tensor numbers, which must exist; -1 is an input that is left out."""
    numbers = tuple(int(number) for number in _sequence(values))
    if any(not -1 <= number < tensors for number in numbers):
        raise ValueError(f"it speaks of tensors {numbers}, and has {tensors}")
    return numbers


def _subgraph(graph: Any, model: Any, buffers: list[bytes], schema: Any) -> Subgraph:
    types = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
    tensors = []
    for index, tensor in enumerate(graph.tensors):
        quantization = tensor.quantization
        kind = types[tensor.type]
        tensors.append(
            Tensor(
                index=index,
                shape=tuple(int(size) for size in _sequence(tensor.shape)),
                dtype=_DTYPES.get(kind, kind.lower()),
                data=buffers[tensor.buffer],
                scales=tuple(float(s) for s in _sequence(quantization and quantization.scale)),
                zero_points=tuple(int(z) for z in _sequence(quantization and quantization.zeroPoint)),
            )
        )
    operators = []
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    for operator in graph.operators or ():
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        name = names[number]
        if name == "CUSTOM" and code.customCode:
            name = code.customCode.decode() if isinstance(code.customCode, bytes) else code.customCode
        operators.append(
            Operator(
                name=name,
                inputs=_numbers(operator.inputs, len(tensors)),
                outputs=_numbers(operator.outputs, len(tensors)),
                options=_options(operator.builtinOptions),
            )
        )
    return Subgraph(
        tensors=tuple(tensors),
        operators=tuple(operators),
        inputs=_numbers(graph.inputs, len(tensors)),
        outputs=_numbers(graph.outputs, len(tensors)),
    )


def _sequence(values: Any) -> Any:
    return () if values is None else values


def _options(options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    return {name: value for name, value in vars(options).items() if isinstance(value, (int, float, bool, str))}
