"""Augmentation: what a microphone, a room and a speaker may change without changing the word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing.errors import RecipeError
from penjing.options import with_defaults
from penjing_datasets.speech_synthesis import SILENCE
from penjing_keyword_spotting import DOMAIN
from penjing_keyword_spotting.features import FrontEnd

DEFAULTS: dict[str, Any] = {
    "shift_milliseconds": 100.0,
    "gain_db": 8.0,
    "noise_probability": 0.5,
    "lowest_snr_db": 8.0,
    "highest_snr_db": 30.0,
    "speed": 0.0,
    "time_masks": 1,
    "time_mask_frames": 4,
    "band_masks": 1,
    "band_mask_bands": 4,
    "mixup": 0.0,
}
"""Options of the `[augment]` table. `speed = 0.1` plays clips up to 10 % slower or faster; `mixup` is the alpha of
Zhang et al. 2018, 0 for none."""


RANGES = {
    "shift_milliseconds": (0, 1_000),
    "gain_db": (0, 60),
    "noise_probability": (0, 1),
    "lowest_snr_db": (-40, 100),
    "highest_snr_db": (-40, 100),
    "speed": (0, 0.5),
    "time_masks": (0, 20),
    "time_mask_frames": (0, 1_000),
    "band_masks": (0, 20),
    "band_mask_bands": (0, 256),
    "mixup": (0, 10),
}
BLOCK = 1024
"""Clips that are changed at once: bounds the memory beside the clips themselves."""


@dataclass(frozen=True, kw_only=True)
class _Draw:
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


def augment(
    train: Split, splits: Splits, *, epoch: int, seed: int, options: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """One epoch of augmented clips; equal arguments give equal arrays.

    Masks as in SpecAugment (Park et al. 2019).

    Returns:
        Features, float32 of shape (n, frames, columns, 1), and class numbers of shape (n,) or, with mixup, soft targets
        of shape (n, classes).

    Raises:
        RecipeError: An option is unknown or out of range.
    """
    chosen = with_defaults(DOMAIN, "augment", options, DEFAULTS, RANGES)
    if chosen["lowest_snr_db"] > chosen["highest_snr_db"]:
        raise RecipeError("lowest_snr_db is higher than highest_snr_db in [augment]", where=f"domain {DOMAIN}")
    generator = np.random.default_rng([seed, epoch])
    front_end: FrontEnd = splits.extra["front_end"]
    silent = train.y == (splits.labels.index(SILENCE) if SILENCE in splits.labels else -1)
    draw = _draw(train.raw, silent, splits.extra["background"], front_end.sample_rate, chosen, generator)
    features = np.empty((len(train), *front_end.shape), np.float32)
    for start in range(0, len(train), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(train)))
        waveforms = _changed(np.asarray(train.raw[rows], np.float32), rows, draw, [seed, epoch, start])
        features[rows] = front_end.of_clips(waveforms)
    _mask(features, 1, chosen["time_masks"], chosen["time_mask_frames"], generator)
    if front_end.kind == "log-mel":
        _mask(features, 2, chosen["band_masks"], chosen["band_mask_bands"], generator)
    if chosen["mixup"]:
        return _mixed(features, train.y, len(splits.labels), chosen["mixup"], generator)
    return features, train.y


def _draw(
    waveforms: np.ndarray,
    silent: np.ndarray,
    background: Sequence[np.ndarray],
    rate: int,
    options: Mapping[str, Any],
    generator: np.random.Generator,
) -> _Draw:
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
    return _Draw(
        speed=speed,
        shift=shift,
        noise=noise,
        snr_db=snr_db,
        noisy=noisy,
        replaced=replaced,
        level=level,
        gain=gain.astype(np.float32),
    )


def _changed(waveforms: np.ndarray, rows: np.ndarray, draw: _Draw, seed: list[int]) -> np.ndarray:
    if draw.speed is not None:
        waveforms = _at_other_speed(waveforms, draw.speed[rows])
    waveforms = _shifted(waveforms, draw.shift[rows])
    if draw.noise is None:
        noise = np.random.default_rng(seed).standard_normal(waveforms.shape, np.float32)
    else:
        noise = np.stack([draw.noise[row] for row in rows])
    power = np.mean(np.square(waveforms), axis=1, keepdims=True) + 1e-10
    noise_power = np.mean(np.square(noise), axis=1, keepdims=True) + 1e-10
    factor = np.sqrt(power / noise_power / 10 ** (draw.snr_db[rows] / 10)).astype(np.float32)
    factor = np.where(draw.replaced[rows], draw.level[rows], factor * draw.noisy[rows])
    waveforms = np.where(draw.replaced[rows], 0, waveforms)
    noisy = (waveforms + factor * noise).astype(np.float32)
    return np.clip(noisy * draw.gain[rows], -1, 1)


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


def _mask(features: np.ndarray, axis: int, masks: int, widest: int, generator: np.random.Generator) -> None:
    """Set stretches of frames or bands to the mean, 0, in place."""
    count, size = len(features), features.shape[axis]
    positions = np.arange(size)
    for _ in range(masks):
        width = generator.integers(0, widest + 1, (count, 1))
        start = (generator.random((count, 1)) * (size - width + 1)).astype(int)
        hidden = (positions >= start) & (positions < start + width)
        features[
            hidden[:, :, None, None].repeat(features.shape[2], 2)
            if axis == 1
            else hidden[:, None, :, None].repeat(features.shape[1], 1)
        ] = 0.0


def _mixed(
    features: np.ndarray, y: np.ndarray, classes: int, alpha: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    targets = np.eye(classes, dtype=np.float32)[y]
    partner = generator.permutation(len(y))
    share = generator.beta(alpha, alpha, len(y)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    mixed = share[:, None, None, None] * features + (1 - share)[:, None, None, None] * features[partner]
    return mixed, share[:, None] * targets + (1 - share)[:, None] * targets[partner]
