"""Every layer call of a model in the order of computation, nested models opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph. The same KerasTensor inside a model that is called twice is two values."""

    tensor: Any
    """The KerasTensor inside the (nested) model where it is made."""

    @property
    def shape(self) -> tuple[int | None, ...]:
        return tuple(self.tensor.shape)

    @property
    def channels(self) -> int:
        """Length of the last axis, 1 where it is not known: one entry then stands for all of them."""
        return int(self.shape[-1]) if len(self.shape) > 1 and self.shape[-1] is not None else 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of a layer or operation."""

    path: str
    """The layer's path, as in `model_tree.walk_layers`."""
    operation: Any
    args: tuple[Any, ...]
    """As in the call, tensors replaced by `Value`s."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    inputs: Sequence[Value]
    """All tensors among the arguments, in order."""
    outputs: Sequence[Value]

    @property
    def training(self) -> bool:
        """Whether the call asks for the behaviour in training, as Monte Carlo dropout does."""
        return bool(self.kwargs.get("training"))


@dataclass(frozen=True, kw_only=True)
class CallGraph:
    """A model as a list of calls."""

    inputs: Sequence[Value]
    outputs: Sequence[Value]
    calls: Sequence[Call]
    emitted: frozenset[int] = frozenset()
    """`id`s of the tensors that the model or a nested one emits."""

    @classmethod
    def from_model(cls, model: keras.Model) -> CallGraph:
        """Calls in an order in which each comes after those that it reads. The model must be traceable
        (`model_tree.check_traceable`)."""
        inputs = [Value(tensor) for tensor in model.inputs]
        calls: list[Call] = []
        emitted: set[int] = set()
        outputs = _trace(model, inputs, "", calls, emitted)
        return cls(inputs=inputs, outputs=outputs, calls=calls, emitted=frozenset(emitted))

    def run(self, arrays: Sequence[Any]) -> Iterator[tuple[Value, Any]]:
        """Compute every value, as at inference.

        Args:
            arrays: One for each input of the model.

        Yields:
            Each value made by a call with its tensor; what nothing reads any more is not kept.
        """
        left = {value: len(calls) for value, calls in self.readers().items()}
        known = dict(zip(self.inputs, map(keras.ops.convert_to_tensor, arrays), strict=True))
        for call in self.calls:
            args, kwargs = keras.tree.map_structure(
                lambda item: known[item] if isinstance(item, Value) else item, (call.args, call.kwargs)
            )
            for value, tensor in zip(call.outputs, keras.tree.flatten(call.operation(*args, **kwargs)), strict=True):
                known[value] = tensor
                yield value, tensor
            for value in call.inputs:
                left[value] -= 1
                if not left[value]:
                    known.pop(value, None)

    def readers(self) -> dict[Value, list[Call]]:
        """Calls by the value that they read."""
        readers: dict[Value, list[Call]] = {}
        for call in self.calls:
            for value in call.inputs:
                readers.setdefault(value, []).append(call)
        return readers


def _trace(model: Any, inputs: Sequence[Value], prefix: str, calls: list[Call], emitted: set[int]) -> list[Value]:
    """Append a model's calls; returns its outputs as values."""
    emitted.update(id(tensor) for tensor in model.outputs)
    values = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}
    for node in _nodes(model):
        operation = node.operation
        if any(id(tensor) not in values for tensor in node.input_tensors):
            continue  # another model's call of a shared layer
        args, kwargs = node.arguments.convert(lambda item: values.get(id(item), item))
        read = [values[id(tensor)] for tensor in node.input_tensors]
        path = f"{prefix}{operation.name}"
        if is_plain(operation) and len(read) == len(operation.inputs) and not kwargs.get("training"):
            made = _trace(operation, read, f"{path}/", calls, emitted)
        else:
            made = [Value(tensor) for tensor in node.outputs]
            calls.append(Call(path=path, operation=operation, args=args, kwargs=kwargs, inputs=read, outputs=made))
        values.update({id(tensor): value for tensor, value in zip(node.outputs, made, strict=True)})
    return [values[id(tensor)] for tensor in model.outputs]


def is_plain(model: Any) -> bool:
    """Whether a model computes what its graph says: functional or sequential, with no `call` of its own."""
    return (
        isinstance(model, keras.Model)
        and bool(getattr(model, "inputs", None))
        and type(model).call.__module__ in ("keras.src.models.functional", "keras.src.models.sequential")
    )


def _nodes(model: Any) -> list[Any]:
    """The nodes of a functional or sequential model, inputs left out."""
    graph = getattr(model, "_functional", None) or model
    by_depth = getattr(graph, "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]
