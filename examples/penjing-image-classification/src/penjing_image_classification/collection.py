"""Images with their classes, in the parts that they came in: what every reader of a collection makes."""

from __future__ import annotations

import dataclasses

import numpy as np
from penjing.errors import DataError

from penjing_image_classification.images import rescale

PARTS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Collection:
    """A training and a test part."""

    images: dict[str, np.ndarray]
    """uint8 of shape (n, size, size, channels), by part."""
    classes: dict[str, np.ndarray]
    """int64 of shape (n,), by part."""
    labels: tuple[str, ...]
    source: str
    synthetic: bool = False

    def rescaled(self, size: int | None, channels: int | None) -> Collection:
        """The same with images of `size` pixels, grey (1 channel) or in colour (3); None keeps what they have.

        Raises:
            DataError: The images are not square, and no size is given.
        """
        height, width, depth = self.images["train"].shape[1:]
        if size is None and height != width:
            raise DataError(
                f"the images have {height} x {width} pixels and are not square",
                where=self.source,
                hint="say to what they are scaled: --set data.size=32",
            )
        wanted = (size or height, channels or depth)
        return dataclasses.replace(self, images={part: rescale(self.images[part], *wanted) for part in PARTS})
