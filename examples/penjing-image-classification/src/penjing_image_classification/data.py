"""The parts: test as the collection has it, validation cut from its training part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError, RecipeError
from penjing.options import with_defaults

from penjing_image_classification import DOMAIN
from penjing_image_classification.collection import Collection
from penjing_image_classification.images import preprocess
from penjing_image_classification.reading import read_collection
from penjing_image_classification.shapes import generate

DEFAULTS: dict[str, Any] = {"size": 32, "channels": 3, "sample": 1_500, "validation_share": 0.1}
"""Options of the `[data]` table: pixels and channels (1 or 3) of an image, images of the built-in sample, and the share
of the training part that is kept for validation. Where size and channels are not given, these are of image files only:
other collections keep their own."""
RANGES = {"size": (8, 512), "channels": (1, 3), "sample": (60, 100_000), "validation_share": (0.02, 0.5)}


def load_data(request: DataRequest) -> Splits:
    """Images of a collection, or of the built-in sample where no path is given.

    Raises:
        DataError: The collection cannot be used; says where and why.
        RecipeError: An option is unknown or out of range.
    """
    options = with_defaults(DOMAIN, "data", request.options, DEFAULTS, RANGES)
    if options["channels"] == 2:
        raise RecipeError(
            "option 'channels' in [data] cannot be 2", where=f"domain {DOMAIN}", hint="1 is grey, 3 is colour"
        )
    if request.path is None:
        found = generate(request.seed, options["sample"])
    else:
        found = read_collection(request.path, options["size"], options["channels"])
    found = found.rescaled(*(options[name] if name in request.options else None for name in ("size", "channels")))
    train = found.images["train"]
    order = np.random.default_rng((request.seed, 7)).permutation(len(train))
    held_out = max(len(found.labels), round(options["validation_share"] * len(train)))
    if held_out >= len(train):
        raise DataError(
            f"{len(train):,} images are too few for a training part",
            where=found.source,
            why=f"{held_out:,} are kept for validation, one for each class at least",
        )
    rows = {"validation": np.sort(order[:held_out]), "train": np.sort(order[held_out:])}
    # Only the training part may decide anything. Summed as integers, so that the order does not matter.
    pixels = train[rows["train"]]
    mean = pixels.mean(axis=(0, 1, 2), dtype=np.float64)
    deviation = np.maximum(pixels.std(axis=(0, 1, 2), dtype=np.float64), 1.0)
    parameters = {
        "size": int(train.shape[1]),
        "mean": [round(float(value), 4) for value in mean],
        "deviation": [round(float(value), 4) for value in deviation],
    }

    def part(name: str) -> Split:
        place = "test" if name == "test" else "train"
        chosen = np.arange(len(found.images["test"])) if name == "test" else rows[name]
        images, classes = found.images[place][chosen], found.classes[place][chosen]
        return Split(
            x=preprocess(images, parameters),
            y=classes,
            ids=[f"{place} {row}" for row in chosen],
            slices={"class": np.array(found.labels)[classes]},
            raw=images,
        )

    return Splits(
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        source=found.source,
        sha256=_hash(found),
        synthetic=found.synthetic,
        labels=found.labels,
        preprocessing=parameters,
        input_meaning=f"image of {train.shape[1]} x {train.shape[2]} pixels, in standard deviations",
        output_meaning="probability of each class",
    )


def write_examples(folder: Path, seed: int) -> list[str]:
    """A few images as PNG files for `predict`, and their paths."""
    from PIL import Image

    paths = []
    for number, image in enumerate(generate(seed, 60).images["train"][:3]):
        paths.append(str(folder / f"shape-{number}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths


def _hash(found: Collection) -> str:
    digest = hashlib.sha256(repr(found.labels).encode())
    for part in ("train", "test"):
        digest.update(np.ascontiguousarray(found.images[part]))
        digest.update(np.ascontiguousarray(found.classes[part]))
    return digest.hexdigest()
