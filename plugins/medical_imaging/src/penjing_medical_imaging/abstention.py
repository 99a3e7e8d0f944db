"""Is an image like those of the training part? A simple score, computed with numpy on the device.

An image is described by 70 numbers: the mean of each of 8 x 8 fields, how much neighbouring pixels differ, the spread,
the shares of black and white, and how far the colours lie apart. The training part's descriptions, centred and scaled,
are taken as normal with the covariance of probabilistic principal components (Tipping and Bishop 1999): so many
components as explain 90 % of the variance, one common variance for the rest. The score is the Mahalanobis distance
under it. The limit is the quantile of the validation part's scores that `familiar_share` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing_medical_imaging.inputs import unit

FIELDS = 8
EXPLAINED = 0.9
MOST_COMPONENTS = 24
DIGITS = 5
_DESCRIBED = 20_000
"""Training images that are described, at most."""
_BLOCK = 1024


def describe(images: np.ndarray) -> np.ndarray:
    """Images of shape (n, height, width, channels) from 0 to 1 as rows of numbers, float64 of shape (n, 70)."""
    images = np.asarray(images, np.float32)
    grey = images.mean(axis=3)
    rows = [
        strip.mean(axis=2).mean(axis=1)
        for band in np.array_split(grey, FIELDS, axis=1)
        for strip in np.array_split(band, FIELDS, axis=2)
    ]
    down, right = np.diff(grey, axis=1), np.diff(grey, axis=2)
    rough = np.log(1e-3 + np.sqrt(np.mean(np.square(down), axis=(1, 2))))
    rougher = np.log(1e-3 + np.sqrt(np.mean(np.square(np.diff(right, axis=2)), axis=(1, 2))))
    colour = np.log(1e-3 + np.ptp(images, axis=3).mean(axis=(1, 2)))
    rows += [
        rough,
        rougher,
        np.log(1e-3 + grey.std(axis=(1, 2))),
        (grey < 0.02).mean(axis=(1, 2)),
        (grey > 0.98).mean(axis=(1, 2)),
        colour,
    ]
    return np.stack(rows, axis=1).astype(np.float64)


def _described(images: np.ndarray) -> np.ndarray:
    """`describe`, some images at a time."""
    starts = range(0, max(1, len(images)), _BLOCK)
    return np.concatenate([describe(unit(images[start : start + _BLOCK])) for start in starts])


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """What familiar images look like, and from which score on an image is none. Small enough for bundle.json."""

    center: np.ndarray
    scale: np.ndarray
    """Mean and standard deviation of each number, shape (70,)."""
    axes: np.ndarray
    """Principal axes of the scaled numbers, shape (70, components)."""
    variances: np.ndarray
    """Along the axes, shape (components,)."""
    rest: float
    """Variance across each other direction."""
    limit: float
    """A higher score is unfamiliar."""
    share: float
    """Share of the validation part below the limit."""

    @classmethod
    def fitted(cls, train: np.ndarray, validation: np.ndarray, *, share: float) -> Familiarity:
        """From images of shape (n, height, width, channels): uint8, or float from 0 to 1."""
        step = max(1, len(train) // _DESCRIBED)
        numbers = _described(train[::step])
        center = numbers.mean(axis=0)
        # A number that hardly varies in training (no black pixel anywhere) must not turn a trace of it into a shock.
        scale = np.maximum(numbers.std(axis=0), 0.01)
        z = (numbers - center) / scale
        values, vectors = np.linalg.eigh(z.T @ z / max(1, len(z) - 1))
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
        explained = np.cumsum(values) / max(values.sum(), 1e-12)
        count = int(min(np.searchsorted(explained, EXPLAINED) + 1, MOST_COMPONENTS, len(z)))
        rest = float(max(values[count:].mean(), 0.01))
        made = cls(
            center=np.round(center, DIGITS),
            scale=np.round(scale, DIGITS),
            axes=np.round(vectors[:, :count], DIGITS),
            variances=np.round(np.maximum(values[:count], rest), DIGITS),
            rest=round(rest, DIGITS),
            limit=0.0,
            share=share,
        )
        limit = float(np.quantile(made.scores(validation), share))
        return cls(**{**vars(made), "limit": round(limit, DIGITS)})

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Distance of each image, float64 of shape (n,); about 1 for a usual one.

        It is the Mahalanobis distance divided by the root of the number of dimensions.
        """
        z = (_described(images) - self.center) / self.scale
        along = z @ self.axes
        across = np.maximum(np.square(z).sum(axis=1) - np.square(along).sum(axis=1), 0)
        distance = (np.square(along) / self.variances).sum(axis=1) + across / self.rest
        return np.sqrt(distance / z.shape[1])

    def to_json(self) -> dict[str, Any]:
        return {
            "score": "Mahalanobis distance of 70 image statistics under probabilistic principal components",
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "axes": self.axes.tolist(),
            "variances": self.variances.tolist(),
            "rest": self.rest,
            "limit": self.limit,
            "share": self.share,
        }

    @classmethod
    def from_json(cls, parameters: Mapping[str, Any]) -> Familiarity:
        arrays = {name: np.array(parameters[name], np.float64) for name in ("center", "scale", "axes", "variances")}
        return cls(**arrays, rest=parameters["rest"], limit=parameters["limit"], share=parameters["share"])
