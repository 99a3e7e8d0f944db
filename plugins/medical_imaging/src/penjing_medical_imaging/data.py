"""Load images, keep patients apart, report copies, and make the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError, RecipeError
from penjing.options import with_defaults
from penjing_datasets.duplicates import content_hashes, copies_across
from penjing_datasets.errors import DatasetError
from penjing_datasets.image_collections import read_images
from penjing_datasets.lesion_images import LABELS, generate_lesions
from penjing_datasets.medmnist import MedMnist, read_medmnist
from penjing_datasets.splits import PARTS, refuse_overlap, split_by_class, split_by_group
from penjing_medical_imaging import DOMAIN
from penjing_medical_imaging.abstention import Familiarity
from penjing_medical_imaging.examples import TASKS, Examples, check_parts, numbered
from penjing_medical_imaging.inputs import NORMALISATIONS, Inputs, unit

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
    "max_broken_share": 0.05,
    "prevalence": 0.1,
    "familiar_share": 0.99,
    "patients": 300,
}
"""Options of the `[data]` table. `size = 0` keeps images up to 48 pixels as they are and brings larger ones to 64;
`task = "auto"` goes by the set's name, else by the labels; `prevalence` is that of the predictive values; `familiar_share`
of the validation images are not to be flagged; `drop_copies` takes images out of training that also stand in another part
of a given split; a larger training part than `most_train` is thinned; `patients` is the size of the built-in sample."""
RANGES = {
    "size": (0, 512),
    "channels": (0, 3),
    "validation_share": (0.02, 0.45),
    "test_share": (0.02, 0.45),
    "most_train": (100, 10_000_000),
    "max_broken_share": (0, 1),
    "prevalence": (0.000001, 0.999999),
    "familiar_share": (0.5, 1),
    "patients": (12, 20_000),
}
KEPT_SIZE, LARGE_SIZE = 48, 64
_CHOICES = {"task": ("auto", *TASKS), "fit": ("crop", "pad", "stretch"), "normalise": NORMALISATIONS, "channels": (0, 1, 3)}


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
        examples = _examples(request, options)
        parts, notes = _parts(examples, request, options)
    except DatasetError as error:
        raise DataError(error.what, where=error.where, why=error.why, hint=error.hint) from error
    examples.notes.extend(notes)
    return _splits(examples, parts, options, request.seed)


def _examples(request: DataRequest, options: Mapping[str, Any]) -> Examples:
    path = request.path
    if path is None:
        return _sample(request.seed, options)
    if not path.exists():
        raise DatasetError("there is no such file or folder", where=str(path))
    if path.is_dir():
        inside = sorted(path.glob("*.npz"))
        if len(inside) == 1 and not any(entry.is_dir() for entry in path.iterdir()):
            return _medmnist(inside[0], options, request)
        if len(inside) > 1:
            raise DatasetError(
                f"there are {len(inside)} .npz files", where=str(path), hint="name one: --data " + str(inside[0])
            )
        return _collection(path, options, request)
    if path.suffix.lower() == ".npz":
        return _medmnist(path, options, request)
    raise DatasetError(
        "this is neither a folder nor a .npz file",
        where=str(path),
        hint="a MedMNIST .npz file, or a folder of images; pickles (.npy, .pkl) are not opened",
    )


def _target_size(options: Mapping[str, Any], own: int) -> int:
    return options["size"] or (own if own <= KEPT_SIZE else min(own, LARGE_SIZE))


def _sample(seed: int, options: Mapping[str, Any]) -> Examples:
    made = generate_lesions(patients=options["patients"], seed=seed, size=options["size"] or 28)
    return Examples(
        images=made.images[..., None],
        y=made.labels,
        labels=LABELS,
        task="binary",
        parts=None,
        groups=made.patients,
        ids=[f"synthetic image {number}" for number in range(1, len(made.images) + 1)],
        hashes=content_hashes(made.images),
        slices={"artefact": made.artefacts},
        source=f"built-in sample, {options['patients']:,} synthetic patients",
        sha256=made.sha256,
        synthetic=True,
        notes=["Synthetic images, drawn by a program; they show no organ of any person."],
    )


def _medmnist(path: Path, options: Mapping[str, Any], request: DataRequest) -> Examples:
    read = read_medmnist(path, size=lambda own: _target_size(options, own), progress=request.progress)
    y, labels, task, notes = _medmnist_labels(read, options)
    own = read.original_size
    size = read.images["train"].shape[1]
    if size != own:
        notes.append(f"images of {own} x {own} pixels were brought to {size} x {size}")
    images = np.concatenate([read.images[part] for part in PARTS])
    if options["channels"] and options["channels"] != images.shape[3]:
        images = _rechannelled(images, options["channels"])
    notes.append(
        "the set names no patients: it cannot be known whether images of one patient stand in several parts, in which "
        "case the figures would be too good for new patients"
    )
    return Examples(
        images=images,
        y=y,
        labels=labels,
        task=task,
        parts=np.concatenate([np.full(len(read.images[part]), part) for part in PARTS]),
        groups=None,
        ids=[f"{part} {number}" for part in PARTS for number in range(len(read.images[part]))],
        hashes=content_hashes(images),
        slices={},
        source=read.name,
        sha256=read.sha256,
        any_orientation=bool(read.known and read.known.any_orientation),
        official=True,
        notes=notes,
    )


def _rechannelled(images: np.ndarray, channels: int) -> np.ndarray:
    from penjing_datasets.images import with_channels

    return np.stack([np.rint(with_channels(image.astype(np.float32), channels)).astype(np.uint8) for image in images])


def _medmnist_labels(read: MedMnist, options: Mapping[str, Any]) -> tuple[np.ndarray, tuple[str, ...], str, list[str]]:
    """(y, labels, task, notes) of a file."""
    y = np.concatenate([read.labels[part] for part in PARTS])
    known, task, notes = read.known, options["task"], []
    if y.ndim == 2:
        if task not in ("auto", "multilabel"):
            raise DataError(f"task = '{task}' does not fit several labels an image", where=read.name)
        labels = known.labels if known else tuple(f"label {number}" for number in range(y.shape[1]))
        return y, labels, "multilabel", notes
    count = int(y.max()) + 1
    if len(np.unique(y)) < 2:
        raise DataError(f"there is one class only, {y[0]}", where=read.name, why="there is nothing to tell apart")
    if task == "multilabel":
        raise DataError("task = 'multilabel' needs several labels an image", where=read.name)
    if task == "auto":
        task = known.task if known else ("binary" if count == 2 else "classification")
        if known is None and count > 2:
            notes.append(
                "the file's name is of no published set: its classes are taken as unordered (task = 'ordinal' orders them)"
            )
    if task == "binary" and count != 2:
        raise DataError(f"task = 'binary' needs two classes, there are {count}", where=read.name)
    labels = known.labels if known else tuple(f"class {number}" for number in range(count))
    if options["positive"]:
        if task != "binary" or options["positive"] not in labels:
            raise RecipeError(
                f"positive = '{options['positive']}' is no class of two", where="[data]", hint=", ".join(labels)
            )
        if options["positive"] == labels[0]:
            y, labels = 1 - y, labels[::-1]
    return y, labels, task, notes


def _collection(path: Path, options: Mapping[str, Any], request: DataRequest) -> Examples:
    read = read_images(
        path,
        size=lambda own: _target_size(options, own),
        fit=options["fit"],
        channels=options["channels"],
        max_broken_share=options["max_broken_share"],
        progress=request.progress,
    )
    y, labels, task = numbered(read.labels, options["task"], options["positive"], path.resolve().name)
    notes = list(read.notes)
    if read.patients is None:
        notes.append(
            "no patient is known (a column patient in labels.csv would tell): it cannot be known whether images of one "
            "patient stand in several parts, in which case the figures would be too good for new patients"
        )
    elif read.unknown_patients:
        notes.append(f"{read.unknown_patients:,} images name no patient and were taken as patients of their own")
    return Examples(
        images=read.images,
        y=y,
        labels=labels,
        task=task,
        parts=read.parts,
        groups=read.patients,
        ids=read.ids,
        hashes=read.hashes,
        slices=dict(read.slices),
        source=path.resolve().name,
        sha256=read.sha256,
        notes=notes,
    )


def _parts(examples: Examples, request: DataRequest, options: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Part of each image, '' for those that are left out, and what was decided."""
    notes: list[str] = []
    shares = {
        "train": 1 - options["validation_share"] - options["test_share"],
        "validation": options["validation_share"],
        "test": options["test_share"],
    }
    names = examples.y.astype(int).astype(str) if examples.y.ndim == 1 else np.array(
        ["".join(map(str, row.astype(int))) for row in examples.y]
    )  # fmt: skip
    if examples.parts is not None:
        parts = examples.parts.copy()
        if examples.groups is not None:
            refuse_overlap(parts, examples.groups, "patient")
            notes.append("the split is the set's own, checked to share no patient")
        parts, about = _report_copies(examples, parts, names, options["drop_copies"])
        notes += about
    elif examples.groups is not None:
        groups = _together(examples.groups, examples.hashes)
        count = len(set(groups))
        if count < len(PARTS):
            raise DataError(
                f"there are images of {count} patient{'s' if count > 1 else ''} only",
                where=examples.source,
                why="training, validation and test each need patients of their own (those who share a picture count as one)",
                hint="collect from more patients; figures on the patients of the training part say nothing of new ones",
            )
        parts = _by_patient(groups, names, request.seed, shares)
        notes.append(f"split by patient: {count:,} patients, each in one part")
    else:
        first = dict(reversed(list(zip(examples.hashes, names, strict=True))))
        unique = list(dict.fromkeys(examples.hashes))
        assigned = dict(
            zip(unique, split_by_class([first[key] for key in unique], unique, seed=request.seed, shares=shares), strict=True)
        )
        parts = np.array([assigned[key] for key in examples.hashes])
        notes.append("split by class, single images; copies of an image stand in one part")
    copies = len(examples.hashes) - len(set(examples.hashes))
    if copies and examples.parts is None:
        notes.append(f"{copies:,} images are exact copies of others; copies stand in one part")
    return parts, notes


