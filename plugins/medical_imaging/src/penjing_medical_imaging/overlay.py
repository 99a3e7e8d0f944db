"""A heat map drawn over its image, as PNG."""

from __future__ import annotations

import io

import numpy as np

from penjing_datasets.images import scaled, with_channels

SIDE = 448
_COLOURS = np.array(
    [[0.05, 0.03, 0.35], [0.47, 0.11, 0.43], [0.80, 0.28, 0.29], [0.96, 0.57, 0.14], [0.99, 0.95, 0.60]], np.float32
)
"""From little to much: dark blue over purple, red and orange to yellow; lightness rises steadily, also for the colour
blind and in grey print."""


def drawn_over(image: np.ndarray, heat: np.ndarray, side: int = SIDE) -> bytes:
    """The image with the places that speak for the finding coloured; what speaks against it stays as it is.

    Args:
        image: (height, width, channels) from 0 to 1, square.
        heat: (rows, columns), any unit; 0 and below is no evidence.
        side: Pixels of the PNG.
    """
    from PIL import Image

    ground = with_channels(scaled(image, side), 3)
    strength = np.maximum(heat, 0) / max(float(heat.max()), 1e-9)
    strength = np.clip(scaled(strength[..., None].astype(np.float32), side), 0, 1)
    place = strength[..., 0] * (len(_COLOURS) - 1)
    low = np.minimum(place.astype(int), len(_COLOURS) - 2)
    colour = _COLOURS[low] + (_COLOURS[low + 1] - _COLOURS[low]) * (place - low)[..., None]
    shown = ground * (1 - 0.55 * strength) + colour * 0.55 * strength
    buffer = io.BytesIO()
    Image.fromarray(np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def as_png(image: np.ndarray, side: int) -> bytes:
    """An image from 0 to 1, (height, width, channels), as PNG without smoothing, so that its pixels can be seen."""
    from PIL import Image

    values = np.rint(np.clip(with_channels(image, 3), 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).resize((side, side), Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
