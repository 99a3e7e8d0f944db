"""Simulated interactions of users with items: popularity skew, tastes that drift, items that are new.

Nobody's data: the items do not exist and their titles say so. What is simulated: item popularity falls with its rank as
a power (Zipf); a user likes some genres, and what is liked changes step by step over the weeks; items come out in the
course of time, the newest are hardly known by the end; what was just taken makes its neighbours (a series) likely; and
users differ in how much they take.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

DAYS = 365
GENRES = ("comedy", "drama", "mystery", "travel", "music", "history", "science", "cooking", "sport", "nature")
_BLOCK = 4
"""Interactions of a sitting; tastes change between sittings."""
_SERIES = 4
"""Items of a series."""


@dataclass(frozen=True, kw_only=True)
class SimulatedInteractions:
    """Interactions in the order of time."""

    user: np.ndarray
    """int32 of shape (n,)."""
    item: np.ndarray
    """int32 of shape (n,), from 0."""
    time: np.ndarray
    """int64 of shape (n,), seconds since 1970."""
    titles: tuple[str, ...]
    """Of each item."""
    sha256: str

    def __len__(self) -> int:
        return len(self.user)


def simulate_interactions(*, users: int = 1_000, items: int = 800, seed: int = 0) -> SimulatedInteractions:
    """Interactions of a year, about 40 a user; no user takes an item twice.

    Args:
        users: Half of them come in the course of the year.
        items: The last tenth comes out in the last tenth of the year: cold items.
        seed: The same gives the same interactions.
    """
    generator = np.random.default_rng([seed, 20_250])
    series = np.arange(items) // _SERIES
    genre = generator.integers(0, len(GENRES), series[-1] + 1)[series]
    rank = generator.permutation(items)
    log_popularity = -0.9 * np.log(rank + 3.0)
    out = np.where(np.arange(items) < 0.9 * items, -1.0, generator.uniform(0.9, 1.0, items) * DAYS)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for user in range(users):
        rows.append(_one_user(user, generator, genre, series, log_popularity, out))
    user_of, item_of, time_of = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.lexsort((user_of, time_of))
    user_of, item_of, time_of = user_of[order], item_of[order], time_of[order]
    digest = hashlib.sha256(b"".join(array.tobytes() for array in (user_of, item_of, time_of))).hexdigest()
    titles = tuple(
        f"Made-up {GENRES[genre[number]]} {series[number] + 1}, part {number % _SERIES + 1}" for number in range(items)
    )
    return SimulatedInteractions(user=user_of, item=item_of, time=time_of, titles=titles, sha256=digest)


def _one_user(
    user: int,
    generator: np.random.Generator,
    genre: np.ndarray,
    series: np.ndarray,
    log_popularity: np.ndarray,
    out: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = int(np.clip(generator.lognormal(3.4, 0.7), 4, len(genre) // 2))
    begin = 0.0 if generator.random() < 0.5 else generator.uniform(0, 0.95) * DAYS
    sittings = -(-count // _BLOCK)
    days = np.sort(generator.uniform(begin, DAYS, sittings))
    taste = generator.normal(0, 1.6, len(GENRES))
    taken: list[int] = []
    times: list[int] = []
    free = np.ones(len(genre), bool)
    for sitting, day in enumerate(days):
        taste = 0.9 * taste + generator.normal(0, 0.6, len(GENRES))
        second = max(int(day * 86_400), times[-1] + 60 if times else 0)
        for _ in range(min(_BLOCK, count - _BLOCK * sitting)):
            weight = log_popularity + taste[genre]
            if taken:
                weight = weight + 3.5 * (series == series[taken[-1]]) + 1.0 * (genre == genre[taken[-1]])
            noise = generator.gumbel(size=len(genre))
            chosen = int(np.argmax(np.where(free & (out <= day), weight + noise, -np.inf)))
            free[chosen] = False
            taken.append(chosen)
            times.append(second)
            second += int(generator.integers(60, 7_200))
    # 2025 begins.
    return np.full(len(taken), user, np.int32), np.array(taken, np.int32), np.array(times, np.int64) + 1_735_689_600
