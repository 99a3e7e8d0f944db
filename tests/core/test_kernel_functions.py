"""Activations as LiteRT's kernels compute them: for every integer that a kernel can be given, on random grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from single_operator import answer, single_operator

BYTES = np.arange(-128, 128).astype(np.int8)
WORDS = np.arange(-32768, 32768).astype(np.int16)
FUNCTIONS = {
    "sigmoid": ("LOGISTIC", {}, 0.0, 1.0),
    "tanh": ("TANH", {}, -1.0, 1.0),
    "gelu": ("GELU", {}, -0.17, 1e9),
    "approximate gelu": ("GELU", {"approximate": True}, -0.17, 1e9),
    "elu": ("ELU", {}, -1.0, 1e9),
}
"""By name: the operator, the options of the activation, the smallest and the largest value that it has."""


def single(value: float) -> float:
    return float(np.float32(value))


scales = st.floats(np.log(0.002), np.log(0.3)).map(lambda logarithm: single(np.exp(logarithm)))
zero_points = st.integers(-128, 127)


def grid_for(scale: float, zero_point: int, lowest: float, highest: float) -> tuple[float, int]:
    """The output's grid, as a training would find it for an input that takes all of its range."""
    low = max(min(0.0, scale * (-128 - zero_point)), lowest)
    high = min(max(0.0, scale * (127 - zero_point)), highest)
    made = single(max(high - low, 1e-3) / 255)
    return made, int(np.clip(round(-128 - low / made), -128, 127))


def offsets(integers: np.ndarray, zero_point: int = 0) -> Any:
    import tensorflow as tf

    return tf.constant(integers.astype(np.int64) - zero_point)


def tensors(*grids: tuple[float, int]) -> list[Any]:
    import tensorflow as tf

    return [tf.constant(grid, tf.float32) for grid in grids]


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=40, deadline=None)
@given(scale=scales, zero_point=zero_points)
def test_a_table_of_256_entries_is_that_of_the_kernel(name: str, scale: float, zero_point: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    from penjing.compression.quantization import tables

    operator, options, lowest, highest = FUNCTIONS[name]
    grid = (scale, zero_point)
    fixed = {"sigmoid": (1 / 256, -128), "tanh": (1 / 128, 0)}
    own = fixed.get(name) or grid_for(scale, zero_point, lowest, highest)
    written = schema.GeluOptionsT() if operator == "GELU" else None
    if written is not None:
        written.approximate = bool(options)
    content = single_operator(operator, (256,), "int8", grid, own, written, version=1)
    function = tables.function_of(name.split()[-1], options)
    ours = tables.looked_up(function, offsets(BYTES, zero_point), *tensors(grid, own))
    # ELU has no reference kernel.
    theirs = answer(content, BYTES, "xnnpack" if name == "elu" else "reference")
    assert np.array_equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(scale=scales, zero_point=zero_points)
def test_hard_swish_is_that_of_the_kernel(scale: float, zero_point: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    from penjing.compression.quantization import tables

    grid, own = (scale, zero_point), grid_for(scale, zero_point, -0.375, 1e9)
    content = single_operator("HARD_SWISH", (256,), "int8", grid, own, schema.HardSwishOptionsT(), version=1)
    ours = tables.hard_swish(offsets(BYTES, zero_point), *tensors(grid, own))
    assert np.array_equal(ours, answer(content, BYTES))


SCALES_16 = [*(single(10.0**-power) for power in (2.0, 2.6, 3.3, 4.1, 5.0)), 2.0**-13, 2.0**-12, 2.0**-11]
# The kernel takes a scale within 0.1 % of a power of two (in its logarithm) for that power.
SCALES_16 += [single(2.0**-12 * 2.0**0.0009), single(2.0**-12 * 2.0**0.0011), single(2.0**-11 * 2.0**-0.0009)]


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
@pytest.mark.parametrize("scale", SCALES_16)
def test_a_table_of_lines_is_that_of_the_kernel_with_16_bits(name: str, scale: float) -> None:
    from penjing.compression.quantization import tables_16

    operator = {"sigmoid": "LOGISTIC", "tanh": "TANH"}[name]
    content = single_operator(operator, WORDS.shape, "int16", (scale, 0), (1 / 32768, 0))
    ours = getattr(tables_16, name)(offsets(WORDS), np.float32(scale))
    assert np.array_equal(ours, answer(content, WORDS))


@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(-5.0, -2.0).map(lambda power: single(10.0**power)),
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([1, 30, 1000, 32767]),
    classes=st.sampled_from([1, 2, 10, 300]),
)
def test_softmax_with_16_bits_is_that_of_the_kernel(scale: float, seed: int, spread: int, classes: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    from penjing.compression.quantization import tables_16

    generator = np.random.default_rng(seed)
    logits = generator.integers(-spread, spread + 1, (3000 // classes, classes)).astype(np.int16)
    written = schema.SoftmaxOptionsT()
    written.beta = 1.0
    content = single_operator("SOFTMAX", logits.shape, "int16", (scale, 0), (1 / 32768, 0), written)
    ours = tables_16.softmax(offsets(logits), np.float32(scale))
    assert np.array_equal(ours, answer(content, logits))
