"""Files in the layouts and sizes of MedMNIST's 2D sets, drawn by a program: to see that any of them runs, and how long.

    python benchmarks/medmnist_layouts.py FOLDER pathmnist chestmnist retinamnist --size 28
    penjing medical-imaging run --data FOLDER/pathmnist.npz

What is drawn is no organ: each class is a smooth random field, more or less of it is added to fields that all classes
share, shifted and in noise. The counts, channels, tasks and shares of the classes are those of the published sets (Yang
et al. 2023); how well a network does on these files says nothing of how well it does on the real ones.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK_VALUES = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A set's counts."""

    parts: tuple[int, int, int]
    """Images of training, validation, test."""
    task: str
    classes: int
    colour: bool = False
    shares: tuple[float, ...] = ()
    """Of the classes, or of the images that have each label; () for equal ones."""


LAYOUTS = {
    "pathmnist": Layout(parts=(89_996, 10_004, 7_180), task="classification", classes=9, colour=True),
    "chestmnist": Layout(
        parts=(78_468, 11_219, 22_433),
        task="multilabel",
        classes=14,
        shares=(0.10, 0.025, 0.12, 0.18, 0.05, 0.06, 0.012, 0.047, 0.042, 0.02, 0.022, 0.015, 0.03, 0.002),
    ),
    "dermamnist": Layout(
        parts=(7_007, 1_003, 2_005),
        task="classification",
        classes=7,
        colour=True,
        shares=(0.033, 0.051, 0.110, 0.011, 0.111, 0.670, 0.014),
    ),
    "octmnist": Layout(
        parts=(97_477, 10_832, 1_000), task="classification", classes=4, shares=(0.34, 0.10, 0.08, 0.48)
    ),
    "pneumoniamnist": Layout(parts=(4_708, 524, 624), task="binary", classes=2, shares=(0.26, 0.74)),
    "retinamnist": Layout(
        parts=(1_080, 120, 400), task="ordinal", classes=5, colour=True, shares=(0.45, 0.12, 0.19, 0.18, 0.06)
    ),
    "breastmnist": Layout(parts=(546, 78, 156), task="binary", classes=2, shares=(0.27, 0.73)),
    "bloodmnist": Layout(parts=(11_959, 1_712, 3_421), task="classification", classes=8, colour=True),
    "tissuemnist": Layout(
        parts=(165_466, 23_640, 47_280),
        task="classification",
        classes=8,
        shares=(0.32, 0.05, 0.04, 0.09, 0.07, 0.05, 0.23, 0.15),
    ),
    "organamnist": Layout(parts=(34_561, 6_491, 17_778), task="classification", classes=11),
}
KEYS = ("train", "val", "test")


def draw(layout: Layout, *, size: int, seed: int = 0, share: float = 1.0) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Args:
        size: Pixels of a side.
        share: Of the images, where a smaller file will do.
    """
    generator = np.random.default_rng([seed, size, layout.classes])
    channels = 3 if layout.colour else 1
    fields = np.stack([_field(size, channels, generator) for _ in range(max(2, layout.classes) + 4)])
    made = {}
    for key, count in zip(KEYS, layout.parts, strict=True):
        count = max(4 * layout.classes, round(share * count))
        labels = _labels(layout, count, generator)
        images = np.empty((count, size, size, channels), np.uint8)
        block = max(1, BLOCK_VALUES // (size * size * channels))
        for start in range(0, count, block):
            rows = slice(start, start + block)
            images[rows] = _images(layout, labels[rows], fields, generator)
        made[f"{key}_images"] = images if layout.colour else images[..., 0]
        made[f"{key}_labels"] = (labels if labels.ndim == 2 else labels[:, None]).astype(np.uint8)
    return made


def _labels(layout: Layout, count: int, generator: np.random.Generator) -> np.ndarray:
    shares = np.array(layout.shares or [1.0] * layout.classes)
    if layout.task == "multilabel":
        labels = generator.random((count, layout.classes)) < shares
        labels[: layout.classes] |= np.eye(layout.classes, dtype=bool)
        return labels
    labels = generator.choice(layout.classes, count, p=shares / shares.sum())
    labels[: layout.classes] = np.arange(layout.classes)
    return labels


def _images(layout: Layout, labels: np.ndarray, fields: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """uint8 of shape (n, size, size, channels)."""
    if layout.task == "multilabel":
        weight = labels.astype(np.float32)
    elif layout.task == "ordinal":
        weight = np.zeros((len(labels), layout.classes), np.float32)
        weight[:, 0] = labels / (layout.classes - 1) * 1.5
    else:
        weight = np.eye(layout.classes, dtype=np.float32)[labels]
    weight = weight * generator.uniform(0.3, 1, weight.shape).astype(np.float32)
    shared = generator.normal(0, 1, (len(labels), 4)).astype(np.float32)
    images = np.tensordot(np.concatenate([weight, shared], axis=1), fields, axes=1)
    size = images.shape[1]
    for row, (down, right) in enumerate(generator.integers(-size // 8, size // 8 + 1, (len(images), 2))):
        images[row] = np.roll(images[row], (down, right), axis=(0, 1))
    images += generator.normal(0, 0.5, images.shape).astype(np.float32)
    return np.clip(127 + 40 * images, 0, 255).astype(np.uint8)


def _field(size: int, channels: int, generator: np.random.Generator) -> np.ndarray:
    """A smooth random field of spread 1, float32 of shape (size, size, channels)."""
    waves = generator.integers(1, 5, (6, 2))
    phases = generator.uniform(0, 2 * np.pi, 6)
    tint = generator.normal(0, 1, (6, channels))
    rows, columns = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    angle = 2 * np.pi * (waves[:, 0, None, None] * rows + waves[:, 1, None, None] * columns) + phases[:, None, None]
    field = np.tensordot(np.sin(angle), tint, axes=(0, 0))
    return (field / field.std()).astype(np.float32)


def main() -> None:
    """Write the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", choices=sorted(LAYOUTS))
    parser.add_argument("--size", type=int, default=28, choices=(28, 64, 128, 224))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.names:
        made = draw(LAYOUTS[name], size=given.size, seed=given.seed, share=given.share)
        suffix = "" if given.size == 28 else f"_{given.size}"
        path = given.folder / f"{name}{suffix}.npz"
        np.savez(path, **made)
        print(f"{path}: " + ", ".join(f"{key} {len(made[f'{key}_images']):,}" for key in KEYS))


if __name__ == "__main__":
    main()
