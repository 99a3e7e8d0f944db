"""The range of an activation: observed as a moving average, learned, or fixed by the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from penjing.compression.quantization import arithmetic, fake_quant
from penjing.export import recording
from penjing.export.recording import Grid


@dataclass
class _Batch:
    share: float
    """What part of a range the batch decides."""
    before: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Ranges by identity as they were before the batch."""
    seen: dict[int, tuple[float, float]] = field(default_factory=dict)
    """The smallest and largest value so far: a layer that is called several times observes them together."""


_batch: ContextVar[_Batch | None] = ContextVar("batch", default=None)
"""The batch of a calibration."""


@contextmanager
def calibrating(batch: int) -> Iterator[None]:
    """Layers that are called inside compute with real numbers and note the smallest and largest of each activation.

    Args:
        batch: The number of the batch, from 1; each decides 1/batch of the range, so that all count alike.
    """
    token = _batch.set(_Batch(1.0 / batch))
    try:
        yield
    finally:
        _batch.reset(token)


def is_calibrating() -> bool:
    """Whether ranges are being set."""
    return _batch.get() is not None


FIXED_8 = {"softmax": (1.0 / 256, -128), "sigmoid": (1.0 / 256, -128), "tanh": (1.0 / 128, 0)}
FIXED_16 = {"softmax": (1.0 / 32768, 0), "sigmoid": (1.0 / 32768, 0), "tanh": (1.0 / 32768, 0)}


def carried_mask(masks: Any) -> Any:
    """The mask that an output carries on: the first that an input carries; None where none does."""
    return next((mask for mask in keras.tree.flatten(masks) if mask is not None), None)


