"""Augmentation: what a microphone, a room and a speaker may change without changing the word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing_datasets.speech_synthesis import SILENCE
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.options import with_defaults

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


def augment(
    train: Split, splits: Splits, *, epoch: int, seed: int, options: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """One epoch of augmented clips; equal arguments give equal arrays.

    Masks as in SpecAugment (Park et al. 2019).

    Returns:
        Features, float32 of shape (n, frames, columns, 1), and class numbers of shape (n,) or, with mixup, soft targets
        of shape (n, classes).
    """
    chosen = with_defaults("augment", options, DEFAULTS)
    generator = np.random.default_rng([seed, epoch])
    front_end: FrontEnd = splits.extra["front_end"]
    rate = front_end.sample_rate
    waveforms = np.asarray(train.raw, np.float32)
    silent = splits.labels.index(SILENCE) if SILENCE in splits.labels else -1
    if chosen["speed"]:
        waveforms = _at_other_speed(waveforms, chosen["speed"], generator)
    waveforms = _shifted(waveforms, round(chosen["shift_milliseconds"] * rate / 1000), generator)
    waveforms = _in_noise(waveforms, train.y == silent, splits.extra["background"], chosen, generator)
    gain = 10 ** (generator.uniform(-chosen["gain_db"], chosen["gain_db"], (len(waveforms), 1)) / 20)
    features = front_end.of_clips(np.clip(waveforms * gain.astype(np.float32), -1, 1))
    _mask(features, 1, chosen["time_masks"], chosen["time_mask_frames"], generator)
    if front_end.kind == "log-mel":
        _mask(features, 2, chosen["band_masks"], chosen["band_mask_bands"], generator)
    if chosen["mixup"]:
        return _mixed(features, train.y, len(splits.labels), chosen["mixup"], generator)
    return features, train.y


def _shifted(waveforms: np.ndarray, largest: int, generator: np.random.Generator) -> np.ndarray:
    count, length = waveforms.shape
    shifts = generator.integers(-largest, largest + 1, count)
    padded = np.pad(waveforms, ((0, 0), (largest, largest)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)
    return windows[np.arange(count), largest - shifts]


def _at_other_speed(waveforms: np.ndarray, largest: float, generator: np.random.Generator) -> np.ndarray:
    """Linear interpolation around the clip's middle; pitch changes with the speed, as with another speaker."""
    count, length = waveforms.shape
    factors = generator.uniform(1 - largest, 1 + largest, (count, 1)).astype(np.float32)
    middle = (length - 1) / 2
    result = np.empty_like(waveforms)
    base = np.arange(length, dtype=np.float32) - middle
    for start in range(0, count, 256):
        positions = np.clip(base * factors[start : start + 256] + middle, 0, length - 1.001)
        left = positions.astype(np.int64)
        share = positions - left
        rows = waveforms[start : start + 256]
        low = np.take_along_axis(rows, left, axis=1)
        result[start : start + 256] = low + share * (np.take_along_axis(rows, left + 1, axis=1) - low)
    return result


def _in_noise(
    waveforms: np.ndarray,
    silent: np.ndarray,
    background: list[np.ndarray],
    options: Mapping[str, Any],
    generator: np.random.Generator,
) -> np.ndarray:
    count, length = waveforms.shape
    usable = [recording for recording in background if len(recording) > length]
    noise = np.empty_like(waveforms)
    for row in range(count):
        if usable:
            recording = usable[int(generator.integers(len(usable)))]
            start = int(generator.integers(len(recording) - length))
            noise[row] = recording[start : start + length]
        else:
            noise[row] = generator.standard_normal(length, np.float32)
    power = np.mean(np.square(waveforms), axis=1, keepdims=True) + 1e-10
    noise_power = np.mean(np.square(noise), axis=1, keepdims=True) + 1e-10
    snr = generator.uniform(options["lowest_snr_db"], options["highest_snr_db"], (count, 1))
    factor = np.sqrt(power / noise_power / 10 ** (snr / 10)).astype(np.float32)
    factor *= generator.random((count, 1)) < options["noise_probability"]
    if usable:
        # Silence is any background: half of these clips become another piece of it, at any level.
        replaced = silent[:, None] & (generator.random((count, 1)) < 0.5)
        level = (10 ** generator.uniform(-2.5, 0, (count, 1))).astype(np.float32)
        waveforms = np.where(replaced, 0, waveforms)
        factor = np.where(replaced, level, factor)
    return (waveforms + factor * noise).astype(np.float32)


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
