"""Compare and guard the arrays of a plugin: equal content, nothing changed, nothing read that must not be read."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from penjing.testing.checks import ConformanceError


def digest(value: Any) -> str:
    """A hash of arrays and plain values, however they are nested; equal content has equal hashes."""
    state = hashlib.sha256()
    for part in _pieces(value):
        state.update(part)
    return state.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype.kind}{value.shape}".encode()
        # The bytes of an array of objects are addresses.
        yield repr(value.tolist()).encode() if value.dtype == object else np.ascontiguousarray(value).tobytes()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name.encode()
            yield from _pieces(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _pieces(value[key])
    elif isinstance(value, str | bytes | int | float | bool) or value is None:
        yield repr(value).encode()
    elif isinstance(value, Sequence):
        yield f"[{len(value)}]".encode()
        for item in value:
            yield from _pieces(item)
    elif hasattr(value, "toarray"):  # a sparse matrix
        yield from _pieces(value.toarray())
    else:
        yield type(value).__name__.encode()


@contextmanager
def unchanged(what: str, *values: Any) -> Iterator[None]:
    """Fail where the block changes one of the values."""
    before = [digest(value) for value in values]
    yield
    for value, old in zip(values, before, strict=True):
        if digest(value) != old:
            raise ConformanceError(f"{what} has changed its {type(value).__name__} in place")


class Unreadable:
    """Stands for the test part where it must not be read: whatever is asked of it fails."""

    def __init__(self, whose: str) -> None:
        object.__setattr__(self, "_whose", whose)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__") and name != "__len__":
            return object.__getattribute__(self, name)
        raise ConformanceError(f"{object.__getattribute__(self, '_whose')} reads the test part ({name})")

    def __len__(self) -> int:
        raise ConformanceError(f"{object.__getattribute__(self, '_whose')} reads the test part (its length)")


def parts_of(x: Any) -> dict[str, np.ndarray]:
    """Inputs by name; one array has the name ''."""
    return {str(k): np.asarray(v) for k, v in x.items()} if isinstance(x, Mapping) else {"": np.asarray(x)}


def head(x: Any, count: int) -> Any:
    """The first examples of inputs."""
    return {name: values[:count] for name, values in x.items()} if isinstance(x, Mapping) else x[:count]
