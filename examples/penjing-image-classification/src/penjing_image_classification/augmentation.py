"""One epoch of shifted and mirrored images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from penjing.contract import Split, Splits
from penjing.options import with_defaults

from penjing_image_classification import DOMAIN

DEFAULTS: dict[str, Any] = {"shift": 4, "mirror": True}
"""Options of the `[augment]` table: the farthest shift in pixels, and whether half of the images are mirrored."""
RANGES = {"shift": (0, 64)}


def augment(
    train: Split, splits: Splits, *, epoch: int, seed: int, options: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and classes in the order of the training part. What comes in at an edge is the mean colour, zero."""
    chosen = with_defaults(DOMAIN, "augment", options, DEFAULTS, RANGES)
    generator = np.random.default_rng((seed, epoch))
    x = np.asarray(train.x)
    shift, (count, height, width) = chosen["shift"], x.shape[:3]
    padded = np.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    down, across = generator.integers(0, 2 * shift + 1, (2, count))
    rows, columns = down[:, None] + np.arange(height), across[:, None] + np.arange(width)
    if chosen["mirror"]:
        turned = generator.random(count) < 0.5
        columns[turned] = columns[turned, ::-1]
    moved = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved, np.asarray(train.y)
