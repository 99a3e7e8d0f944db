"""Which image is in which part: patients kept apart, copies kept together, and both said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penjing.errors import DataError
from penjing_datasets.duplicates import copies_across
from penjing_datasets.splits import PARTS, refuse_overlap, split_by_class, split_by_group
from penjing_medical_imaging.examples import Examples


def parts_of(examples: Examples, seed: int, options: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Part of each image, '' for those that are left out, and what was decided.

    Raises:
        DataError: There are too few patients.
        DatasetError: A given split shares patients.
    """
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
        if set(parts) == {"train", "test"}:
            parts = _with_validation(examples, parts, names, seed, options["validation_share"])
            notes.append("the given split has no validation part: one was drawn from training")
        parts, about = _report_copies(examples, parts, names, options["drop_copies"])
        notes += about
    elif examples.groups is not None:
        groups = _together(examples.groups, examples.hashes)
        count = len(set(groups))
        if count < len(PARTS):
            raise DataError(
                f"there are images of {count} patient{'s' if count > 1 else ''} only",
                where=examples.source,
                why="training, validation and test each need patients of their own (who share a picture count as one)",
                hint="collect from more patients; figures on the patients of the training part say nothing of new ones",
            )
        parts = _by_patient(groups, names, seed, shares)
        notes.append(f"split by patient: {count:,} patients, each in one part")
    else:
        first = dict(reversed(list(zip(examples.hashes, names, strict=True))))
        unique = list(dict.fromkeys(examples.hashes))
        assigned = dict(
            zip(
                unique,
                split_by_class([first[key] for key in unique], unique, seed=seed, shares=shares),
                strict=True,
            )
        )
        parts = np.array([assigned[key] for key in examples.hashes])
        notes.append("split by class, single images; copies of an image stand in one part")
    copies = len(examples.hashes) - len(set(examples.hashes))
    if copies and examples.parts is None:
        notes.append(f"{copies:,} images are exact copies of others; copies stand in one part")
    return parts, notes


def _with_validation(examples: Examples, parts: np.ndarray, names: np.ndarray, seed: int, share: float) -> np.ndarray:
    """A validation part out of training: whole patients where they are known, else copies of an image together."""
    rows = np.flatnonzero(parts == "train")
    hashes = [examples.hashes[row] for row in rows]
    groups = _together(np.array(hashes) if examples.groups is None else examples.groups[rows], hashes)
    if len(set(groups)) < len(PARTS):
        raise DataError(
            "the given split has no validation part, and training is too small to draw one from",
            where=examples.source,
            hint="give training, validation and test",
        )
    shares = {"train": 1 - share, "validation": share / 2, "test": share / 2}
    drawn = _by_patient(groups, names[rows], seed, shares)
    made = parts.astype("<U10")
    made[rows] = np.where(drawn == "train", "train", "validation")
    return made


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
            text += "; the split is kept as it was given" + (
                " (drop_copies = true takes them out of training)" * (found.first == "train")
            )
        notes.append(text)
    if drop:
        elsewhere = {*hashes["validation"], *hashes["test"]}
        leave = np.array(
            [part == "train" and key in elsewhere for part, key in zip(parts, examples.hashes, strict=True)]
        )
        if leave.any():
            parts = np.where(leave, "", parts)
            notes.append(
                f"{int(leave.sum()):,} images were taken out of training, of which validation or test has a copy"
            )
    inner = len(hashes["train"]) - len(set(hashes["train"]))
    if inner:
        notes.append(f"{inner:,} training images are exact copies of other training images; they are kept")
    return parts, notes
