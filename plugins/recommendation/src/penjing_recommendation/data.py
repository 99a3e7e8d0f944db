"""Load interactions, split them by a protocol, and turn histories into the model's inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError
from penjing.options import with_defaults
from penjing_datasets.interaction_simulation import simulate_interactions
from penjing_recommendation import DOMAIN
from penjing_recommendation.catalogue import FILE, Catalogue, catalogue_of
from penjing_recommendation.interactions import Interactions, in_order
from penjing_recommendation.layouts import OPTIONS
from penjing_recommendation.protocols import Parts, part
from penjing_recommendation.windows import windows_of

DEFAULTS: dict[str, Any] = {
    **OPTIONS,
    "protocol": "leave-last-out",
    "validation_share": 0.1,
    "test_share": 0.1,
    "min_rating": 0.0,
    "history": 50,
    "train_examples": 0,
    "validation_examples": 2_000,
    "test_examples": 10_000,
    "users": 1_000,
    "items": 800,
}
"""Options of the `[data]` table. The shares are those of a global time cut; `history` is how many items the model sees,
`train_examples` how many histories an epoch has at most, drawn anew for each (0: see `examples_of_an_epoch`); `users`
and `items` are the size of the built-in sample."""
RANGES = {
    "validation_share": (0.01, 0.45),
    "test_share": (0.01, 0.45),
    "min_rating": (0, 1e9),
    "history": (1, 1_000),
    "train_examples": (0, 100_000_000),
    "validation_examples": (10, 10_000_000),
    "test_examples": (10, 10_000_000),
    "users": (50, 1_000_000),
    "items": (50, 1_000_000),
}
HEAD, TAIL = 0.2, 0.5
"""Of the catalogue: its most popular fifth is the head, its least popular half the tail."""
LONGEST_LIST = 4_096
COLD = 5
"""Interactions in training below which an item is cold."""


def load_data(request: DataRequest) -> Splits:
    """Interactions of a file or folder, or of the built-in sample where no path is given.

    Raises:
        DataError: The data cannot be read, or a part is empty.
        RecipeError: An option is unknown or out of range.
    """
    options = with_defaults(DOMAIN, "data", request.options, DEFAULTS, RANGES)
    if request.path is None:
        made = simulate_interactions(users=options["users"], items=options["items"], seed=request.seed)
        interactions = in_order(
            user=made.user,
            item=made.item,
            time=made.time * 1_000,
            rating=None,
            users=[f"user {number}" for number in range(options["users"])],
            items=[str(number) for number in range(1, options["items"] + 1)],
            titles={str(number): title for number, title in enumerate(made.titles, start=1)},
            source="built-in sample",
            sha256=made.sha256,
        )
        source = f"built-in sample, {options['users']:,} simulated users and {options['items']:,} items"
        return splits_of(interactions, options, seed=request.seed, source=source, synthetic=True)
    from penjing_recommendation.reading import read_interactions

    interactions = read_interactions(request.path, options, request.progress)
    return splits_of(interactions, options, seed=request.seed, source=request.path.resolve().name, synthetic=False)


def splits_of(
    interactions: Interactions, options: dict[str, Any], *, seed: int, source: str, synthetic: bool
) -> Splits:
    """Split interactions and make examples of them.

    Targets are int32 of shape (n, 1 + longest history): the number of the item that came next, 0 where training has not
    seen it; then all that the user had taken before, oldest first, filled up with -1. In training the second column
    is a mere filler.

    Args:
        options: Every key of `DEFAULTS`.

    Raises:
        DataError: A part is empty, or training knows fewer than 20 items.
    """
    parts = part(interactions, options, seed, source)
    counts = np.bincount(interactions.item[parts.training], minlength=len(interactions.items))
    catalogue, numbers = catalogue_of(interactions.items, interactions.titles, counts)
    if len(catalogue) < 20:
        raise DataError(
            f"training knows {len(catalogue):,} items only", where=source, why="there is little to choose from"
        )
    number = numbers[interactions.item]
    length = options["history"]
    sequences = _Sequences(number, interactions, parts.training)
    rows = sequences.drawn(options["train_examples"] or examples_of_an_epoch(len(catalogue)), seed)
    x, y = sequences.examples(rows, length)
    train = Split(
        x=x,
        y=np.stack([y, np.zeros_like(y)], axis=1),
        ids=[f"training {row}" for row in rows],
    )
    validation = _evaluated(interactions, number, parts.validation, length, catalogue, "validation")
    test = _evaluated(interactions, number, parts.test, length, catalogue, "test")
    return Splits(
        train=train,
        validation=validation,
        test=test,
        source=f"{source}, {options['protocol']}",
        sha256=interactions.sha256,
        synthetic=synthetic,
        preprocessing={"history": length, "items": len(catalogue), "protocol": options["protocol"]},
        input_meaning=f"numbers of the last {length} items, the newest last, 0 before the first",
        output_meaning="scores and numbers of the items that come next, the best first",
        notes=(*interactions.notes, *parts.notes, *_unseen(interactions, number, parts, catalogue)),
        extra={
            "sequences": sequences,
            "counts": catalogue.counts,
            "protocol": options["protocol"],
            "list": list_length(len(catalogue), validation, test),
        },
        files={FILE: catalogue.to_csv()},
    )


def examples_of_an_epoch(items: int) -> int:
    """At most so many histories an epoch: those that score 1.5 thousand million items, 100,000 to 400,000. An epoch
    then takes about as long whatever the catalogue, and large data is seen more than once."""
    return int(np.clip(1_500_000_000 // items, 100_000, 400_000))


def list_length(items: int, *parts: Split) -> int:
    """How many items the model names: so many that 100 remain when all that any evaluated user has seen is left out,
    4,096 at most; then an answer is complete but for users who have seen more."""
    longest = max(int((part.y[:, 1:] > 0).sum(axis=1).max()) for part in parts)
    return min(items, 100 + longest, LONGEST_LIST)


class _Sequences:
    """What each user took in training, one after the other; every place is an example, the
    first of a user with an empty history."""

    def __init__(self, number: np.ndarray, interactions: Interactions, training: np.ndarray) -> None:
        self.items = number[training]
        """int32: item numbers, user by user."""
        user = interactions.user[training]
        begins = np.concatenate([[True], user[1:] != user[:-1]])
        self.first = np.maximum.accumulate(np.where(begins, np.arange(len(user)), 0))
        """Where the sequence of each place begins."""
        self.places = np.arange(len(user))

    def drawn(self, most: int, *seeds: int) -> np.ndarray:
        """Places of at most so many examples."""
        if len(self.places) <= most:
            return self.places
        return np.sort(np.random.default_rng([*seeds, 11]).choice(self.places, most, replace=False))

    def examples(self, rows: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Histories, int32 of shape (n, length), and what came next, int32 of shape (n,)."""
        return windows_of(self.items, self.first[rows], rows, length), self.items[rows]


