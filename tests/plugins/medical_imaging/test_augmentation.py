"""Augmentation: the same for the same seed, within the range of images, and labels stay probabilities."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.errors import RecipeError
from penjing_medical_imaging.augmentation import DEFAULTS, augment, balanced_rows, changed, sampled, soft_targets
from penjing_medical_imaging.inputs import Inputs

OFF: dict[str, Any] = {
    name: ("none" if name == "orientations" else 0 if isinstance(value, int) else 0.0)
    for name, value in DEFAULTS.items()
} | {"images_an_epoch": 8_000}


def data(task: str = "binary", channels: int = 1, count: int = 40, **extra: Any) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    raw = generator.integers(0, 256, (count, 20, 20, channels)).astype(np.uint8)
    labels = ("a", "b") if task == "binary" else tuple("abcde")
    y = generator.integers(0, len(labels), count)
    if task == "multilabel":
        y = generator.integers(0, 2, (count, 5)).astype(np.float32)
    inputs = Inputs.fitted(raw / np.float32(255), fit="crop", normalise="training")
    return SimpleNamespace(raw=raw, y=y), SimpleNamespace(task=task, labels=labels, extra={"inputs": inputs, **extra})


def test_equal_arguments_give_equal_arrays_and_another_epoch_gives_others() -> None:
    train, splits = data()
    first, again = (augment(train, splits, epoch=1, seed=5, options={}) for _ in range(2))
    other = augment(train, splits, epoch=2, seed=5, options={})
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_with_everything_off_images_and_labels_stay() -> None:
    train, splits = data()
    x, targets = augment(train, splits, epoch=0, seed=0, options=OFF)
    order = balanced_rows(train.y, 0.0, np.random.default_rng([0, 0]))
    assert np.allclose(x, splits.extra["inputs"].normalised(train.raw[order] / np.float32(255)), atol=1e-4)
    assert np.array_equal(targets[:, 0], train.y[order])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("option", sorted(set(DEFAULTS) - {"mixup", "label_smoothing", "balance", "images_an_epoch"}))
def test_each_change_changes_and_keeps_to_black_and_white(option: str, channels: int) -> None:
    images = np.random.default_rng(0).random((16, 20, 20, channels)).astype(np.float32)
    value = "all" if option == "orientations" else 0.5
    made = changed(images.copy(), {**OFF, option: value}, np.random.default_rng(1))
    assert made.shape == images.shape
    assert made.min() >= 0 and made.max() <= 1
    assert np.abs(made - images).max() > 0.02


def test_turning_and_mirroring_only_moves_pixels() -> None:
    images = np.random.default_rng(0).random((30, 9, 9, 1)).astype(np.float32)
    made = changed(images.copy(), {**OFF, "orientations": "all"}, np.random.default_rng(1))
    assert np.allclose(np.sort(made.reshape(30, -1)), np.sort(images.reshape(30, -1)), atol=1e-5)
    seen = {tuple(map(tuple, made[row, :, :, 0] == images[row, :, :, 0])) for row in range(30)}
    assert len(seen) > 3


def test_images_without_up_are_turned_and_others_are_not() -> None:
    generator = np.random.default_rng(2)
    for free, expected in ((True, True), (False, False)):
        train, splits = data(any_orientation=free)
        train.raw[:] = generator.integers(0, 256, train.raw.shape)
        x, _ = augment(train, splits, epoch=0, seed=0, options={**OFF, "orientations": "auto"})
        order = balanced_rows(train.y, 0.0, np.random.default_rng([0, 0]))
        same = np.allclose(x, splits.extra["inputs"].normalised(train.raw[order] / np.float32(255)), atol=1e-4)
        assert same != expected


def test_sampling_is_exact_on_pixels_and_linear_between() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    y, x = np.array([[[1.0, 1.5]]], np.float32), np.array([[[2.0, 0.25]]], np.float32)
    assert sampled(image, y, x)[0, 0, :, 0].tolist() == [6.0, 6.25]


@given(st.sampled_from(["binary", "classification", "ordinal", "multilabel"]), st.floats(0, 0.5))
def test_targets_stay_probabilities(task: str, smoothing: float) -> None:
    train, splits = data(task)
    targets = soft_targets(splits, train.y, smoothing)
    assert (targets >= 0).all() and (targets <= 1).all()
    if task in ("classification", "ordinal"):
        assert np.allclose(targets.sum(axis=1), 1, atol=1e-5)
        assert np.array_equal(targets.argmax(axis=1), train.y) or smoothing > 0.49


def test_grades_are_smoothed_towards_their_neighbours_only() -> None:
    _, splits = data("ordinal")
    assert soft_targets(splits, np.array([2]), 0.2)[0].tolist() == pytest.approx([0, 0.1, 0.8, 0.1, 0])


@given(st.lists(st.integers(0, 3), min_size=4, max_size=200), st.floats(0, 1))
def test_rare_classes_are_drawn_more_often_and_everything_still_occurs(classes: list[int], balance: float) -> None:
    y = np.array(classes)
    rows = balanced_rows(y, balance, np.random.default_rng(0))
    assert len(rows) == len(y)
    before, after = np.bincount(y, minlength=4), np.bincount(y[rows], minlength=4)
    if balance == 0:
        assert np.array_equal(before, after)
    rare = before[before > 0].argmin()
    kind = np.flatnonzero(before > 0)[rare]
    assert after[kind] >= before[kind] - 1


def test_of_a_large_set_each_epoch_draws_other_images() -> None:
    train, splits = data(count=300)
    options = {**OFF, "images_an_epoch": 64}
    first, second = (augment(train, splits, epoch=epoch, seed=0, options=options) for epoch in (0, 1))
    assert first[0].shape == (64, 20, 20, 1) and first[1].shape == (64, 1)
    shared = {image.tobytes() for image in first[0]} & {image.tobytes() for image in second[0]}
    assert len(shared) < 40


@pytest.mark.parametrize(
    ("options", "message"),
    [({"shift": 2.0}, "shift"), ({"flip": True}, "unknown option"), ({"orientations": "up"}, "orientations")],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        augment(*data(), epoch=0, seed=0, options=options)