def _by_patient(groups: np.ndarray, names: np.ndarray, seed: int, shares: Mapping[str, float]) -> np.ndarray:
    """Whole patients to parts, those of each class alike: a patient counts to the rarest class of his images, so that a
    rare class comes into every part."""
    values, counts = np.unique(names, return_counts=True)
    rarity = dict(zip(values, counts, strict=True))
    stratum: dict[str, str] = {}
    for group, name in zip(groups, names, strict=True):
        known = stratum.get(group)
        if known is None or (rarity[name], name) < (rarity[known], known):
            stratum[group] = name
    sizes = {name: sum(value == name for value in stratum.values()) for name in set(stratum.values())}
    # Fewer than three patients cannot be in three parts: such classes are split together.
    of = np.array([stratum[group] if sizes[stratum[group]] >= len(PARTS) else "few" for group in groups])
    if len(set(groups[of == "few"])) < len(PARTS):
        of[of == "few"] = max(sizes, key=lambda name: (sizes[name], name))
    parts = np.empty(len(groups), dtype="<U10")
    for name in np.unique(of):
        rows = of == name
        parts[rows] = split_by_group(groups[rows], seed=seed, shares=shares)
    return parts


def _together(groups: np.ndarray, hashes: list[str]) -> np.ndarray:
    """Groups joined where they share an image: one picture under two patients must not stand in two parts."""
    parent = {str(group): str(group) for group in groups}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    owner: dict[str, str] = {}
    for group, content in zip(map(str, groups), hashes, strict=True):
        one, other = root(owner.setdefault(content, group)), root(group)
        if one != other:
            parent[max(one, other)] = min(one, other)
    return np.array([root(str(group)) for group in groups])


