"""The built-in sample: drawn shapes."""

from __future__ import annotations

import numpy as np

from penjing_image_classification.collection import Collection

LABELS = ("disc", "ring", "square", "cross")


def generate(seed: int, count: int, size: int = 16) -> Collection:
    """Shapes of any colour, place and size before a noisy ground: colour alone tells nothing.

    Args:
        count: Images of the training part; the test part has a third as many.
    """
    images, classes = {}, {}
    for number, (part, n) in enumerate((("train", count), ("test", count // 3))):
        generator = np.random.default_rng((seed, number))
        classes[part] = generator.integers(0, len(LABELS), n)
        images[part] = np.stack([_drawn(generator, LABELS[kind], size) for kind in classes[part]])
    return Collection(images, classes, LABELS, f"built-in sample, {count:,} drawn shapes", synthetic=True)


def _drawn(generator: np.random.Generator, kind: str, size: int) -> np.ndarray:
    radius = generator.uniform(0.2, 0.33) * size
    x, y = (np.arange(size) - generator.uniform(radius, size - 1 - radius) for _ in range(2))
    across, down = np.abs(x)[None], np.abs(y)[:, None]
    distance = np.sqrt(across**2 + down**2)
    inside = {
        "disc": distance < radius,
        "ring": (distance < radius) & (distance > 0.55 * radius),
        "square": np.maximum(across, down) < 0.85 * radius,
        "cross": (np.minimum(across, down) < 0.3 * radius) & (np.maximum(across, down) < radius),
    }[kind]
    colours = generator.uniform(0, 255, (2, 3))
    while np.abs(colours[0] - colours[1]).max() < 90:
        colours = generator.uniform(0, 255, (2, 3))
    image = np.where(inside[..., None], colours[0], colours[1]) + generator.normal(0, 25, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)
