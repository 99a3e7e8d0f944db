"""How interactions become training, validation and test: by the last of each user, or by a cut in time.

Both rank the whole catalogue (never a sample of it; Krichene and Rendle 2020, "On sampled metrics for item
recommendation"), leaving out what the user has taken before. The protocol is a part of a metric's name: figures of two
protocols do not compare.

- leave-last-out: a user's last interaction is the test's, the one before it the validation's, the rest are for
  training. Users with fewer than three interactions are for training alone.
- time-cut: what lies before a moment is for training, then comes validation, then test. Each later interaction is an
  example, whose history is all that the user did before it; the model is not trained anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penjing.errors import DataError
from penjing_recommendation.interactions import Interactions

PROTOCOLS = ("leave-last-out", "time-cut")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Which rows of the interactions are for what."""

    training: np.ndarray
    """bool of shape (n,): rows to learn from."""
    validation: np.ndarray
    """Rows that are targets of validation, int64, rising."""
    test: np.ndarray
    """Rows that are targets of the test, int64, rising."""
    notes: tuple[str, ...]


def part(interactions: Interactions, options: dict[str, object], seed: int, source: str) -> Parts:
    """Split by the protocol that `[data] protocol` names.

    Args:
        options: protocol, validation_share, test_share, validation_examples, test_examples.

    Raises:
        DataError: The protocol is unknown, or a part is empty.
    """
    name = str(options["protocol"])
    if name not in PROTOCOLS:
        raise DataError(f"unknown protocol '{name}'", where="[data] protocol", hint="one of: " + ", ".join(PROTOCOLS))
    if name == "leave-last-out":
        training, validation, test, notes = _leave_last_out(interactions)
    else:
        training, validation, test, notes = _time_cut(
            interactions, float(str(options["validation_share"])), float(str(options["test_share"]))
        )
    generator = np.random.default_rng([seed, 7])
    kept = []
    for rows, which in ((validation, "validation"), (test, "test")):
        most = int(str(options[f"{which}_examples"]))
        if len(rows) > most:
            notes.append(f"of {len(rows):,} {which} examples {most:,} were drawn by the seed ({which}_examples)")
            rows = np.sort(generator.choice(rows, most, replace=False))
        if not len(rows):
            raise DataError(
                f"no user is left for the {which} part",
                where=source,
                why="leave-last-out needs users with three interactions or more"
                if name == "leave-last-out"
                else "nothing lies after the cut",
                hint="give more interactions, or another protocol or share in the recipe's [data]",
            )
        kept.append(rows)
    return Parts(training=training, validation=kept[0], test=kept[1], notes=tuple(notes))


def _leave_last_out(interactions: Interactions) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    starts = interactions.starts
    counts = np.diff(starts)
    able = counts >= 3
    test = starts[1:][able] - 1
    training = np.ones(len(interactions), bool)
    training[test] = training[test - 1] = False
    notes = [
        "protocol leave-last-out, full ranking: the last interaction of each user is the test's, the one before it the "
        "validation's, all earlier ones are for training"
    ]
    few = int((~able).sum())
    if few:
        notes.append(f"{few:,} users have fewer than three interactions: they are for training alone")
    return training, test - 1, test, notes


def _time_cut(
    interactions: Interactions, validation_share: float, test_share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    order = np.sort(interactions.time)
    count = len(order)
    first = order[min(count - 1, round(count * (1 - validation_share - test_share)))]
    second = order[min(count - 1, round(count * (1 - test_share)))]
    time = interactions.time
    training = time < first
    if not training.any():
        raise DataError("nothing lies before the cut", where="[data] protocol", why="all times are equal")
    known = np.unique(interactions.user[training])
    later = np.unique(interactions.user[time >= second])
    unseen = len(np.setdiff1d(later, known))
    notes = [
        f"protocol global time cut, full ranking: training before {_moment(first)}, validation before "
        f"{_moment(second)}, test from then on; interactions of one moment fall on the same side; each later "
        "interaction is an example whose history is what the user did before it",
        f"of {len(later):,} users of the test part {unseen:,} have no interaction in training; they are evaluated "
        "like the others",
    ]
    validation = np.flatnonzero((time >= first) & (time < second))
    return training, validation, np.flatnonzero(time >= second), notes


def _moment(milliseconds: int) -> str:
    return str(np.datetime64(int(milliseconds), "ms").astype("datetime64[s]")).replace("T", " ")
