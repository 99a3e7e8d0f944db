"""Changed copies take turns and are shared; bands move as by another vocal tract; (epoch, seed) decide all of it."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from penjing.contract import DataRequest, Splits
from penjing_keyword_spotting import augmentation
from penjing_keyword_spotting.augmentation import DEFAULTS, augment
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.feature_augmentation import FILTER_POINTS, filter_bands, warp_bands

NOTHING = {name: type(value)(0) for name, value in DEFAULTS.items()}
SAMPLES = {"shift_milliseconds": 100.0, "gain_db": 6.0, "speed": 0.1, "noise_probability": 0.5, "highest_snr_db": 20.0}
"""What is changed of the samples."""
FULL = {**SAMPLES, "lowest_snr_db": 5.0, "time_masks": 1, "band_warp": 0.1, "filter_db": 4.0, "mixup": 0.2}


@pytest.fixture(scope="module")
def sample() -> Splits:
    return load_data(DataRequest(options={"voices": 8}))


def features(sample: Splits, epoch: int, seed: int, **options: Any) -> np.ndarray:
    return augment(sample.train, sample, epoch=epoch, seed=seed, options={**NOTHING, **options})[0]


def test_everything_together_follows_from_epoch_and_seed_also_when_nothing_is_remembered(sample: Splits) -> None:
    options = {**FULL, "copies": 3}
    first = augment(sample.train, sample, epoch=4, seed=1, options=options)
    augmentation._COPIES.clear()  # as after a resume
    again = augment(sample.train, sample, epoch=4, seed=1, options=options)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)
    for epoch, seed in ((7, 1), (4, 2)):  # the same copy, other bands and masks
        assert not np.array_equal(first[0], augment(sample.train, sample, epoch=epoch, seed=seed, options=options)[0])


def test_copies_take_turns_and_all_trainings_share_them(sample: Splits) -> None:
    options = {**SAMPLES, "copies": 3}
    turns = [features(sample, epoch, 1, **options) for epoch in range(4)]
    assert np.array_equal(turns[0], turns[3])
    assert not np.array_equal(turns[0], turns[1]) and not np.array_equal(turns[1], turns[2])
    assert np.array_equal(turns[0], features(sample, 0, 2, **options))


def test_a_copy_is_changed_as_much_as_a_fresh_epoch(sample: Splits) -> None:
    fresh = np.abs(features(sample, 0, 1, **SAMPLES) - sample.train.x).mean()
    copied = np.abs(features(sample, 0, 1, **SAMPLES, copies=2) - sample.train.x).mean()
    assert copied == pytest.approx(fresh, rel=0.1)


def test_masking_an_epoch_leaves_the_copy_whole(sample: Splits) -> None:
    masked = features(sample, 0, 1, copies=1, time_masks=1, time_mask_frames=20)
    clean = features(sample, 0, 1, copies=1)
    assert (masked == 0).all(axis=(2, 3)).any()
    assert not (clean == 0).all(axis=(2, 3)).any()


def test_other_options_get_other_copies(sample: Splits) -> None:
    quiet = features(sample, 0, 1, copies=1)
    assert not np.array_equal(quiet, features(sample, 0, 1, copies=1, gain_db=12.0))


def test_copies_are_forgotten_with_the_data_that_they_were_made_of(sample: Splits) -> None:
    train = replace(sample.train)
    augment(train, sample, epoch=0, seed=0, options={**NOTHING, "copies": 1})
    number = id(train)
    assert number in augmentation._COPIES
    del train
    gc.collect()
    assert number not in augmentation._COPIES


# ------------------------------------------------------------------------------------------------ bands that move


def tone(band: int, clips: int = 400) -> np.ndarray:
    x = np.zeros((clips, 3, 40, 1), np.float32)
    x[:, :, band] = 1.0
    return x


def test_a_formant_moves_by_at_most_the_share_that_is_asked_for() -> None:
    warped = warp_bands(tone(20), 0.1, np.random.default_rng(0))
    places = (warped[:, 0, :, 0] * np.arange(40)).sum(axis=1) / warped[:, 0, :, 0].sum(axis=1)
    assert places.min() >= 20 / 1.1 - 1 and places.max() <= 20 / 0.9 + 1
    assert places.std() > 0.5
    assert abs(places.mean() - 20) < 0.3


def test_all_frames_of_a_clip_move_alike_and_clips_apart() -> None:
    warped = warp_bands(tone(20), 0.1, np.random.default_rng(0))
    assert np.array_equal(warped[:, 0], warped[:, 2])
    assert not np.array_equal(warped[0], warped[1])


def test_no_warp_and_a_single_band_stay_as_they_are() -> None:
    x = np.random.default_rng(0).normal(size=(5, 7, 40, 1)).astype(np.float32)
    assert np.array_equal(warp_bands(x, 0.0, np.random.default_rng(0)), x)
    assert np.array_equal(warp_bands(x[:, :, :1], 0.3, np.random.default_rng(0)), x[:, :, :1])


def test_cosine_coefficients_are_no_bands_and_stay() -> None:
    sample = load_data(DataRequest(options={"voices": 4, "features": "mfcc"}))
    assert np.array_equal(features(sample, 0, 0, band_warp=0.2, filter_db=6.0), features(sample, 0, 0))


def test_a_filter_has_the_deviation_that_is_asked_for_and_is_smooth_over_the_bands() -> None:
    added = filter_bands(np.zeros((4000, 3, 41, 1), "float32"), 0.5, np.random.default_rng(0))[..., 0]
    assert added.dtype == np.float32
    assert np.array_equal(added, np.repeat(added[:, :1], 3, axis=1)), "all frames of a clip alike"
    at_points = added[:, 0, :: 40 // (FILTER_POINTS - 1)]
    assert np.allclose(at_points.std(axis=0), 0.5, atol=0.03) and np.allclose(at_points.mean(axis=0), 0, atol=0.03)
    bends = np.abs(np.diff(added[:, 0], n=2)).max(axis=0) > 1e-5
    assert (np.flatnonzero(bends) + 1).tolist() == [10, 20, 30], "straight between the points"


def test_decibels_are_of_energy_whatever_the_scale_of_the_features(sample: Splits) -> None:
    def gains(scale: float) -> np.ndarray:
        front_end = replace(sample.extra["front_end"], scale=scale)
        scaled = replace(sample, extra={**sample.extra, "front_end": front_end})
        return (features(scaled, 0, 0, filter_db=6.0) - features(scaled, 0, 0)) * scale * 10 / np.log(10)

    assert np.allclose(gains(1.0), gains(3.0), atol=1e-3)
    # Between two points the gain is a mean of theirs, and varies less.
    assert 4.0 < gains(2.0).std() < 6.5
