"""Find a model's weight matrices in an exported .tflite file, which has no names and orders axes in its own way.

What the converter was seen to do with them: transposes them (Dense, convolutions), joins axes (the channels of a
depthwise kernel with its multiplier, the heads of EinsumDense), splits them by gates (the recurrent kernel of a GRU
with `reset_after=False`, ConvLSTM). Recurrent kernels of unrolled loops stand in the file once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from penjing.measure.file_graph import FileGraph, Tensor


@dataclass(frozen=True, kw_only=True)
class MatrixPart:
    """A weight matrix of the model, or the columns of it that stand in a tensor of their own."""

    key: str
    """As in `weight_matrices`."""
    shape: tuple[int, ...]
    """Of the part, in the model's order of axes."""
    start: int
    """First index of the whole matrix's last axis."""

    @property
    def columns(self) -> slice:
        """Which indices of the whole matrix's last axis it has."""
        return slice(self.start, self.start + self.shape[-1])


Obeys = Callable[[MatrixPart, np.ndarray], bool]
"""(part, values of a tensor of the file in the part's shape and order of axes, zero point taken off) -> bool."""


def unfound(content: bytes, shapes: Mapping[str, tuple[int, ...]], obeys: Obeys) -> list[str]:
    """Keys of the matrices for which the file has no tensor that obeys. A tensor serves one matrix, or as many as
    operators read it.

    Args:
        content: A .tflite file.
        shapes: Shapes of the matrices by key, as in the model.
        obeys: What is asked of a tensor. It is called with every tensor of a fitting shape, in every order of axes
            that leads to the shape; a square tensor is therefore tried both ways.
    """
    constants = _readable(FileGraph.from_bytes(content), len(shapes))
    ways = {key: _ways_in(key, shape, constants) for key, shape in shapes.items()}
    chosen = dict.fromkeys(ways, 0)
    fits: dict[MatrixPart, np.ndarray] = {}
    missing = _unmatched(ways, chosen, constants, obeys, fits)
    # A tensor of the whole matrix's shape may be another matrix: then the split form is tried.
    for key in list(missing):
        while key in missing and chosen[key] + 1 < len(ways[key]):
            chosen[key] += 1
            missing = _unmatched(ways, chosen, constants, obeys, fits)
    return missing


def _readable(graph: FileGraph, most: int) -> list[Tensor]:
    """Constants of the file. One that several operators read comes so often, up to `most` times: the converter writes
    matrices with equal values once."""
    reads: dict[int, int] = {}
    for each in graph.subgraphs:
        for operator in each.operators:
            for number in operator.inputs:
                if number >= 0:
                    tensor = each.tensors[number]
                    reads[id(tensor)] = reads.get(id(tensor), 0) + 1
    return [
        tensor
        for tensor in graph.constants()
        if tensor.values.ndim >= 1
        for _ in range(min(most, max(1, reads.get(id(tensor), 1))))
    ]


def _ways_in(key: str, shape: tuple[int, ...], constants: Sequence[Tensor]) -> list[list[MatrixPart]]:
    """Ways in which a matrix may stand in the file, whole first; those that the shapes of the file allow."""
    whole = [MatrixPart(key=key, shape=shape, start=0)]
    ways = [whole]
    if key.endswith(("/kernel", "/recurrent_kernel")):
        for gates in ((2, 1), (1, 1, 1), (1, 1, 1, 1)):
            width, rest = divmod(shape[-1], sum(gates))
            if rest == 0 and width:
                stops = [width * count for count in itertools.accumulate(gates)]
                ways.append(
                    [
                        MatrixPart(key=key, shape=(*shape[:-1], stop - start), start=start)
                        for start, stop in zip([0, *stops], stops, strict=False)
                    ]
                )
    possible = [
        way
        for way in ways
        if all(any(next(in_model_order(t.values, p.shape), None) is not None for t in constants) for p in way)
    ]
    return possible or [whole]


def _unmatched(
    ways: Mapping[str, list[list[MatrixPart]]],
    chosen: Mapping[str, int],
    constants: Sequence[Tensor],
    obeys: Obeys,
    fits: dict[MatrixPart, np.ndarray],
) -> list[str]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    parts = [part for key, index in chosen.items() for part in ways[key][index]]
    table = np.zeros((len(parts), max(1, len(constants))), np.int8)
    for row, part in enumerate(parts):
        if part not in fits:
            fits[part] = np.array([_serves(tensor, part, obeys) for tensor in constants], np.int8)
        table[row, : len(constants)] = fits[part]
    matched = maximum_bipartite_matching(csr_array(table), perm_type="column")
    missing = [part.key for part, column in zip(parts, matched, strict=True) if column < 0]
    return list(dict.fromkeys(missing))


def _serves(tensor: Tensor, part: MatrixPart, obeys: Obeys) -> bool:
    values = tensor.values
    if tensor.zero_point:
        values = values.astype(np.int32) - tensor.zero_point
    return any(obeys(part, view) for view in in_model_order(values, part.shape))


def in_model_order(values: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """An array of the file in the shape and order of axes of the model, once for every way that leads there.

    Axes of size 1 count for nothing; axes of the model may be joined in the file, the earlier one outside.
    """
    if values.size != int(np.prod(shape)):
        return
    target = [size for size in values.shape if size > 1]
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    plain = [shape[axis] for axis in axes]
    for order in itertools.permutations(range(len(axes))):
        if _joins(order, plain, target):
            unjoined = np.reshape(values, [plain[axis] for axis in order])
            yield np.transpose(unjoined, np.argsort(order)).reshape(shape)


def _joins(order: Sequence[int], sizes: Sequence[int], target: Sequence[int]) -> bool:
    """Whether neighbouring axes in this order, joined while ascending, give the target's sizes."""
    position = 0
    for size in target:
        product = 1
        last = -1
        while product < size:
            if position == len(order) or order[position] < last:
                return False
            last = order[position]
            product *= sizes[last]
            position += 1
        if product != size:
            return False
    return position == len(order)
