"""Rounding in the forward pass, and what the backward pass makes of it.

- Straight-through (Bengio et al. 2013): the gradient passes where the value was inside the range.
- Learned step size, LSQ (Esser et al. 2020, "Learned step size quantization"): the step has a gradient too. With
  v = x / step, d(out)/d(step) is round(v) - v inside the range and the range's end outside; it is divided by
  sqrt(values x steps). The step is held as its logarithm (Jain et al. 2020, "Trained quantization thresholds"), so that
  an update of Adam changes it by a share of itself and it stays positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def weight_limit(bits: int) -> int:
    """The largest integer of a weight; the smallest is its negative (narrow range): 127 or 7."""
    return 2 ** (bits - 1) - 1


def largest_steps(weights: Any, axes: Sequence[int], bits: int) -> Any:
    """Steps at which the largest magnitude of each channel is the last integer; the axes are reduced, kept as 1.

    A channel of zeros gets a step so small that its bias keeps all its digits.
    """
    largest = tf.reduce_max(tf.abs(weights), axes, keepdims=True)
    return tf.maximum(largest * (1.0 / weight_limit(bits)), 1e-10)


def round_weights(weights: Any, steps: Any, bits: int) -> Any:
    """Integers of a symmetric grid, float32. Zero stays zero; equal weights of a channel stay equal."""
    limit = float(weight_limit(bits))
    return tf.clip_by_value(tf.round(weights / steps), -limit, limit)


def straight_through(weights: Any, steps: Any, bits: int) -> Any:
    """Weights rounded to the grid; the gradient ignores the rounding."""
    return weights + tf.stop_gradient(round_weights(weights, steps, bits) * steps - weights)


def learned_step(values: Any, log_step: Any, low: Any, high: Any, axes: Sequence[int]) -> Any:
    """Values rounded to a grid whose step is learned.

    Args:
        log_step: Natural logarithm of the step, broadcast against the values.
        low: The smallest integer of the grid, zero point taken off.
        high: The largest.
        axes: Axes of the values over which one step is shared.

    Returns:
        round(clip(values / step, low, high)) * step, with the gradients of LSQ.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def rounded(values: Any, log_step: Any) -> Any:
        step = tf.exp(log_step)
        clipped = tf.clip_by_value(values, low * step, high * step)
        outputs = tf.round(clipped / step) * step

        def gradient(upstream: Any) -> Any:
            passed = upstream * tf.cast(tf.equal(values, clipped), tf.float32)
            count = tf.cast(tf.reduce_prod(tf.gather(tf.shape(values), list(axes))), tf.float32)
            share = tf.math.rsqrt(count * tf.cast(high, tf.float32))
            # Per value: upstream x step x (round(v) - v) inside the range, upstream x its end outside. Written with
            # what is there already, which takes four fifths of the time.
            of_log = tf.reduce_sum(upstream * outputs - passed * values, axes, keepdims=True) * share
            return passed, tf.reshape(of_log, tf.shape(log_step))

        return outputs, gradient

    return rounded(values, log_step)


def learned_grid(values: Any, log_step: Any, low: Any, high: Any, bits: int) -> Any:
    """As `learned_step`, of one step for all values, by TensorFlow's own operator.

    Activations are large and this is done to each of them: the operator reads them once where the plain formulas do so
    four times, and as often backwards.

    Args:
        log_step: Natural logarithm of the step, shape ().
        low: The smallest integer of the grid, zero point taken off.
        high: The largest; high - low is 2^bits - 1.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def rounded(values: Any, log_step: Any) -> Any:
        step = tf.exp(log_step)
        ends = low * step, high * step
        outputs = tf.quantization.fake_quant_with_min_max_vars(values, *ends, num_bits=bits)

        def gradient(upstream: Any) -> Any:
            passed, below, above = tf.raw_ops.FakeQuantWithMinMaxVarsGradient(
                gradients=upstream, inputs=values, min=ends[0], max=ends[1], num_bits=bits
            )
            share = tf.math.rsqrt(tf.cast(tf.size(values), tf.float32) * tf.cast(high, tf.float32))
            inside = tf.reduce_sum(passed * (outputs - values))
            return passed, (inside + below * ends[0] + above * ends[1]) * share

        return outputs, gradient

    return rounded(values, log_step)


def best_steps(weights: Any, axes: Sequence[int], bits: int) -> Any:
    """Steps with the least squared error, among 40 shares of `largest_steps`; where learned steps start."""
    full = largest_steps(weights, axes, bits)
    best, least = full, None
    for number in range(40):
        steps = full * (1.0 - 0.02 * number)
        error = tf.reduce_sum(tf.square(round_weights(weights, steps, bits) * steps - weights), axes, keepdims=True)
        if least is None:
            least = error
        else:
            best = tf.where(error < least, steps, best)
            least = tf.minimum(error, least)
    return best
