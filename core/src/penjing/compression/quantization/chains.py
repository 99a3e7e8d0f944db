"""Pairs of layers between which channels can be rescaled without changing what the model computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from penjing.compression.quantization.channel_grid import ROUNDED_LAYERS, is_depthwise

_L = keras.layers
_PER_CHANNEL = (
    *(getattr(_L, f"{kind}Pooling{dims}D") for kind in ("Max", "Average") for dims in (1, 2)),
    *(getattr(_L, f"Global{kind}Pooling{dims}D") for kind in ("Max", "Average") for dims in (1, 2)),
    *(getattr(_L, f"{kind}{dims}D") for kind in ("ZeroPadding", "Cropping", "UpSampling") for dims in (1, 2)),
    *(_L.Dropout, _L.SpatialDropout1D, _L.SpatialDropout2D),
)
"""Layers through which a factor of a channel passes unchanged."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two layers with kernels, the second fed by the first alone."""

    first: Any
    first_norm: Any | None
    """BatchNormalization of the first's output."""
    second: Any
    second_norm: Any | None
    capped: tuple[Any, ...]
    """Layers whose ReLU6 stands between."""
    flattened: bool

    def first_ranges(self) -> np.ndarray:
        """Largest weight of each output channel, after folding. Shape (channels,)."""
        return _largest(_folded(self.first, self.first_norm), self.first, of_input=False)

    def second_ranges(self) -> np.ndarray:
        """Largest weight of each input channel, after folding. Shape (channels,)."""
        ranges = _largest(_folded(self.second, self.second_norm), self.second, of_input=True)
        return ranges.reshape(-1, self.channels).max(axis=0) if self.flattened else ranges

    @property
    def channels(self) -> int:
        kernel = self.first.kernel.shape
        return int(kernel[-1] * kernel[-2]) if is_depthwise(self.first) else int(kernel[-1])


def find_pairs(model: keras.Model, *, through_relu6: bool) -> tuple[dict[str, Pair], dict[str, str]]:
    """Pairs by the first layer's path, and for every other layer with a kernel why it starts none."""
    pairs: dict[str, Pair] = {}
    reasons: dict[str, str] = {}
    for prefix, graph in _graphs(model, ""):
        uses, consumers = _consumers(graph)
        for layer in graph.layers:
            if isinstance(layer, ROUNDED_LAYERS):
                found = _follow(layer, uses, consumers, through_relu6)
                path = f"{prefix}{layer.name}"
                if isinstance(found, Pair):
                    pairs[path] = found
                else:
                    reasons[path] = found
    return pairs, reasons


def norm_after(model: keras.Model, layer: Any) -> Any | None:
    """The BatchNormalization that alone reads a layer's output, if there is one."""
    for _, graph in _graphs(model, ""):
        if any(layer is member for member in graph.layers):
            uses, consumers = _consumers(graph)
            return _norm(layer, uses, consumers)
    return None


def _graphs(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if getattr(model, "inputs", None):
        yield prefix, model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _graphs(layer, f"{prefix}{layer.name}/")


def _consumers(graph: Any) -> tuple[dict[int, int], dict[int, list[Any]]]:
    """How often each operation is used, and who reads its output; None stands for the model's own output."""
    function = graph._functional if isinstance(graph, keras.Sequential) else graph
    uses: dict[int, int] = {}
    consumers: dict[int, list[Any]] = {}
    for nodes in function._nodes_by_depth.values():
        for node in nodes:
            uses[id(node.operation)] = uses.get(id(node.operation), 0) + 1
            for tensor in node.input_tensors:
                consumers.setdefault(id(tensor._keras_history[0]), []).append(node.operation)
    for tensor in function.outputs:
        consumers.setdefault(id(tensor._keras_history[0]), []).append(None)
    return uses, consumers


def _only_reader(layer: Any, uses: dict[int, int], consumers: dict[int, list[Any]]) -> Any | None:
    readers = consumers.get(id(layer), [])
    return readers[0] if len(readers) == 1 and readers[0] is not None and uses.get(id(readers[0])) == 1 else None


def _norm(layer: Any, uses: dict[int, int], consumers: dict[int, list[Any]]) -> Any | None:
    reader = _only_reader(layer, uses, consumers)
    linear = layer.activation is keras.activations.linear
    return reader if linear and isinstance(reader, _L.BatchNormalization) else None


def _follow(layer: Any, uses: dict[int, int], consumers: dict[int, list[Any]], through_relu6: bool) -> Pair | str:
    if uses.get(id(layer)) != 1:
        return "it is used more than once"
    norm = _norm(layer, uses, consumers)
    if norm is not None and not norm.scale:
        return f"'{norm.name}' has no scale to change"
    capped = []
    flattened = False
    current = layer if norm is None else norm
    if norm is None:
        kind = _homogeneous(layer.activation)
        if kind == "capped":
            capped.append(layer)
        elif kind is None:
            return "its activation is not a ReLU"
    while True:
        reader = _only_reader(current, uses, consumers)
        if reader is None:
            return "more than one layer reads its output, or none"
        if isinstance(reader, ROUNDED_LAYERS):
            break
        kind = _passes(reader)
        if kind is None:
            return f"its channels do not reach another kernel: '{reader.name}' stands between"
        if kind == "capped":
            capped.append(reader)
        flattened = flattened or isinstance(reader, _L.Flatten)
        current = reader
    if capped and not through_relu6:
        return f"ReLU6 in '{capped[0].name}' does not scale (replace_relu6 = true makes it a ReLU)"
    if getattr(reader, "groups", 1) != 1:
        return f"'{reader.name}' has groups"
    return Pair(
        first=layer,
        first_norm=norm,
        second=reader,
        second_norm=_norm(reader, uses, consumers),
        capped=tuple(capped),
        flattened=flattened,
    )


def _homogeneous(activation: Any) -> str | None:
    """Whether f(s x) = s f(x) for s > 0; "capped" where a ReLU6 alone is in the way."""
    if activation in (keras.activations.linear, keras.activations.relu, keras.activations.leaky_relu):
        return "free"
    return "capped" if activation is keras.activations.relu6 else None


def _passes(layer: Any) -> str | None:
    if isinstance(layer, (*_PER_CHANNEL, _L.LeakyReLU, _L.Flatten)):
        return "free"
    if isinstance(layer, _L.ReLU):
        if layer.threshold:
            return None
        return "free" if layer.max_value is None else "capped"
    return _homogeneous(layer.activation) if isinstance(layer, _L.Activation) else None


def _folded(layer: Any, norm: Any | None) -> np.ndarray:
    kernel = np.asarray(layer.kernel)
    if norm is None:
        return kernel
    factor = 1.0 / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        factor = factor * np.asarray(norm.gamma)
    return kernel * (factor.reshape(kernel.shape[-2:]) if is_depthwise(layer) else factor)


def _largest(kernel: np.ndarray, layer: Any, *, of_input: bool) -> np.ndarray:
    magnitudes = np.abs(kernel)
    if is_depthwise(layer):
        by_channel = magnitudes.max(axis=tuple(range(kernel.ndim - 2)))
        return by_channel.max(axis=1) if of_input else by_channel.reshape(-1)
    axis = kernel.ndim - 2 if of_input else kernel.ndim - 1
    return magnitudes.max(axis=tuple(index for index in range(kernel.ndim) if index != axis))
