"""Recommend by a bundle, on the device: numpy alone, no TensorFlow."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import PredictRequest
from penjing.errors import BundleError, DataError, UsageError
from penjing_recommendation.catalogue import FILE, Catalogue
from penjing_recommendation.ranking import recommended


def predict(request: PredictRequest) -> Iterator[dict[str, Any]]:
    """Rows of recommendations: rank, item, title, score, and which of the history drove each.

    What drove a recommendation: the fall of its score when that item alone is left out of the history, by the file
    itself (leave one out; exact, since scores are the file's own). Items that do not help are not named. With an empty
    history, or one of unknown items only, the most popular items are recommended and the row says so.

    Raises:
        UsageError: No history is given, or an option is out of range.
        DataError: No file of that name can be read.
        BundleError: The bundle has no list of items.
    """
    wanted = _integer(request.options.get("k"), 10, "-k", 1)
    reasons = _integer(request.options.get("reasons"), 3, "--reasons", 0)
    catalogue = catalogue_of_bundle(request.bundle)
    names = given_history(request.options.get("history"), request.inputs)
    unknown = [name for name in names if name not in catalogue.numbers]
    for answer in recommend(request.bundle, catalogue, names, wanted, reasons):
        row = vars(answer)
        if unknown and len(unknown) < len(names):
            row = {**row, "note": f"{len(unknown)} of {len(names)} of the history unknown: {', '.join(unknown[:5])}"}
        yield row


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One recommendation, or what is to be said about all of them."""

    rank: int
    item: str
    title: str
    score: float
    because: str
    """Titles of the history's items that drove it, with how much each adds to the score."""


def recommend(
    bundle: Any, catalogue: Catalogue, names: list[str], count: int = 10, reasons: int = 3
) -> list[Recommendation]:
    """The best items that are not in the history.

    Args:
        bundle: A `penjing.runtime.LoadedBundle`.
        names: Items by the data's own names, the newest last. Those that the bundle does not know are left out.
    """
    numbers = np.array([catalogue.numbers[name] for name in names if name in catalogue.numbers], np.int32)
    if not len(numbers):
        why = "the history is empty" if not names else "the bundle knows none of the history"
        return [
            Recommendation(
                rank=place,
                item=catalogue.items[place - 1],
                title=catalogue.titles[place - 1],
                score=float(catalogue.counts[place - 1]),
                because=f"{why}: the most popular, score is interactions in training",
            )
            for place in range(1, min(count, len(catalogue)) + 1)
        ]
    length = int(bundle.preprocessing["history"])
    recent = numbers[-length:]
    x = np.zeros((1, length), np.int32)
    x[0, length - len(recent) :] = recent
    outputs = np.asarray(bundle.predict(x))
    chosen = [int(number) for number in recommended(outputs, numbers[None], count)[0] if number > 0]
    score = {int(number): float(value) for value, number in zip(outputs[0, 0], outputs[0, 1], strict=True)}
    drove = _what_drove(bundle, x, chosen, score) if reasons else {number: [] for number in chosen}
    return [
        Recommendation(
            rank=place,
            item=catalogue.items[number - 1],
            title=catalogue.titles[number - 1],
            score=round(score[number], 4),
            because="; ".join(
                f"{catalogue.titles[by - 1]} (+{much:.2f})" for by, much in drove[number][:reasons] if much > 0
            ),
        )
        for place, number in enumerate(chosen, start=1)
    ]


def _what_drove(
    bundle: Any, x: np.ndarray, chosen: list[int], score: dict[int, float]
) -> dict[int, list[tuple[int, float]]]:
    """For each recommendation the history's items, by how far its score falls without them. An item that leaves the
    file's list then has at most the list's last score, which is taken."""
    places = np.flatnonzero(x[0] > 0)
    without = np.repeat(x, len(places), axis=0)
    without[np.arange(len(places)), places] = 0
    outputs = np.asarray(bundle.predict(without))
    found: dict[int, list[tuple[int, float]]] = {}
    for number in chosen:
        listed = outputs[:, 1] == number
        left = np.where(listed.any(axis=1), (outputs[:, 0] * listed).sum(axis=1), outputs[:, 0, -1])
        fall = score[number] - left
        order = np.argsort(-fall, kind="stable")
        found[number] = [(int(x[0, places[index]]), float(fall[index])) for index in order]
    return found


def catalogue_of_bundle(bundle: Any) -> Catalogue:
    """The list of items that the bundle carries.

    Raises:
        BundleError: It has none.
    """
    if FILE not in bundle.files:
        raise BundleError(f"the bundle has no {FILE}", where=str(bundle.folder), hint="make it anew")
    return Catalogue.from_csv(bundle.files[FILE])


def given_history(text: Any, inputs: tuple[str, ...]) -> list[str]:
    """The history of the option or of a file: item ids, the newest last, parted by commas or lines.

    Raises:
        UsageError: None is given.
        DataError: The file cannot be read.
    """
    if text is None and not inputs:
        raise UsageError(
            "there is no history",
            hint="--history 1,50,260 with the data's own item ids, the newest last; --history '' for somebody new",
        )
    if text is not None and inputs:
        raise UsageError("a history was given twice", hint="by --history or by a file, not both")
    if text is None:
        if len(inputs) > 1:
            raise UsageError("one history at a time", why=f"{len(inputs)} files were given")
        path = Path(inputs[0])
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError("the history cannot be read", where=str(path), why=str(error)) from error
    rows = csv.reader(str(text).splitlines(), skipinitialspace=True)
    return [cell.strip() for row in rows for cell in row if cell.strip()]


def _integer(value: Any, default: int, flag: str, least: int) -> int:
    number = default if value is None else int(value)
    if number < least:
        raise UsageError(f"{flag} cannot be {number}", hint=f"{least} or more")
    return number
