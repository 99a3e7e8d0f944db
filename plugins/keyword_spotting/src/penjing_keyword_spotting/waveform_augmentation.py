"""What a microphone, a room and a speaker's pace change of a clip's samples: shift, gain, noise, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What chance decided for each of n clips. It is drawn for all clips before the first is touched, so that the
    result does not depend on the size of the blocks."""

    speed: np.ndarray | None
    """float32 of shape (n, 1)."""
    shift: np.ndarray
    """Samples, int of shape (n,)."""
    noise: list[np.ndarray] | None
    """A view of a background recording for each clip; None where there is no background."""
    snr_db: np.ndarray
    noisy: np.ndarray
    """bool of shape (n, 1), as are the next two float arrays."""
    replaced: np.ndarray
    level: np.ndarray
    gain: np.ndarray


def draw(
    waveforms: np.ndarray,
    silent: np.ndarray,
    background: Sequence[np.ndarray],
    rate: int,
    options: Mapping[str, Any],
    generator: np.random.Generator,
) -> Draw:
    """Let chance decide what is done to each clip.

    Args:
        waveforms: Shape (n, samples); read for its shape only.
        silent: bool of shape (n,): clips without a word.
        background: Recordings, float32 of any length.
        rate: Samples a second.
        options: Of the `[augment]` table.
    """
    count, length = waveforms.shape
    column = (count, 1)
    speed = None
    if options["speed"]:
        speed = generator.uniform(1 - options["speed"], 1 + options["speed"], column).astype(np.float32)
    largest = round(options["shift_milliseconds"] * rate / 1000)
    shift = generator.integers(-largest, largest + 1, count)
    usable = [recording for recording in background if len(recording) > length]
    noise = None
    if usable:
        noise = []
        for _ in range(count):
            recording = usable[int(generator.integers(len(usable)))]
            start = int(generator.integers(len(recording) - length))
            noise.append(recording[start : start + length])
    snr_db = generator.uniform(options["lowest_snr_db"], options["highest_snr_db"], column)
    noisy = generator.random(column) < options["noise_probability"]
    replaced, level = np.zeros(column, bool), np.ones(column, np.float32)
    if usable:
        # Silence is any background: half of these clips become another piece of it, at any level.
        replaced = silent[:, None] & (generator.random(column) < 0.5)
        level = (10 ** generator.uniform(-2.5, 0, column)).astype(np.float32)
    gain = 10 ** (generator.uniform(-options["gain_db"], options["gain_db"], column) / 20)
    return Draw(
        speed=speed,
        shift=shift,
        noise=noise,
        snr_db=snr_db,
        noisy=noisy,
        replaced=replaced,
        level=level,
        gain=gain.astype(np.float32),
    )


def changed(waveforms: np.ndarray, rows: np.ndarray, drawn: Draw, seed: list[int]) -> np.ndarray:
    """Some clips, changed as was drawn.

    Args:
        waveforms: float32 of shape (n, samples), a copy that may be used up.
        rows: Numbers of these clips in the draw.
        seed: Of the white noise that stands in for background where there is none.

    Returns:
        float32 of shape (n, samples), in [-1, 1].
    """
    if drawn.speed is not None:
        waveforms = _at_other_speed(waveforms, drawn.speed[rows])
    waveforms = _shifted(waveforms, drawn.shift[rows])
    if drawn.noise is None:
        noise = np.random.default_rng(seed).standard_normal(waveforms.shape, np.float32)
    else:
        noise = np.stack([drawn.noise[row] for row in rows])
    power = np.mean(np.square(waveforms), axis=1, keepdims=True) + 1e-10
    noise_power = np.mean(np.square(noise), axis=1, keepdims=True) + 1e-10
    factor = np.sqrt(power / noise_power / 10 ** (drawn.snr_db[rows] / 10)).astype(np.float32)
    factor = np.where(drawn.replaced[rows], drawn.level[rows], factor * drawn.noisy[rows])
    waveforms = np.where(drawn.replaced[rows], 0, waveforms)
    noisy = (waveforms + factor * noise).astype(np.float32)
    return np.clip(noisy * drawn.gain[rows], -1, 1)


def _shifted(waveforms: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    count, length = waveforms.shape
    largest = int(np.abs(shifts).max())
    padded = np.pad(waveforms, ((0, 0), (largest, largest)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)
    return windows[np.arange(count), largest - shifts]


def _at_other_speed(waveforms: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Linear interpolation around the clip's middle; pitch changes with the speed, as with another speaker."""
    length = waveforms.shape[1]
    middle = (length - 1) / 2
    positions = (np.arange(length, dtype=np.float32) - middle) * factors + middle
    positions = np.clip(positions, 0, length - 1.001)
    left = positions.astype(np.int64)
    low = np.take_along_axis(waveforms, left, axis=1)
    return (low + (positions - left) * (np.take_along_axis(waveforms, left + 1, axis=1) - low)).astype(np.float32)
