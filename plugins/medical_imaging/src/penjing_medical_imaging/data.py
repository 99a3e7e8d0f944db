"""Load images, keep patients apart, report copies, and make the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError, RecipeError
from penjing.options import with_defaults
from penjing_datasets.errors import DatasetError
from penjing_datasets.splits import PARTS
from penjing_medical_imaging import DOMAIN
from penjing_medical_imaging.abstention import Familiarity
from penjing_medical_imaging.examples import TASKS, Examples, check_parts
from penjing_medical_imaging.inputs import LEAST_SPREAD, NORMALISATIONS, Inputs
from penjing_medical_imaging.sources import read_examples
from penjing_medical_imaging.splitting import parts_of

DEFAULTS: dict[str, Any] = {
    "task": "auto",
    "positive": "",
    "size": 0,
    "channels": 0,
    "fit": "crop",
    "normalise": "training",
    "validation_share": 0.15,
    "test_share": 0.2,
    "drop_copies": False,
    "most_train": 40_000,
    "most_validation": 5_000,
    "max_broken_share": 0.05,
    "prevalence": 0.1,
    "familiar_share": 0.99,
    "patients": 300,
}
"""Options of the `[data]` table. `size = 0` keeps images up to 48 pixels as they are and brings larger ones to 64;
`task = "auto"` goes by the set's name, else by the labels; `prevalence` is that of the predictive values;
`familiar_share` of the validation images are not to be flagged; `drop_copies` takes images out of training that also
stand in another part of a given split; a larger training part than `most_train`, or validation part than
`most_validation`, is thinned; `patients` is the size of the built-in sample."""
RANGES = {
    "size": (0, 512),
    "channels": (0, 3),
    "validation_share": (0.02, 0.45),
    "test_share": (0.02, 0.45),
    "most_train": (100, 10_000_000),
    "most_validation": (100, 10_000_000),
    "max_broken_share": (0, 1),
    "prevalence": (0.000001, 0.999999),
    "familiar_share": (0.5, 1),
    "patients": (12, 20_000),
}
SMALLEST = 8
"""Pixels of a side; smaller images show nothing."""
_CHOICES = {
    "task": ("auto", *TASKS),
    "fit": ("crop", "pad", "stretch"),
    "normalise": NORMALISATIONS,
    "channels": (0, 1, 3),
}


def load_data(request: DataRequest) -> Splits:
    """Images of a MedMNIST .npz file or a folder, or of the built-in synthetic sample where no path is given.

    Raises:
        DataError: The data cannot be read, has one class only, or its split shares patients.
        RecipeError: An option is unknown or out of range.
    """
    options = with_defaults(DOMAIN, "data", request.options, DEFAULTS, RANGES)
    for name, choices in _CHOICES.items():
        if options[name] not in choices:
            raise RecipeError(
                f"option '{name}' in [data] cannot be {options[name]!r}",
                where=f"domain {DOMAIN}",
                hint="one of " + ", ".join(map(str, choices)),
            )
    if 0 < options["size"] < 14:
        raise RecipeError("option 'size' in [data] cannot be below 14", where=f"domain {DOMAIN}")
    try:
        examples = read_examples(request, options)
        parts, notes = parts_of(examples, request.seed, options)
    except DatasetError as error:
        raise DataError(error.what, where=error.where, why=error.why, hint=error.hint) from error
    examples.notes.extend(notes)
    return _splits(examples, parts, options, request.seed)


def _splits(examples: Examples, parts: np.ndarray, options: Mapping[str, Any], seed: int) -> Splits:
    size = examples.images.shape[1]
    if size < SMALLEST:
        raise DataError(
            f"images of {size} x {size} pixels are too small",
            where=examples.source,
            hint=f"at least {SMALLEST} pixels a side; size in [data] enlarges them",
        )
    notes = [*examples.notes, *check_parts(examples, parts)]
    parts = parts.copy()
    for part, word in (("train", "training"), ("validation", "validation")):
        own, most = np.flatnonzero(parts == part), options[f"most_{part}"]
        if len(own) > most:
            drawn = np.random.default_rng([seed, len(own)]).permutation(len(own))[:most]
            notes.append(f"of {len(own):,} {word} images {most:,} were drawn (most_{part})")
            parts[np.delete(own, drawn)] = ""
    rows = {part: np.flatnonzero(parts == part) for part in PARTS}
    raw = {name: examples.images[chosen] for name, chosen in rows.items()}
    inputs = Inputs.fitted(raw["train"], fit=options["fit"], normalise=options["normalise"])
    if max(inputs.spread) <= LEAST_SPREAD:
        raise DataError(
            "all training images are of one grey",
            where=examples.source,
            why="there is nothing to learn from",
            hint="were the images divided before they were stored as bytes?",
        )
    familiarity = Familiarity.fitted(raw["train"], raw["validation"], share=options["familiar_share"])
    columns = {"brightness": _brightness(examples.images, rows["train"]), **examples.slices}

    def part(name: str) -> Split:
        chosen = rows[name]
        return Split(
            x=inputs.normalised(raw[name]),
            y=examples.y[chosen],
            ids=[examples.ids[row] for row in chosen],
            groups=None if examples.groups is None else examples.groups[chosen],
            slices={column: values[chosen] for column, values in columns.items()},
            raw=raw[name],
        )

    grey = "grey" if inputs.channels == 1 else "colour"
    return Splits(
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        source=examples.source,
        sha256=examples.sha256,
        synthetic=examples.synthetic,
        labels=examples.labels,
        preprocessing={**inputs.to_json(), "familiarity": familiarity.to_json(), "prevalence": options["prevalence"]},
        input_meaning=f"{grey} image, {inputs.size} x {inputs.size} pixels, normalised by {inputs.normalise}",
        output_meaning={
            "binary": f"probability of '{examples.labels[1]}'",
            "multilabel": "probability of each label, which do not exclude each other",
        }.get(examples.task, "probability of each class"),
        notes=tuple(notes),
        extra={
            "inputs": inputs,
            "familiarity": familiarity,
            "prevalence": options["prevalence"],
            "any_orientation": examples.any_orientation,
        },
        task=examples.task,  # type: ignore[arg-type]
        slices=tuple(examples.slices),
    )


def _brightness(images: np.ndarray, train_rows: np.ndarray) -> np.ndarray:
    """'dark', 'middle' or 'bright': thirds of the training part by the image's mean, str of shape (n,)."""
    mean = np.array([image.mean(dtype=np.float64) for image in images])
    return np.array(["dark", "middle", "bright"])[np.digitize(mean, np.quantile(mean[train_rows], [1 / 3, 2 / 3]))]