def _evaluated(
    interactions: Interactions, number: np.ndarray, rows: np.ndarray, length: int, catalogue: Catalogue, name: str
) -> Split:
    first = interactions.starts[interactions.user[rows]]
    before = rows - first
    # Row by row: the longest history may be long, and copies of all would be large.
    y = np.full((len(rows), 1 + max(1, int(before.max()))), -1, np.int32)
    x = np.zeros((len(rows), length), np.int32)
    for index, (begin, row) in enumerate(zip(first, rows, strict=True)):
        taken = number[begin:row]
        known = taken[taken > 0]  # what training has not seen is no part of a history
        y[index, 1 : 1 + len(known)] = known
        if len(known):
            x[index, -min(length, len(known)) :] = known[-length:]
    target = y[:, 0] = number[rows]
    share = target / len(catalogue)
    popularity = np.select(
        [target == 0, share <= HEAD, share <= 1 - TAIL], ["unseen in training", "head", "middle"], "tail"
    )
    return Split(
        x=x,
        y=y,
        ids=[f"{name} {row}" for row in rows],
        groups=interactions.user[rows].astype(str) if name == "test" and len(set(first.tolist())) < len(rows) else None,
        slices={
            "popularity of the target": popularity,
            "history": np.select([before < 5, before < 50], ["under 5", "5 to 49"], "50 and more"),
        },
    )


def _unseen(interactions: Interactions, number: np.ndarray, parts: Parts, catalogue: Catalogue) -> list[str]:
    notes = [f"the catalogue is the {len(catalogue):,} items with an interaction in training, all of them ranked"]
    unseen_items = len(interactions.items) - len(catalogue)
    if unseen_items:
        notes.append(f"{unseen_items:,} items have no interaction in training: they cannot be recommended")
    for name, rows in (("validation", parts.validation), ("test", parts.test)):
        missing = int((number[rows] == 0).sum())
        if missing:
            notes.append(f"{missing:,} of {len(rows):,} {name} targets are such items; each counts as a miss")
    cold = int((catalogue.counts < COLD).sum())
    notes.append(f"{cold:,} items of the catalogue are cold: fewer than {COLD} interactions in training")
    return notes
