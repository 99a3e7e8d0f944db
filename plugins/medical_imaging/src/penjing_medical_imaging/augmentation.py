"""Augmentation: what another device, another position or another exposure may change without changing the finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing.errors import RecipeError
from penjing.options import with_defaults
from penjing_medical_imaging import DOMAIN
from penjing_medical_imaging.inputs import Inputs, unit

DEFAULTS: dict[str, Any] = {
    "shift": 0.1,
    "rotation": 10.0,
    "zoom": 0.15,
    "orientations": "auto",
    "contrast": 0.3,
    "brightness": 0.15,
    "gamma": 0.3,
    "shading": 0.15,
    "noise": 0.06,
    "blur": 0.5,
    "cutout": 0.3,
    "mixup": 0.2,
    "label_smoothing": 0.05,
    "balance": 0.5,
    "images_an_epoch": 8_000,
}
"""Options of the `[augment]` table. Shift and cutout in shares of the side, rotation in degrees, zoom, contrast and
gamma as the largest change of a factor, brightness, shading and noise in units of the whole range from black to white;
`blur` is the share of images that are blurred; `mixup` is the alpha of Zhang et al. 2018, 0 for none; `orientations` is
"auto" (all eight where the set's images have no up and left), "none", "mirror" or "all"; `balance` draws rare classes
more often: 0 as they come, 1 all classes alike, between them in proportion to share^(1 - balance). Of a larger training
part each epoch draws `images_an_epoch`, which is to be no less than a recipe's `max_updates` use."""
RANGES = {
    "shift": (0, 0.5),
    "rotation": (0, 180),
    "zoom": (0, 0.9),
    "contrast": (0, 0.95),
    "brightness": (0, 1),
    "gamma": (0, 3),
    "shading": (0, 1),
    "noise": (0, 1),
    "blur": (0, 1),
    "cutout": (0, 0.9),
    "mixup": (0, 10),
    "label_smoothing": (0, 0.5),
    "balance": (0, 1),
    "images_an_epoch": (64, 10_000_000),
}
ORIENTATIONS = ("auto", "none", "mirror", "all")
BLOCK = 512
"""Images that are changed at once: bounds the memory."""


def augment(
    train: Split, splits: Splits, *, epoch: int, seed: int, options: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """One epoch of augmented images; equal arguments give equal arrays.

    Cutout as DeVries and Taylor 2017, mixup as Zhang et al. 2018; the labels of ordered grades are smoothed towards
    their neighbours (Diaz and Marathe 2019, "Soft labels for ordinal regression").

    Returns:
        float32 of shape (n, size, size, channels), normalised, and soft targets: float32 of shape (n, classes), or
        (n, 1) for two classes.

    Raises:
        RecipeError: An option is unknown or out of range.
    """
    chosen = with_defaults(DOMAIN, "augment", options, DEFAULTS, RANGES)
    if chosen["orientations"] not in ORIENTATIONS:
        raise RecipeError(
            f"orientations cannot be '{chosen['orientations']}' in [augment]",
            where=f"domain {DOMAIN}",
            hint="one of " + ", ".join(ORIENTATIONS),
        )
    if chosen["orientations"] == "auto":
        chosen["orientations"] = "all" if splits.extra.get("any_orientation") else "none"
    inputs: Inputs = splits.extra["inputs"]
    generator = np.random.default_rng([seed, epoch])
    raw, y = np.asarray(train.raw), np.asarray(train.y)
    drawn = balanced_rows(y, chosen["balance"], generator) if y.ndim == 1 else np.arange(len(y))
    if len(drawn) > chosen["images_an_epoch"]:
        drawn = generator.permutation(drawn)[: chosen["images_an_epoch"]]
    x = np.empty((len(drawn), *inputs.shape), np.float32)
    for start in range(0, len(drawn), BLOCK):
        rows = slice(start, min(start + BLOCK, len(drawn)))
        x[rows] = changed(unit(raw[drawn[rows]]), chosen, generator)
    targets = soft_targets(splits, y[drawn], chosen["label_smoothing"])
    if chosen["mixup"]:
        # Mixed before normalisation, so that an image normalised by itself is one again.
        share = generator.beta(chosen["mixup"], chosen["mixup"], len(x)).astype(np.float32)
        share = np.maximum(share, 1 - share)
        partner = generator.permutation(len(x))
        mixed = share[:, None]
        targets = mixed * targets + (1 - mixed) * targets[partner]
        mixed = share[:, None, None, None]
        x = mixed * x + (1 - mixed) * x[partner]
    return inputs.normalised(x), targets


def balanced_rows(y: np.ndarray, balance: float, generator: np.random.Generator) -> np.ndarray:
    """As many row numbers as there are rows; each class stands in them in proportion to its share^(1 - balance).

    A class that is drawn more often than it has rows stands in whole, as often as it goes, and the rest by chance.
    """
    classes, counts = np.unique(y, return_counts=True)
    wished = counts.astype(np.float64) ** (1 - balance)
    wished = np.floor(wished / wished.sum() * len(y)).astype(int)
    wished[wished.argmax()] += len(y) - wished.sum()
    rows = []
    for value, wish in zip(classes, wished, strict=True):
        own = np.flatnonzero(y == value)
        rows += [own] * (wish // len(own)) + [generator.permutation(own)[: wish % len(own)]]
    return np.concatenate(rows)


def changed(images: np.ndarray, options: Mapping[str, Any], generator: np.random.Generator) -> np.ndarray:
    """A block of images, float32 from 0 to 1 of shape (n, height, width, channels), each changed by chance."""
    images = _turned(images, options["orientations"], generator)
    images = _moved(images, options, generator)
    images = _exposed(images, options, generator)
    if options["blur"]:
        images = _blurred(images, options["blur"], generator)
    if options["noise"]:
        level = generator.uniform(0, options["noise"], (len(images), 1, 1, 1)).astype(np.float32)
        images = images + level * generator.standard_normal(images.shape, np.float32)
    images = np.clip(images, 0, 1)
    if options["cutout"]:
        images = _cut(images, options["cutout"], generator)
    return images


def soft_targets(splits: Splits, y: np.ndarray, smoothing: float) -> np.ndarray:
    """Targets with smoothed labels, in the shape of the model's outputs: float32 of shape (n, outputs)."""
    if splits.task == "multilabel" or splits.task == "binary":
        values = y.astype(np.float32).reshape(len(y), -1)
        return values * (1 - smoothing) + smoothing / 2
    count = len(splits.labels)
    if splits.task == "ordinal" and smoothing:
        distance = np.abs(np.arange(count)[:, None] - np.arange(count)[None])
        near = np.where(distance == 1, 1.0, 0.0)
        table = (1 - smoothing) * np.eye(count) + smoothing * near / near.sum(axis=1, keepdims=True)
    else:
        table = (1 - smoothing) * np.eye(count) + smoothing / count
    return table.astype(np.float32)[y.astype(int)]


def _turned(images: np.ndarray, orientations: str, generator: np.random.Generator) -> np.ndarray:
    if orientations == "none":
        return images
    mirrored = generator.random(len(images)) < 0.5
    images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    if orientations == "all":
        quarter = generator.integers(0, 4, len(images))
        for turns in (1, 2, 3):
            rows = quarter == turns
            images[rows] = np.rot90(images[rows], turns, axes=(1, 2))
    return images


def _moved(images: np.ndarray, options: Mapping[str, Any], generator: np.random.Generator) -> np.ndarray:
    """Rotated, scaled (both axes a little apart) and shifted about the middle; the border repeats its last pixels."""
    count, height, width, _ = images.shape
    angle = np.deg2rad(generator.uniform(-options["rotation"], options["rotation"], count))
    zoom = 1 + generator.uniform(-options["zoom"], options["zoom"], count)
    stretch = 1 + generator.uniform(-options["zoom"], options["zoom"], count) / 3
    down = generator.uniform(-options["shift"], options["shift"], count) * height
    right = generator.uniform(-options["shift"], options["shift"], count) * width
    rows, columns = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    zoom, stretch = zoom[:, None, None], stretch[:, None, None]
    y = (cos * rows - sin * columns) / (zoom * stretch) + (height - 1) / 2 - down[:, None, None]
    x = (sin * rows + cos * columns) / (zoom / stretch) + (width - 1) / 2 - right[:, None, None]
    return sampled(images, y.astype(np.float32), x.astype(np.float32))


def sampled(images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Bilinear interpolation of images (n, height, width, channels) at places of shape (n, height, width)."""
    count, height, width, channels = images.shape
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = np.minimum(y.astype(np.int32), height - 2), np.minimum(x.astype(np.int32), width - 2)
    below, beside = (y - top)[..., None], (x - left)[..., None]
    flat = images.reshape(-1, channels)
    place = (np.arange(count, dtype=np.int64) * height * width)[:, None, None] + top * width + left
    upper = _between(flat, place, beside)
    lower = _between(flat, place + width, beside)
    lower -= upper
    lower *= below
    upper += lower
    return upper


def _between(flat: np.ndarray, place: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Values at places and the next ones, mixed."""
    first, second = flat.take(place, axis=0), flat.take(place + 1, axis=0)
    second -= first
    second *= share
    first += second
    return first


def _exposed(images: np.ndarray, options: Mapping[str, Any], generator: np.random.Generator) -> np.ndarray:
    """Another exposure: gamma, contrast about the image's mean, brightness, and a slope of brightness across it."""
    count, height, width, channels = images.shape
    one = (count, 1, 1, 1)
    if options["gamma"]:
        power = np.exp(generator.uniform(-1, 1, one) * np.log1p(options["gamma"])).astype(np.float32)
        images = np.maximum(images, 1e-6) ** power
    if options["contrast"]:
        factor = 1 + generator.uniform(-options["contrast"], options["contrast"], (count, 1, 1, 1)).astype(np.float32)
        mean = images.mean(axis=(1, 2), keepdims=True)
        images = mean + (images - mean) * factor
    if options["brightness"]:
        # Colours drift apart by a third of what they drift together, as between stains and lamps.
        together = generator.uniform(-1, 1, one)
        apart = generator.uniform(-1, 1, (count, 1, 1, channels)) / 3 if channels > 1 else 0.0
        images = images + (options["brightness"] * (together + apart)).astype(np.float32)
    if options["shading"]:
        rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
        direction = generator.uniform(0, 2 * np.pi, (count, 1, 1))
        strength = generator.uniform(0, options["shading"], (count, 1, 1))
        slope = strength * (np.cos(direction) * rows + np.sin(direction) * columns)
        images = images + slope[..., None].astype(np.float32)
    return images


def _blurred(images: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Some images through a kernel (a, 1 - 2a, a) both ways, a up to a third."""
    weight = generator.uniform(0, 1 / 3, (len(images), 1, 1, 1)) * (generator.random((len(images), 1, 1, 1)) < share)
    weight = weight.astype(np.float32)
    for axis in (1, 2):
        padding = [(0, 0)] * 4
        padding[axis] = (1, 1)
        padded = np.pad(images, padding, mode="edge")
        around = padded[:, :-2] + padded[:, 2:] if axis == 1 else padded[:, :, :-2] + padded[:, :, 2:]
        around -= 2 * images
        around *= weight
        images = images + around
    return images


def _cut(images: np.ndarray, largest: float, generator: np.random.Generator) -> np.ndarray:
    """In half of the images a rectangle becomes a grey of its own."""
    count, height, width, _ = images.shape
    tall = generator.uniform(0, largest, (count, 1)) * height
    wide = generator.uniform(0, largest, (count, 1)) * width
    top = generator.uniform(0, 1, (count, 1)) * (height - tall)
    left = generator.uniform(0, 1, (count, 1)) * (width - wide)
    rows, columns = np.arange(height), np.arange(width)
    inside = ((rows >= top) & (rows < top + tall))[:, :, None] & ((columns >= left) & (columns < left + wide))[:, None]
    inside &= (generator.random(count) < 0.5)[:, None, None]
    grey = generator.random((count, 1, 1, 1)).astype(np.float32)
    return np.where(inside[..., None], grey, images)
