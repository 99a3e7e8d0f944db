"""Files of invented ratings in MovieLens' layouts and sizes, to measure what a run of recommendation takes there.

    python benchmarks/movielens_like.py 1M made/ml-1m-like --seed 0

Sizes are those that GroupLens states: 943 users, 1,682 films and 100,000 ratings (100k); 6,040, 3,706 and 1,000,209
(1M), at least 20 ratings a user. Users' activity and films' popularity are about as skewed; who takes what follows a
taste of few dimensions; and each user rates page by page, a page being mostly films of one kind, so that what comes
next depends on what came last. Nobody's data: figures of accuracy on it say nothing about people.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KINDS, TASTES = 40, 8
LONGEST = 0.6
"""Of the catalogue, that one user rates at most."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of what."""

    users: int
    items: int
    ratings: int


SIZES = {
    "100k": Size(users=943, items=1_682, ratings=100_000),
    "1M": Size(users=6_040, items=3_706, ratings=1_000_209),
}


def simulate_ratings(size: Size, seed: int) -> np.ndarray:
    """int64 of shape (ratings, 4): user and item from 1, rating, second; in no particular order.

    Every user has at least 20 ratings and every item at least one.
    """
    generator = np.random.default_rng([seed, 1_997])
    kind = generator.integers(0, KINDS, size.items)
    item_taste = generator.normal(0, 1, (KINDS, TASTES))[kind] * 0.8 + generator.normal(0, 0.6, (size.items, TASTES))
    fame = generator.normal(0, 1, size.items)
    popularity = 1.7 * fame - 0.12 * np.maximum(fame, 0) ** 2  # nobody's favourite is everybody's
    rows = []
    for user, count in enumerate(_activity(size, generator)):
        taste = generator.normal(0, 0.35, TASTES)
        wanted = popularity + item_taste @ taste
        # The largest of these are a draw without replacement.
        taken = np.argpartition(-(wanted + generator.gumbel(size=size.items)), count)[:count]
        stray = generator.random(count) < 0.3
        page = np.where(stray, generator.integers(0, KINDS, count), generator.permutation(KINDS)[kind[taken]])
        order = np.lexsort((-wanted[taken] + generator.normal(0, 1.0, count), page))
        begin = generator.integers(0, 3 * 365 * 86_400)
        # Several films a page get the same second.
        seconds = 956_700_000 + begin + np.cumsum(generator.integers(0, 30, count) * (generator.random(count) < 0.6))
        liking = np.clip(np.rint(3.6 + (item_taste[taken] @ taste) + generator.normal(0, 0.9, count)), 1, 5)
        rows.append(np.stack([np.full(count, user + 1), taken[order] + 1, liking[order], seconds], axis=1))
    found = np.concatenate(rows).astype(np.int64)
    _rate_the_rest(found, size, generator)
    return found[generator.permutation(len(found))]


def _activity(size: Size, generator: np.random.Generator) -> np.ndarray:
    """Ratings of each user: 20 and a log-normal, so scaled that the sum is right."""
    most = int(LONGEST * size.items)
    extra = generator.lognormal(0, 1.25, size.users)
    low, high = 0.0, float(size.ratings)
    for _ in range(100):
        scale = (low + high) / 2
        counts = np.minimum(20 + np.floor(scale * extra), most).astype(int)
        low, high = (scale, high) if counts.sum() < size.ratings else (low, scale)
    missing = size.ratings - counts.sum()
    counts[np.argsort(np.abs(counts - np.median(counts)))[: abs(missing)]] += np.sign(missing)
    return counts


def _rate_the_rest(found: np.ndarray, size: Size, generator: np.random.Generator) -> None:
    """Items that nobody took take the place of ratings of the most taken ones, in place."""
    counts = np.bincount(found[:, 1], minlength=size.items + 1)
    for item in np.flatnonzero(counts[1:] == 0) + 1:
        row = generator.choice(np.flatnonzero(counts[found[:, 1]] > size.users // 4))
        counts[found[row, 1]] -= 1
        found[row, 1] = item


def write_ratings(folder: Path, name: str, ratings: np.ndarray) -> None:
    """Write a layout's files: u.data and u.item (100k), or ratings.dat and movies.dat (1M)."""
    folder.mkdir(parents=True, exist_ok=True)
    items = range(1, SIZES[name].items + 1)
    if name == "100k":
        np.savetxt(folder / "u.data", ratings, fmt="%d", delimiter="\t")
        lines = [f"{item}|Made-up film {item} (1990)|01-Jan-1990|||{'|'.join('0' * 19)}\n" for item in items]
        (folder / "u.item").write_text("".join(lines), encoding="latin-1")
    else:
        by_user = ratings[np.argsort(ratings[:, 0], kind="stable")]
        np.savetxt(folder / "ratings.dat", by_user, fmt="%d", delimiter="::")
        lines = [f"{item}::Made-up film {item} (1990)::Drama\n" for item in items]
        (folder / "movies.dat").write_text("".join(lines), encoding="latin-1")


def main() -> None:
    parser = argparse.ArgumentParser(description="Invented ratings in a MovieLens layout.")
    parser.add_argument("size", choices=sorted(SIZES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    ratings = simulate_ratings(SIZES[given.size], given.seed)
    write_ratings(given.folder, given.size, ratings)
    users, items = (np.sort(np.unique(ratings[:, column], return_counts=True)[1]) for column in (0, 1))
    print(f"{len(ratings):,} ratings of {len(users):,} users and {len(items):,} items in {given.folder}")
    for name, counts in (("ratings a user", users), ("ratings an item", items)):
        middle = f"median {np.median(counts):,.0f}, mean {counts.mean():,.0f}"
        print(f"{name}: least {counts[0]:,}, {middle}, most {counts[-1]:,}")


if __name__ == "__main__":
    main()
