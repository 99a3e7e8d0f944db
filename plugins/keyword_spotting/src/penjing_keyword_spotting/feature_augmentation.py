"""What is changed of features that are already computed: bands shifted as by another vocal tract or filtered as by
another microphone, masks, mixup."""

from __future__ import annotations

import numpy as np


def warp_bands(features: np.ndarray, largest: float, generator: np.random.Generator) -> np.ndarray:
    """Stretch or squeeze each clip's bands, as a shorter or longer vocal tract does.

    Jaitly and Hinton 2013, "Vocal tract length perturbation (VTLP) improves speech recognition"; here on the mel
    bands, with linear interpolation, so that it costs little.

    Args:
        features: float32 of shape (n, frames, bands, 1).
        largest: Band k is taken from k times a factor of 1 - largest to 1 + largest.

    Returns:
        An array like `features`.
    """
    count, _, bands, _ = features.shape
    factors = generator.uniform(1 - largest, 1 + largest, (count, 1))
    positions = np.clip(np.arange(bands) * factors, 0, bands - 1)
    lower = positions.astype(np.int64)
    upper = np.minimum(lower + 1, bands - 1)
    share = (positions - lower).astype(np.float32)[:, None, :, None]
    low = np.take_along_axis(features, lower[:, None, :, None], axis=2)
    high = np.take_along_axis(features, upper[:, None, :, None], axis=2)
    return low + share * (high - low)


FILTER_POINTS = 5


def filter_bands(features: np.ndarray, deviation: float, generator: np.random.Generator) -> np.ndarray:
    """Raise and lower each clip's bands smoothly, as another microphone or room does.

    Nam, Kim and Park 2022, "FilterAugment: an acoustic environmental data augmentation method", the linear kind; here
    with gains of a normal distribution at points that are evenly spaced over the bands.

    Args:
        features: float32 of shape (n, frames, bands, 1), logarithms of energies.
        deviation: Standard deviation of the gains, in units of the features.

    Returns:
        An array like `features`.
    """
    count, _, bands, _ = features.shape
    gains = generator.normal(0, deviation, (count, FILTER_POINTS)).astype(np.float32)
    positions = np.linspace(0, FILTER_POINTS - 1, bands)
    lower = np.minimum(positions.astype(np.int64), FILTER_POINTS - 2)
    share = (positions - lower).astype(np.float32)
    curve = gains[:, lower] + share * (gains[:, lower + 1] - gains[:, lower])
    return features + curve[:, None, :, None]


def mask(features: np.ndarray, axis: int, masks: int, widest: int, generator: np.random.Generator) -> None:
    """Set stretches of frames (axis 1) or bands (axis 2) to the mean, 0, in place.

    Park et al. 2019, "SpecAugment: a simple data augmentation method for automatic speech recognition".
    """
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


def mixed(
    features: np.ndarray, y: np.ndarray, classes: int, alpha: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Each clip mixed with another, and soft targets of shape (n, classes) to match.

    Zhang et al. 2018, "mixup: beyond empirical risk minimization"; the clip itself keeps the larger share.
    """
    targets = np.eye(classes, dtype=np.float32)[y]
    partner = generator.permutation(len(y))
    share = generator.beta(alpha, alpha, len(y)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    mixture = share[:, None, None, None] * features + (1 - share)[:, None, None, None] * features[partner]
    return mixture, share[:, None] * targets + (1 - share)[:, None] * targets[partner]
