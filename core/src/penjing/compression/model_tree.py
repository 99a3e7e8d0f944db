"""Layers and variables of a model under names that survive saving and loading."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from penjing.errors import ModelError


def walk_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Leaf layers with their paths, nested models opened: ("backbone/conv1", layer). Shared layers come once."""
    seen: set[int] = set()
    yield from _walk(model, prefix, seen)


def _walk(model: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, keras.layers.Layer]]:
    for layer in model.layers:
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        path = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model):
            yield from _walk(layer, f"{path}/", seen)
        elif isinstance(layer, keras.layers.Wrapper):
            yield f"{path}/{layer.layer.name}", layer.layer
        else:
            yield path, layer


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a layer's path, or its last part, fits one of the patterns ("head*", "backbone/*")."""
    name = path.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def check_patterns(model: keras.Model, patterns: Sequence[str], setting: str) -> None:
    """Refuse a pattern that fits no layer: it is a typing error more often than not.

    Raises:
        ModelError: The pattern fits no layer of the model.
    """
    _refuse_unfitting(patterns, [path for path, _ in walk_layers(model)], matches, setting, "layers")


def _refuse_unfitting(
    patterns: Sequence[str],
    names: Sequence[str],
    fits: Callable[[str, Sequence[str]], bool],
    setting: str,
    kind: str,
) -> None:
    for pattern in patterns:
        if not any(fits(name, [pattern]) for name in names):
            raise ModelError(
                f"no layer fits '{pattern}'",
                where=f"setting '{setting}'",
                hint=f"{kind} are: " + ", ".join(names),
            )


KERNEL_LAYERS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
"""Layers whose `kernel` is one weight tensor of the exported file, so that a promise about it can be checked there."""


def kernels(model: keras.Model) -> dict[str, Any]:
    """Kernel variables of `KERNEL_LAYERS` by layer path."""
    return {
        path: layer.kernel for path, layer in walk_layers(model) if isinstance(layer, KERNEL_LAYERS) and layer.built
    }


SINGLE_KERNEL_LAYERS = (
    *KERNEL_LAYERS,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.EinsumDense,
)
"""Layers with one weight matrix, `kernel`; in the file it may be split, transposed or have axes joined."""

_SEVERAL_MATRICES: tuple[tuple[tuple[type, ...], tuple[str, ...]], ...] = (
    (
        (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D),
        ("depthwise_kernel", "pointwise_kernel"),
    ),
    (
        (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell),
        ("kernel", "recurrent_kernel"),
    ),
    ((keras.layers.Embedding,), ("embeddings",)),
)


def weight_matrices(model: keras.Model) -> dict[str, Any]:
    """All weight variables that can be pruned or clustered, by a key that survives saving and loading.

    A layer with one matrix has its path as key ("head", "attention/query"): Dense, convolutions plain, depthwise and
    transposed, EinsumDense, also inside attention. The others have the variable's name behind the path:
    "lstm/kernel" and "lstm/recurrent_kernel" of LSTM, GRU and SimpleRNN (cells of an RNN layer: "rnn/lstm_cell/kernel"
    where it stacks several, directions: "bidirectional/forward_lstm/kernel"), "block/depthwise_kernel" and
    "block/pointwise_kernel" of separable convolutions, "words/embeddings". A variable comes once, however many layers
    share it. Layers that are not built have none.
    """
    return {key: variable for key, _, variable in walk_matrices(model)}


def walk_matrices(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer, Any]]:
    """(key, the layer or cell that owns it, variable) of `weight_matrices`."""
    seen: set[int] = set()
    for path, layer in walk_layers(model):
        for key, owner, variable in _matrices(path, layer):
            if id(variable) not in seen:
                seen.add(id(variable))
                yield key, owner, variable


