"""Images that `predict` can be tried on: synthetic, of nobody."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from penjing_datasets.lesion_images import generate_lesions

COUNT = 3


def write_examples(folder: Path, seed: int) -> list[str]:
    """A few synthetic images as PNG files, and their paths."""
    drawn = generate_lesions(patients=COUNT, seed=seed)
    paths = []
    for number, image in enumerate(drawn.images[:COUNT], start=1):
        paths.append(str(folder / f"synthetic-{number}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths
