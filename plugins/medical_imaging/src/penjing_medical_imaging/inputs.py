"""From an image to the model's input, in training and on the device: numpy and Pillow, no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from penjing_datasets.images import scaled, square, with_channels

NORMALISATIONS = ("training", "image")
LEAST_SPREAD = 1e-3
"""A channel that varies less is divided by this."""
BLOCK_VALUES = 8_000_000
"""Pixel values that are turned into real numbers at once."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """How images become inputs. JSON values only: it goes into the bundle."""

    size: int
    """Pixels of a side."""
    channels: int
    """1 for grey, 3 for colour."""
    fit: str
    """How an image becomes square; see `penjing_datasets.images.square`."""
    normalise: str
    """"training": by the training part's mean and spread; "image": each image by its own, which takes the exposure
    away."""
    mean: tuple[float, ...]
    """Of the training part, a number a channel; from 0 for black to 1 for white."""
    spread: tuple[float, ...]
    """Standard deviations, likewise."""

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.size, self.size, self.channels)

    @classmethod
    def fitted(cls, images: np.ndarray, *, fit: str, normalise: str) -> Inputs:
        """For training images of shape (n, size, size, channels): uint8, or float from 0 to 1."""
        mean, square = np.zeros(images.shape[3]), np.zeros(images.shape[3])
        for block in _blocks(images):
            values = unit(images[block]).astype(np.float64)
            mean += values.sum(axis=(0, 1, 2))
            square += np.square(values).sum(axis=(0, 1, 2))
        pixels = max(1, images[..., 0].size)
        mean, square = mean / pixels, square / pixels
        spread = np.maximum(np.sqrt(np.maximum(square - np.square(mean), 0)), LEAST_SPREAD)
        return cls(
            size=images.shape[1],
            channels=images.shape[3],
            fit=fit,
            normalise=normalise,
            mean=tuple(round(float(value), 6) for value in mean),
            spread=tuple(round(float(value), 6) for value in spread),
        )

    @classmethod
    def from_json(cls, parameters: Mapping[str, Any]) -> Inputs:
        fields = {name: parameters[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, "mean": tuple(fields["mean"]), "spread": tuple(fields["spread"])})

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "mean": list(self.mean), "spread": list(self.spread)}

    def prepared(self, image: np.ndarray) -> np.ndarray:
        """An image of any size, (height, width, channels) from 0 to 1, as one of shape `shape`, still from 0 to 1."""
        return scaled(with_channels(square(image, self.fit), self.channels), self.size)

    def normalised(self, images: np.ndarray) -> np.ndarray:
        """Images of shape (n, *shape), uint8 or float from 0 to 1, as the model takes them, float32."""
        images = np.asarray(images)
        made = np.empty(images.shape, np.float32)
        for block in _blocks(images):
            values = unit(images[block])
            if self.normalise == "image":
                mean = values.mean(axis=(1, 2, 3), keepdims=True)
                spread = np.maximum(values.std(axis=(1, 2, 3), keepdims=True), 0.02)
            else:
                mean, spread = np.array(self.mean, np.float32), np.array(self.spread, np.float32)
            made[block] = (values - mean) / spread
        return made


def _blocks(images: np.ndarray) -> Iterator[slice]:
    """Some images at a time: ninety thousand of them in float64 would not fit into memory."""
    count = max(1, BLOCK_VALUES // max(1, images[:1].size))
    yield from (slice(start, start + count) for start in range(0, len(images), count))


def unit(images: np.ndarray) -> np.ndarray:
    """Images from 0 to 1, float32: bytes are divided by 255, what is float already stays."""
    images = np.asarray(images)
    return images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images.astype(np.float32)


def preprocess(raw: Any, parameters: Mapping[str, Any]) -> np.ndarray:
    """Images as the model takes them.

    Args:
        raw: Images of shape (n, height, width, channels), float from 0 to 1 or uint8 from 0 to 255.
        parameters: `Splits.preprocessing`.

    Returns:
        float32 of shape (n, size, size, channels).
    """
    inputs = Inputs.from_json(parameters)
    return inputs.normalised(np.stack([inputs.prepared(image) for image in unit(raw)]))