def _matrices(path: str, layer: Any) -> Iterator[tuple[str, Any, Any]]:
    if not layer.built:
        return
    if isinstance(layer, SINGLE_KERNEL_LAYERS):
        # One half of a SeparableConv with simulated quantization goes on under the key that its matrix had.
        key = getattr(layer, "quantization", {}).get("matrix")
        yield path if key is None else path.removesuffix(layer.name) + key, layer, layer.kernel
    for kinds, names in _SEVERAL_MATRICES:
        if isinstance(layer, kinds):
            for name in names:
                yield f"{path}/{name}", layer, getattr(layer, name)
    if hasattr(layer, "named_matrices"):  # a recurrent layer with simulated quantization
        for name, owner, variable in layer.named_matrices():
            yield f"{path}/{name}", owner, variable
    if isinstance(layer, keras.layers.RNN):
        yield from _matrices(path, layer.cell)
    elif isinstance(layer, keras.layers.StackedRNNCells):
        for cell in layer.cells:
            yield from _matrices(f"{path}/{cell.name}", cell)
    elif isinstance(layer, keras.layers.Bidirectional):
        for direction in (layer.forward_layer, layer.backward_layer):
            yield from _matrices(f"{path}/{direction.name}", direction)
    elif isinstance(layer, (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)):
        for part in (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense):
            yield from _matrices(f"{path}/{part.name}", part)


def key_matches(key: str, patterns: Sequence[str]) -> bool:
    """Whether a key of `weight_matrices`, its layer or a layer around it fits one of the patterns."""
    parts = key.split("/")
    return any(matches("/".join(parts[:count]), patterns) for count in range(1, len(parts) + 1))


def check_matrix_patterns(model: keras.Model, patterns: Sequence[str], setting: str) -> None:
    """Refuse a pattern that fits no layer and no weight matrix.

    Raises:
        ModelError: The pattern fits nothing of the model.
    """
    names = list(dict.fromkeys([path for path, _ in walk_layers(model)] + list(weight_matrices(model))))
    _refuse_unfitting(patterns, names, key_matches, setting, "layers and weights")


GONE = (
    "the weight matrix is gone (inside a model with a class of its own, give the layers names: "
    "Keras numbers them anew each time the model is read)"
)
"""What a broken promise says of a key that no weight matrix has."""


def layer_of(key: str) -> str:
    """The layer's path in a key of `weight_matrices`: "lstm" of "lstm/recurrent_kernel"."""
    path, _, name = key.rpartition("/")
    several = {name for _, names in _SEVERAL_MATRICES for name in names}
    return path if name in several else key


def keep_indices(values: np.ndarray, axes: Sequence[np.ndarray | None]) -> np.ndarray:
    """The part of an array whose indices are kept; None keeps an axis whole."""
    for axis, indices in enumerate(axes):
        if indices is not None:
            values = np.take(values, indices, axis)
    return values


def check_traceable(model: Any) -> None:
    """Refuse what the engine cannot look into.

    Raises:
        ModelError: It is no Keras model, or one without symbolic inputs (a subclassed model, one that is not built).
    """
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"this is no Keras model but a {type(model).__module__}.{type(model).__qualname__}",
            hint="give a keras.Model of Keras 3, or the path of a .keras or .h5 file",
        )
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise ModelError(
            f"the model '{model.name}' ({type(model).__name__}) has no symbolic inputs and outputs",
            why="layers inside a subclassed or unbuilt model cannot be seen, so they can be neither named nor changed",
            hint="wrap it: x = keras.Input(shape=...); model = keras.Model(x, model(x))",
        )


def check_finite(model: keras.Model) -> None:
    """Refuse a model with NaN or infinite weights before any work starts.

    Raises:
        ModelError: Names the first layer at fault and how many values of it are not finite.
    """
    for path, layer in walk_layers(model):
        for variable in layer.weights:
            values = np.asarray(variable)
            if not np.issubdtype(values.dtype, np.floating):
                continue
            bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
            if bad:
                raise ModelError(
                    f"{bad:,} of {values.size:,} weights are NaN or infinite",
                    where=f"layer '{path}', variable '{variable.name}'",
                    why="the model was damaged or its training diverged",
                    hint="train it again with a lower learning rate, or load an earlier checkpoint",
                )


def count_parameters(model: keras.Model) -> int:
    """Number of all weights, trainable or not, each once; states of random generators are no weights."""
    return sum(int(np.prod(variable.shape)) for variable in model.weights)
