"""What tests of `remove-dead` share: a step's surroundings without training, random weights, equal outputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from penjing.contract import Metric, Split, StepContext

L = keras.layers
UNIT = [(-1.0, 1.0)]


def plain_split(x: Any, prefix: str) -> Split:
    count = len(next(iter(x.values())) if isinstance(x, dict) else x)
    return Split(x=x, y=np.zeros(count, np.int64), ids=[f"{prefix}{i}" for i in range(count)])


def removal_context(model: keras.Model, folder: Path, x: Any = None, invariants: Sequence[Any] = ()) -> StepContext:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the step trains nothing")

    if x is None:
        x = np.random.default_rng(2).uniform(-1, 1, (60, *model.inputs[0].shape[1:])).astype("float32")
    return StepContext(
        model=model,
        train=plain_split(x, "t"),
        validation=plain_split(x, "v"),
        splits_extra={},
        task="classification",
        labels=(),
        metric=Metric(name="accuracy", function="a:b", direction="higher", primary=True),
        seed=3,
        folder=folder,
        invariants=invariants,
        fit=refuse,
        evaluate=refuse,
        teacher=refuse,
        progress=lambda text: None,
    )


def randomize(model: keras.Model, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        fan_in = max(1, int(np.prod(variable.shape[:-1])))
        values = generator.normal(0, fan_in**-0.5, variable.shape)
        if variable.name in ("gamma", "moving_variance"):
            values = generator.uniform(0.5, 1.5, variable.shape)
        variable.assign(values)


def assert_same_outputs(before: keras.Model, after: keras.Model, low: float = -1.0, high: float = 1.0) -> None:
    """In float64, so that it is about what was removed: float32 sums in another order differ by more where an output is
    a small difference of large numbers, and so does a model in float32 from itself in float64."""
    generator = np.random.default_rng(11)
    xs = []
    for tensor in before.inputs:
        x = generator.uniform(low, high, (40, *tensor.shape[1:]))
        x[::2] = np.where(generator.random(x[::2].shape) < 0.5, low, high)
        xs.append(x)
    given = xs if len(xs) > 1 else xs[0]
    pairs = zip(*(keras.tree.flatten(in_double_precision(model)(given)) for model in (before, after)), strict=True)
    for old, new in ((np.asarray(a), np.asarray(b)) for a, b in pairs):
        size = np.abs(old).max()
        # Where an output hardly varies, the rounding of its size remains.
        width = max(np.ptp(old), 0.05 * size) if np.ptp(old) else size
        assert np.abs(old - new).max() <= 1e-5 * width


def in_double_precision(model: keras.Model) -> keras.Model:
    """A copy that computes in float64 with the same weights."""
    config = json.loads(json.dumps(model.get_config()).replace('"float32"', '"float64"'))
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def conv_pair(first: dict[str, Any], second: dict[str, Any]) -> tuple[keras.Model, Any, Any]:
    inputs = keras.Input((8, 8, 1))
    one, two = L.Conv2D(3, 1, name="one", **first), L.Conv2D(2, 3, name="two", **second)
    model = keras.Model(inputs, two(one(inputs)))
    randomize(model, 1)
    return model, one, two


def make_constant(layer: Any, channel: int, value: float) -> None:
    kernel, bias = (np.array(weight) for weight in layer.get_weights())
    kernel[..., channel], bias[channel] = 0.0, value
    layer.set_weights([kernel, bias])
