"""Multiply-accumulates of one inference, counted from the file's own graph.

A MAC is one multiplication with its addition. Counted are the operators whose work is MACs: convolutions of all kinds,
fully connected, batch matrix products, recurrent cells. Element-wise work is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from penjing.errors import ModelError
from penjing.measure.file_graph import FileGraph, Operator, Subgraph


@dataclass(frozen=True, kw_only=True)
class MacCount:
    """MACs of one inference with batch 1."""

    total: int
    by_operator: tuple[tuple[str, int], ...]
    """(operator, MACs) in execution order, operators without MACs left out."""
    is_complete: bool
    """False where the file holds a loop: it does not say how often, so its body is counted once."""


def count_macs(graph: FileGraph) -> MacCount:
    """Count the MACs of a file. Bodies of control flow are counted once: a file does not say how often they run.

    Raises:
        ModelError: An operator lacks an input, or one has fewer dimensions than the format asks for.
    """
    counts = []
    for subgraph in graph.subgraphs:
        for number, operator in enumerate(subgraph.operators):
            try:
                counts.append((operator.name, _macs(operator, subgraph)))
            except IndexError as error:
                raise ModelError(
                    "the .tflite file is damaged",
                    where=f"operator {number}, {operator.name}",
                    why="its inputs are not those that the format asks for",
                    hint="write or download it again",
                ) from error
    counted = tuple((name, macs) for name, macs in counts if macs)
    loops = any(operator.name == "WHILE" for subgraph in graph.subgraphs for operator in subgraph.operators)
    return MacCount(total=sum(macs for _, macs in counted), by_operator=counted, is_complete=not loops)


def _macs(operator: Operator, graph: Subgraph) -> int:
    def shape(position: int) -> tuple[int, ...]:
        number = operator.inputs[position]
        return graph.tensors[number].shape if number >= 0 else ()

    output = graph.tensors[operator.outputs[0]].shape if operator.outputs else ()
    if operator.name == "CONV_2D":
        # Filter [out, h, w, in / groups]: every output value takes h * w * in / groups products.
        return prod(output) * prod(shape(1)[1:])
    if operator.name == "DEPTHWISE_CONV_2D":
        # Filter [1, h, w, channels].
        return prod(output) * prod(shape(1)[1:3])
    if operator.name == "TRANSPOSE_CONV":
        # Filter [out, h, w, in]; input 2 is the data: every value of it is spread over h * w * out.
        return prod(shape(2)) * prod(shape(1)[:3])
    if operator.name == "CONV_3D":
        # Filter [d, h, w, in, out].
        return prod(output) * prod(shape(1)[:4])
    if operator.name == "FULLY_CONNECTED":
        # Weights [out, in].
        return prod(output) * shape(1)[-1]
    if operator.name == "BATCH_MATMUL":
        inner = shape(0)[-2] if operator.options.get("adjX") else shape(0)[-1]
        return prod(output) * inner
    if operator.name in ("UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM"):
        return _steps(operator, shape(0)) * sum(prod(shape(position)) for position in range(1, 9) if shape(position))
    if operator.name in ("UNIDIRECTIONAL_SEQUENCE_RNN", "RNN"):
        return _steps(operator, shape(0)) * (prod(shape(1)) + prod(shape(2)))
    return 0


def _steps(operator: Operator, data: tuple[int, ...]) -> int:
    """Time steps times batch of a recurrent operator's input [batch, time, features] or [time, batch, features]."""
    return prod(data[:-1]) if len(data) == 3 else data[0]
