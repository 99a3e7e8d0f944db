"""Augmentation: what a microphone, a room and a speaker may change without changing the word."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing.errors import RecipeError
from penjing.options import with_defaults
from penjing_datasets.speech_synthesis import SILENCE
from penjing_keyword_spotting import DOMAIN
from penjing_keyword_spotting.feature_augmentation import filter_bands, mask, mixed, warp_bands
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.waveform_augmentation import changed, draw

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
    "band_warp": 0.0,
    "filter_db": 0.0,
    "mixup": 0.0,
    "copies": 0,
}
"""Options of the `[augment]` table.

`speed = 0.1` plays clips up to 10 % slower or faster. `band_warp = 0.1` moves formants by up to 10 %. `filter_db = 4.0`
raises and lowers bands smoothly, with a standard deviation of 4 dB. Both are of log-mel features alone. `mixup` is the
alpha of Zhang et al. 2018, 0 for none. `copies = 0` changes the samples anew in every epoch; `copies = 20` makes 20
changed copies of all clips, which take turns and are kept for all trainings of a run. Bands, masks and mixup are new in
every epoch in any case. Copies save the front end's time, which is more than a small network's training takes.
"""

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
    "band_warp": (0, 0.5),
    "filter_db": (0, 30),
    "mixup": (0, 10),
    "copies": (0, 1_000),
}
BLOCK = 1024
"""Clips that are changed at once: bounds the memory beside the clips themselves."""
_COPY_SEED = 2_017
"""Takes the place of the training's seed where copies are made."""
_COPIES: dict[int, dict[Any, np.ndarray]] = {}
"""Features of changed copies, float16 of shape (n, frames, columns, 1), by the training part that they were made of."""


def augment(
    train: Split, splits: Splits, *, epoch: int, seed: int, options: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """One epoch of augmented clips; equal arguments give equal arrays.

    Returns:
        Features, float32 of shape (n, frames, columns, 1), and class numbers of shape (n,) or, with mixup, soft targets
        of shape (n, classes).

    Raises:
        RecipeError: An option is unknown or out of range.
    """
    chosen = with_defaults(DOMAIN, "augment", options, DEFAULTS, RANGES)
    if chosen["lowest_snr_db"] > chosen["highest_snr_db"]:
        raise RecipeError("lowest_snr_db is higher than highest_snr_db in [augment]", where=f"domain {DOMAIN}")
    front_end: FrontEnd = splits.extra["front_end"]
    generator = np.random.default_rng([seed, epoch])
    if chosen["copies"]:
        features = _copy(train, splits, epoch % chosen["copies"], chosen)
    else:
        features = _changed_features(train, splits, chosen, [seed, epoch], generator)
    if front_end.kind == "log-mel" and chosen["band_warp"]:
        features = warp_bands(features, chosen["band_warp"], generator)
    if front_end.kind == "log-mel" and chosen["filter_db"]:
        nepers = chosen["filter_db"] * np.log(10) / 10  # features are natural logarithms of energies
        features = filter_bands(features, nepers / front_end.scale, generator)
    mask(features, 1, chosen["time_masks"], chosen["time_mask_frames"], generator)
    if front_end.kind == "log-mel":
        mask(features, 2, chosen["band_masks"], chosen["band_mask_bands"], generator)
    if chosen["mixup"]:
        return mixed(features, train.y, len(splits.labels), chosen["mixup"], generator)
    return features, train.y


def _copy(train: Split, splits: Splits, number: int, options: Mapping[str, Any]) -> np.ndarray:
    """Features of one of the changed copies, which do not depend on the seed: all trainings of a run share them."""
    if id(train) not in _COPIES:
        _COPIES[id(train)] = {}
        weakref.finalize(train, _COPIES.pop, id(train), None)
    kept = _COPIES[id(train)]
    key = (number, tuple(sorted(options.items())))
    if key not in kept:
        seed = [_COPY_SEED, number]
        features = _changed_features(train, splits, options, seed, np.random.default_rng(seed))
        kept[key] = features.astype(np.float16)
    return kept[key].astype(np.float32)


def _changed_features(
    train: Split, splits: Splits, options: Mapping[str, Any], seed: list[int], generator: np.random.Generator
) -> np.ndarray:
    """Features of all clips, their samples changed: float32 of shape (n, frames, columns, 1)."""
    front_end: FrontEnd = splits.extra["front_end"]
    silent = train.y == (splits.labels.index(SILENCE) if SILENCE in splits.labels else -1)
    drawn = draw(train.raw, silent, splits.extra["background"], front_end.sample_rate, options, generator)
    features = np.empty((len(train), *front_end.shape), np.float32)
    for start in range(0, len(train), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(train)))
        waveforms = changed(np.asarray(train.raw[rows], np.float32), rows, drawn, [*seed, start])
        features[rows] = front_end.of_clips(waveforms)
    return features