def _report_copies(
    examples: Examples, parts: np.ndarray, names: np.ndarray, drop: bool
) -> tuple[np.ndarray, list[str]]:
    hashes = {part: [h for h, p in zip(examples.hashes, parts, strict=True) if p == part] for part in PARTS}
    labels = {part: [n for n, p in zip(names, parts, strict=True) if p == part] for part in PARTS}
    notes = []
    for found in copies_across(hashes, labels):
        text = f"{found.count:,} images stand in {found.first} and, pixel for pixel, in {found.second} too"
        if found.contradictory:
            text += f", {found.contradictory:,} of them with another label"
        if not drop:
            text += "; the split is kept as it was given" + (" (drop_copies = true takes them out of training)" * (found.first == "train"))
        notes.append(text)
    if drop:
        elsewhere = {*hashes["validation"], *hashes["test"]}
        leave = np.array([part == "train" and key in elsewhere for part, key in zip(parts, examples.hashes, strict=True)])
        if leave.any():
            parts = np.where(leave, "", parts)
            notes.append(f"{int(leave.sum()):,} images were taken out of training, of which validation or test has a copy")
    inner = len(hashes["train"]) - len(set(hashes["train"]))
    if inner:
        notes.append(f"{inner:,} training images are exact copies of other training images; they are kept")
    return parts, notes


def _splits(examples: Examples, parts: np.ndarray, options: Mapping[str, Any], seed: int) -> Splits:
    notes = [*examples.notes, *check_parts(examples, parts)]
    train_rows = np.flatnonzero(parts == "train")
    if len(train_rows) > options["most_train"]:
        drawn = np.random.default_rng([seed, len(train_rows)]).permutation(len(train_rows))[: options["most_train"]]
        notes.append(f"of {len(train_rows):,} training images {options['most_train']:,} were drawn (most_train)")
        parts = parts.copy()
        parts[np.delete(train_rows, drawn)] = ""
    rows = {part: np.flatnonzero(parts == part) for part in PARTS}
    training = unit(examples.images[rows["train"]])
    inputs = Inputs.fitted(training, fit=options["fit"], normalise=options["normalise"])
    familiarity = Familiarity.fitted(
        training, unit(examples.images[rows["validation"]]), share=options["familiar_share"]
    )
    columns = {"brightness": _brightness(examples.images, rows["train"]), **examples.slices}

    def part(name: str) -> Split:
        chosen = rows[name]
        return Split(
            x=inputs.normalised(unit(examples.images[chosen])),
            y=examples.y[chosen],
            ids=[examples.ids[row] for row in chosen],
            groups=None if examples.groups is None else examples.groups[chosen],
            slices={column: values[chosen] for column, values in columns.items()},
            raw=examples.images[chosen],
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