@keras.saving.register_keras_serializable(package="penjing")
class Range(keras.layers.Layer):
    """Puts a tensor on an integer grid. As a layer of a model it is the border between real numbers and integers.

    Args:
        bits: 8 (affine) or 16 (symmetric).
        kind: "moving-average" of the smallest and largest value of each batch, or "learned" (LSQ).
        momentum: Of the moving average.
        fixed: (scale, zero point) where the operator allows no other.
        positive: The tensor has no negative values (after ReLU), so its range starts at zero.
        rounds_in_training: False for a model's last probabilities: rounded to 1/256 in training, those of wrong
            classes would be zero and give no gradient.
        observes: False keeps a moving average where it is, in training too.
    """

    def __init__(
        self,
        bits: int = 8,
        kind: str = "moving-average",
        momentum: float = 0.99,
        fixed: tuple[float, int] | None = None,
        positive: bool = False,
        rounds_in_training: bool = True,
        observes: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.bits = bits
        self.kind = kind
        self.momentum = momentum
        self.fixed = tuple(fixed) if fixed is not None else None
        self.positive = positive
        self.rounds_in_training = rounds_in_training
        self.observes = observes

    def get_config(self) -> dict[str, Any]:
        names = ("bits", "kind", "momentum", "fixed", "positive", "rounds_in_training", "observes")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, inputs_shape: Any = None, grid_shape: Any = None) -> None:
        if self.fixed is None:
            self.low = self.add_weight(name="low", shape=(), initializer="zeros", trainable=False)
            self.high = self.add_weight(name="high", shape=(), initializer="zeros", trainable=False)
            self.frozen = self.add_weight(name="frozen", shape=(), initializer="zeros", trainable=False)
            if self.kind == "learned":
                self.log_step = self.add_weight(name="log_step", shape=(), initializer="zeros", trainable=True)
        self.built = True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the inputs: layers in float32 may stand behind and read it."""
        return carried_mask(previous_mask)

    def grid(self) -> Any:
        """(scale, zero point), float32 of shape (2,)."""
        if self.fixed is not None:
            return tf.constant(self.fixed, tf.float32)
        low, high = tf.minimum(self.low.value, 0.0), tf.maximum(self.high.value, 0.0)
        if self.bits == 16:
            scale = tf.maximum(tf.maximum(-low, high) * np.float32(1 / 32767), 1e-9)
            if self.kind == "learned":
                scale = tf.exp(self.log_step.value)
            return tf.stack([scale, tf.zeros(())])
        scale = tf.maximum((high - low) * np.float32(1 / 255), 1e-7)
        zero_point = tf.clip_by_value(tf.round(-128.0 - low / scale), -128.0, 127.0)
        if self.kind == "learned":
            scale = tf.exp(self.log_step.value)
        return tf.stack([scale, zero_point])

    def shift(self, steps: int) -> None:
        """Move the range by whole steps of its grid, whose scale stays.

        Raises:
            ValueError: The operator allows no other range.
        """
        if self.fixed is not None:
            raise ValueError("the range is fixed by the operator")
        moved = float(self.grid()[0]) * steps
        self.low.assign_add(moved)
        self.high.assign_add(moved)

    def observe(self, values: Any) -> None:
        """While calibrating, take a batch into account: the range becomes the mean over the batches so far."""
        if self.fixed is not None:
            return
        batch = _batch.get()
        assert batch is not None
        before = batch.before.setdefault(id(self), (float(self.low), float(self.high)))
        low, high = batch.seen.get(id(self), (0.0, 0.0))
        low, high = min(low, float(tf.reduce_min(values))), max(high, float(tf.reduce_max(values)))
        batch.seen[id(self)] = (low, high)
        self.low.assign(before[0] + batch.share * (low - before[0]))
        self.high.assign(before[1] + batch.share * (high - before[1]))
        if self.kind == "learned":
            span = tf.maximum(-self.low.value, self.high.value) if self.bits == 16 else self.high - self.low
            self.log_step.assign(tf.math.log(tf.maximum(span / (32767.0 if self.bits == 16 else 255.0), 1e-7)))

    def _follow(self, values: Any) -> None:
        """One update of the moving average, skipped once it is frozen."""

        def update() -> Any:
            share = 1.0 - self.momentum
            self.high.assign_add(share * (tf.maximum(tf.reduce_max(values), 0.0) - self.high.value))
            if not self.positive:
                self.low.assign_add(share * (tf.minimum(tf.reduce_min(values), 0.0) - self.low.value))
            return tf.zeros(())

        values = tf.stop_gradient(values)
        tf.cond(self.frozen.value < 0.5, update, lambda: tf.zeros(()))

    def simulate(self, values: Any, training: bool, watched: Any = None) -> Any:
        """Real numbers rounded to the grid, with a gradient; float32.

        Args:
            watched: What a moving average follows, if not the values themselves.
        """
        if training and not self.rounds_in_training:
            return values
        if training and self.fixed is None and self.kind == "moving-average" and self.observes:
            self._follow(values if watched is None else watched)
        grid = self.grid()
        low, high = arithmetic.limits(self.bits)
        if self.kind == "learned" and self.fixed is None:
            return fake_quant.learned_grid(values, self.log_step.value, low - grid[1], high - grid[1], self.bits)
        return tf.quantization.fake_quant_with_min_max_vars(
            values, (low - grid[1]) * grid[0], (high - grid[1]) * grid[0], num_bits=self.bits
        )

    def mark(self, values: Any) -> tuple[Any, Any]:
        """While a model is written: the marked tensor, and the grid as a constant."""
        made = recording.current()
        assert made is not None
        with tf.init_scope():
            scale, zero_point = np.asarray(self.grid(), np.float32)
        grid = Grid(scale=float(scale), zero_point=int(zero_point), bits=self.bits)
        return made.mark(values, grid), tf.constant([scale, zero_point], tf.float32)

    def call(self, inputs: Any, grid: Any = None, training: bool | None = None) -> tuple[Any, Any]:
        """Values on this range's grid and the grid. With a grid the inputs lie on it, and one grid is turned into the
        other as the operator QUANTIZE does it."""
        if recording.current() is not None:
            return self.mark(inputs)
        if is_calibrating():
            self.observe(inputs)
            return inputs, self.grid()
        if training:
            return self.simulate(inputs, True), self.grid()
        own = self.grid()
        if grid is None:
            return arithmetic.real(arithmetic.quantize(inputs, own, self.bits), own), own
        return self.regrid(inputs, grid), own

    def regrid(self, values: Any, grid: Any) -> Any:
        """Values on one grid, on this one."""
        own = self.grid()
        factor = arithmetic.double(grid[0]) / arithmetic.double(own[0])
        integers = arithmetic.scale_integers(arithmetic.offsets(values, grid), factor)
        return arithmetic.real(arithmetic.clamp(integers, own, self.bits, "linear"), own)

    def compute_output_spec(self, inputs: Any, grid: Any = None, training: bool | None = None) -> Any:
        return keras.KerasTensor(inputs.shape, dtype="float32"), keras.KerasTensor((2,), dtype="float32")
