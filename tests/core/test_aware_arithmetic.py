"""The arithmetic under quantize-aware-training: scaling, rounding, learned steps, statistics of a folded norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulating import quantized


def rounded(value: int, power: int) -> int:
    """value / 2^power, halves away from zero, in Python's integers."""
    return (abs(value) + (1 << power >> 1) >> power) * (1 if value >= 0 else -1)


@settings(max_examples=60)
@given(st.lists(st.integers(-(2**27), 2**27), min_size=1, max_size=20), st.floats(1e-6, 4.0))
def test_accumulators_are_scaled_as_gemmlowp_does_it(accumulators: list[int], factor: float) -> None:
    import math

    from penjing.compression.quantization.arithmetic import scale_integers

    fraction, shift = math.frexp(factor)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    expected = []
    for value in accumulators:
        high = (value << max(shift, 0)) * multiplier + 2**30 >> 31
        expected.append(rounded(high, max(-shift, 0)))
    made = scale_integers(np.array(accumulators, np.int64), np.float64(factor))
    assert np.asarray(made).tolist() == expected


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([4, 8]))
def test_zeros_stay_zero_and_equal_weights_stay_equal(seed: int, bits: int) -> None:
    from penjing.compression.quantization.fake_quant import largest_steps, round_weights

    generator = np.random.default_rng(seed)
    codebook = np.array([-1.3, 0.0, 0.2, 0.9], np.float32)
    weights = codebook[generator.integers(0, 4, (3, 3, 2, 5))] * generator.uniform(0.1, 3, 5).astype(np.float32)
    steps = largest_steps(weights, (0, 1, 2), bits)
    integers = np.asarray(round_weights(weights, steps, bits))
    assert np.all(integers[weights == 0] == 0)
    assert np.abs(integers).max() <= 2 ** (bits - 1) - 1
    for channel in range(5):
        for value in np.unique(weights[..., channel]):
            assert len(np.unique(integers[..., channel][weights[..., channel] == value])) == 1
    assert np.all(np.abs(integers * np.asarray(steps) - weights) <= 0.5001 * np.asarray(steps))


def test_a_learned_step_has_the_gradient_of_lsq() -> None:
    import tensorflow as tf

    from penjing.compression.quantization.fake_quant import learned_step

    values = tf.constant([0.26, -0.9, 5.0, -7.0])
    log_step = tf.constant(np.log([0.5]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([values, log_step])
        outputs = learned_step(values, log_step, -4.0, 3.0, [0])
        total = tf.reduce_sum(outputs * [1.0, 10.0, 100.0, 1000.0])
    of_values, of_step = tape.gradient(total, [values, log_step])
    assert outputs.numpy().tolist() == pytest.approx([0.5, -1.0, 1.5, -2.0])
    assert of_values.numpy().tolist() == [1.0, 10.0, 0.0, 0.0]
    # round(v) - v inside: 1 - 0.52 and -2 + 1.8; the ends of the range outside; times step / sqrt(4 values x 3).
    expected = 0.48 * 1 - 0.2 * 10 + 3.0 * 100 - 4.0 * 1000
    assert of_step.numpy()[0] == pytest.approx(expected * 0.5 / np.sqrt(12), rel=1e-5)


@pytest.mark.parametrize(("bits", "zero_point"), [(8, -128), (8, 5), (8, 127), (16, 0)])
def test_one_step_for_all_values_is_learned_as_by_the_formulas(bits: int, zero_point: int) -> None:
    import tensorflow as tf

    from penjing.compression.quantization.arithmetic import limits
    from penjing.compression.quantization.fake_quant import learned_grid, learned_step

    generator = np.random.default_rng([bits, zero_point + 128])
    low, high = (np.float32(limit - zero_point) for limit in limits(bits))
    step = np.float32(0.013)
    # Within, and to both sides of, what the grid holds.
    values = tf.constant(generator.uniform(1.5 * low - 9, 1.5 * high + 9, (64, 7, 5)) * step, tf.float32)
    upstream = tf.constant(generator.normal(size=values.shape), tf.float32)
    log_step = tf.constant(np.log(step), tf.float32)

    def both(rounded: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch([values, log_step])
            outputs = rounded(log_step)
            total = tf.reduce_sum(outputs * upstream)
        return outputs, *tape.gradient(total, [values, log_step])

    plain = both(lambda log: learned_step(values, tf.reshape(log, [1, 1, 1]), low, high, [0, 1, 2]))
    fused = both(lambda log: learned_grid(values, log, low, high, bits))
    apart = np.abs(plain[0] - fused[0]) / step
    # float32 knows a value in steps to 2^(bits - 24) of one: so near a half it may be rounded to either side.
    assert np.mean(apart > 2.0 ** (bits - 23)) < 2.0 ** (bits - 23) and apart.max() < 1.01
    np.testing.assert_array_equal(plain[1], fused[1])
    assert float(fused[2]) == pytest.approx(float(plain[2]), rel=1e-3)


def test_batch_statistics_of_a_folded_norm_are_those_of_batch_normalization() -> None:
    import keras

    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(momentum=0.8, name="norm")(layers.Conv2D(6, 3, name="conv")(inputs))
    model = keras.Model(inputs, x)
    made, _, batch = quantized(model, activation_bits=16)
    conv, norm = made.get_layer("conv"), model.get_layer("norm")
    conv.output_range.low.assign(-20.0)  # nothing is clipped: the statistics are the subject
    weights, steps, _ = conv.integers(np.float32(1.0))
    # The rounded folded kernel, with the folding undone: what BatchNormalization in training mode would stand behind.
    unfolded = np.asarray(weights) * np.asarray(steps) / np.asarray(conv._factor())
    grid = np.asarray(made.layers[1].grid())
    on_grid = np.round(batch / grid[0]) * grid[0]
    product = keras.ops.conv(on_grid, unfolded) + model.get_layer("conv").bias
    expected = np.asarray(norm(product, training=True))
    got = np.asarray(made(batch, training=True))
    assert np.abs(got - expected).max() < 2e-3 * np.abs(expected).max()
    assert np.asarray(conv.moving_mean) == pytest.approx(np.asarray(norm.moving_mean), rel=1e-3, abs=1e-4)
    assert np.asarray(conv.moving_variance) == pytest.approx(np.asarray(norm.moving_variance), rel=1e-2)
