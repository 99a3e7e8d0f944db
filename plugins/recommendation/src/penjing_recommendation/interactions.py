"""Interactions of users with items, in the order in which each user made them, with every repair counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from penjing.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """Who took what, and when; grouped by user, each user's in the order of time.

    Memory: 20 bytes a row.
    """

    user: np.ndarray
    """int32 of shape (n,), rising: 0 to users - 1."""
    item: np.ndarray
    """int32 of shape (n,): index into `items`."""
    time: np.ndarray
    """int64 of shape (n,), milliseconds since 1970."""
    users: Sequence[str]
    """What the data calls each user. Goes nowhere but into the names of examples, which are not written."""
    items: Sequence[str]
    """What the data calls each item."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Title by item name, where the data has any."""
    notes: tuple[str, ...] = ()
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.user)

    @property
    def starts(self) -> np.ndarray:
        """int64 of shape (users + 1,): where each user's rows begin; the last is n."""
        return np.searchsorted(self.user, np.arange(len(self.users) + 1))


def in_order(
    *,
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    rating: np.ndarray | None,
    users: Sequence[str],
    items: Sequence[str],
    titles: Mapping[str, str] | None = None,
    min_rating: float = 0.0,
    source: str,
    sha256: str,
) -> Interactions:
    """Order rows and repair them, by these rules:

    - A rating becomes an interaction when it is at least `min_rating`; at 0 every rating counts, since that somebody
      watched and rated an item is what comes next, liked or not.
    - Rows are ordered by user and time; rows of the same user and moment keep the order of the file.
    - A user's second row with the same item is a repeat: the first is kept.

    Args:
        user, item: Integers of shape (n,), indices into `users` and `items`, in the file's order.
        time: int64 of shape (n,), milliseconds.
        rating: float32 of shape (n,); None where the data has none.

    Raises:
        DataError: Nothing is left.
    """
    notes = []
    if rating is not None:
        low = rating < min_rating
        count = int(low.sum())
        if count:
            user, item, time = user[~low], item[~low], time[~low]
            notes.append(f"{count:,} ratings below {min_rating:g} are no interactions and were left out")
        elif min_rating == 0:
            notes.append("ratings: each counts as an interaction, whatever its value (min_rating chooses)")
    if not len(user):
        raise DataError(
            "there are no interactions",
            where=source,
            why=f"no rating is {min_rating:g} or more" if rating is not None and len(rating) else "there are no rows",
        )
    order = np.lexsort((time, user))  # stable: equal moments keep the file's order
    late = _late(user, time)
    user, item, time = user[order].astype(np.int32), item[order].astype(np.int32), time[order]
    same = int(np.count_nonzero((np.diff(user) == 0) & (np.diff(time) == 0)))
    if late:
        notes.append(f"{late:,} rows are earlier than a row of the same user before them; all were sorted by time")
    if same:
        notes.append(f"{same:,} rows are of the same user and moment as the row before; they keep the file's order")
    pair = user.astype(np.int64) * len(items) + item
    _, first = np.unique(pair, return_index=True)
    if len(first) < len(pair):
        first.sort()
        notes.append(f"{len(pair) - len(first):,} rows repeat an item of the same user; the earliest of each was kept")
        user, item, time = user[first], item[first], time[first]
    kept_users, user = np.unique(user, return_inverse=True)
    kept_items, item = np.unique(item, return_inverse=True)
    kept_names = [items[index] for index in kept_items]
    if titles:
        unlisted = [index for index, name in enumerate(kept_names) if name not in titles]
        if unlisted:
            rows = int(np.isin(item, unlisted).sum())
            notes.append(
                f"{rows:,} interactions are with {len(unlisted):,} items that the list of titles does not know; "
                "they are kept, their name is their title"
            )
    return Interactions(
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        time=time,
        users=[users[index] for index in kept_users],
        items=kept_names,
        titles=dict(titles or {}),
        notes=tuple(notes),
        sha256=sha256,
    )


def _late(user: np.ndarray, time: np.ndarray) -> int:
    """Rows that are earlier than the row of the same user that stands before them in the file."""
    order = np.argsort(user, kind="stable")
    return int(np.count_nonzero((np.diff(user[order]) == 0) & (np.diff(time[order]) < 0)))
