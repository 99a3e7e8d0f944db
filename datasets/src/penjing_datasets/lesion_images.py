"""Synthetic images with lesions, in MedMNIST's layout: for trying things out without any real image.

What is drawn is no organ: two dark fields in a bright body, ribs, vessels; in half of the images a bright blob, the
"lesion". Patients differ in build, and each has several images; devices differ in exposure and noise; some images have
artefacts (a letter-like mark, a cable) that are bright too and say nothing of the lesion.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

LABELS = ("no lesion", "lesion")


@dataclass(frozen=True, kw_only=True)
class LesionImages:
    """A synthetic set."""

    images: np.ndarray
    """uint8 of shape (n, size, size)."""
    labels: np.ndarray
    """int64 of shape (n,): 1 where there is a lesion."""
    patients: np.ndarray
    """str of shape (n,)."""
    artefacts: np.ndarray
    """'none', 'mark' or 'cable', str of shape (n,)."""
    sizes: np.ndarray
    """Of the lesion: 'none', 'small' or 'large', str of shape (n,)."""
    sha256: str


def generate_lesions(*, patients: int = 300, seed: int = 0, size: int = 28) -> LesionImages:
    """Draw two to six images of each patient. Equal arguments give equal images."""
    generator = np.random.default_rng([seed, patients, size])
    drawn, labels, names, artefacts, sizes = [], [], [], [], []
    for patient in range(patients):
        build = generator.normal(0, 1, 8)
        ill = generator.random() < 0.5
        for _ in range(int(generator.integers(2, 7))):
            lesion = ill and generator.random() < 0.9
            image, kind, extent = _draw(build, lesion, size, generator)
            drawn.append(image)
            labels.append(int(lesion))
            names.append(f"synthetic patient {patient + 1}")
            artefacts.append(kind)
            sizes.append(extent)
    images = np.stack(drawn)
    digest = hashlib.sha256(images.tobytes())
    digest.update(bytes(labels))
    return LesionImages(
        images=images,
        labels=np.array(labels, np.int64),
        patients=np.array(names),
        artefacts=np.array(artefacts),
        sizes=np.array(sizes),
        sha256=digest.hexdigest(),
    )


def _draw(build: np.ndarray, lesion: bool, size: int, generator: np.random.Generator) -> tuple[np.ndarray, str, str]:
    # Drawn twice as fine, then averaged: edges are as soft as a detector's.
    side = 2 * size
    rows, columns = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    down, right = generator.normal(0, 0.04, 2)
    rows, columns = rows - down, columns - right
    body = 0.55 + 0.1 * np.exp(-np.square(columns / 0.25))
    depth = np.zeros_like(body)
    centres = []
    for way in (-1, 1):
        middle = way * (0.42 + 0.03 * build[0])
        wide, tall = 0.27 + 0.02 * build[1], 0.58 + 0.04 * build[2]
        field = np.square((columns - middle) / wide) + np.square((rows + 0.05) / tall)
        depth = np.maximum(depth, 1 / (1 + np.exp(10 * (field - 1))))
        centres.append((middle, wide, tall))
    image = body - (0.33 + 0.03 * build[3]) * depth
    ribs = np.sin((rows + 0.25 * np.square(columns)) * (13 + build[4]) + build[5])
    image = image + 0.035 * np.maximum(ribs, 0) * (np.abs(columns) < 0.8)
    image = image + _smooth(generator, side, 5) * 0.05 * depth
    extent = "none"
    if lesion:
        middle, wide, tall = centres[int(generator.integers(2))]
        radius = generator.uniform(0.08, 0.24)
        extent = "small" if radius < 0.14 else "large"
        angle, reach = generator.uniform(0, 2 * np.pi), np.sqrt(generator.uniform(0, 0.6))
        x, y = middle + reach * wide * np.cos(angle), -0.05 + reach * tall * np.sin(angle)
        shape = np.square((columns - x) / radius) + np.square((rows - y) / (radius * generator.uniform(0.7, 1.3)))
        shape = shape * (1 + 0.3 * _smooth(generator, side, 4))
        image = image + generator.uniform(0.12, 0.28) * np.exp(-shape)
    kind = str(generator.choice(["none", "mark", "cable"], p=[0.7, 0.15, 0.15]))
    if kind == "mark":
        top, left = (int(value) for value in generator.integers(1, max(2, side // 6), 2))
        image[top : top + side // 10, left : left + side // 12] = 0.95
    elif kind == "cable":
        bend = generator.uniform(-0.6, 0.6) + generator.uniform(-0.4, 0.4) * rows
        image = image + 0.2 * np.exp(-np.square((columns - bend) / 0.025))
    image = image.reshape(size, 2, size, 2).mean(axis=(1, 3))
    image = np.clip(image, 0, 1) ** generator.uniform(0.8, 1.25) * generator.uniform(0.85, 1.15)
    image = image + generator.normal(0, generator.uniform(0.005, 0.03), image.shape)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), kind, extent


def _smooth(generator: np.random.Generator, side: int, knots: int) -> np.ndarray:
    """A random field that changes slowly: normal numbers at a few knots, linear between them."""
    values = generator.normal(0, 1, (knots, knots))
    places, at = np.linspace(0, 1, knots), np.linspace(0, 1, side)
    across = np.stack([np.interp(at, places, row) for row in values])
    return np.stack([np.interp(at, places, across[:, column]) for column in range(side)], axis=1)
