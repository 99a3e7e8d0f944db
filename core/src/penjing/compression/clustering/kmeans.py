"""k-means of single numbers: sorted once, every sum is a difference of two prefix sums.

General k-means libraries add up in parallel, in an order that may change from run to run; a run that is resumed must
come out the same to the last bit. In one dimension the exact optimum is within reach as well.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Start = Literal["linear", "density", "k-means++", "optimal"]


def cluster_numbers(values: np.ndarray, count: int, start: Start, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Put numbers into at most `count` clusters so that the sum of squared distances to the means is small.

    The starts "linear" (centroids spaced evenly between least and largest), "density" (evenly by rank) and "k-means++"
    (Arthur and Vassilvitskii 2007) go on with Lloyd's iterations until nothing moves; "optimal" finds the least sum of
    all by dynamic programming (Wang and Song 2011, "Ckmeans.1d.dp"). Source of linear and density: Han et al. 2016,
    "Deep Compression", section 3.2.

    Args:
        values: Numbers of shape (n,), n at least 1, finite.
        count: Clusters wanted, at least 1; there are fewer where there are fewer distinct numbers.
        start: Where to begin.
        seed: Draws the first centroids of "k-means++".

    Returns:
        (centroids, labels): float64 of shape (k,), ascending, every one used, k at most `count`; and int64 of shape
        (n,), the number of each value's centroid.
    """
    points, inverse, weights = np.unique(values.astype(np.float64), return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    if len(points) <= count:
        return points, inverse
    sums = _PrefixSums(points, weights)
    if start == "optimal":
        borders = _optimal_borders(sums, count)
    else:
        borders = _lloyd(sums, _first_centroids(sums, count, start, seed))
    labels = np.repeat(np.arange(len(borders) - 1), np.diff(borders))
    return sums.means(borders), labels[inverse]


class _PrefixSums:
    """Weights, sums and squares of sorted points up to each place, around their mean so that digits are not lost."""

    def __init__(self, points: np.ndarray, weights: np.ndarray) -> None:
        self.points = points
        self.shift = float(np.average(points, weights=weights))
        centred = points - self.shift
        self.weight = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
        self.sum = np.concatenate([[0.0], np.cumsum(weights * centred)])
        self.square = np.concatenate([[0.0], np.cumsum(weights * centred**2)])

    def means(self, borders: np.ndarray) -> np.ndarray:
        """Means between each two borders; no part is empty."""
        return self.shift + np.diff(self.sum[borders]) / np.diff(self.weight[borders])

    def cost(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Sum of squared distances to their mean of the points first..last-1."""
        total = self.sum[last] - self.sum[first]
        spread = self.square[last] - self.square[first] - total**2 / (self.weight[last] - self.weight[first])
        return np.maximum(spread, 0.0)


def _first_centroids(sums: _PrefixSums, count: int, start: Start, seed: int) -> np.ndarray:
    points = sums.points
    if start == "linear":
        return np.linspace(points[0], points[-1], count)
    weights = np.diff(sums.weight)
    if start == "density":
        ranks = (np.arange(count) + 0.5) / count * sums.weight[-1]
        return np.unique(points[np.searchsorted(sums.weight[1:], ranks)])
    generator = np.random.default_rng(seed)
    chosen = [generator.choice(points, p=weights / weights.sum())]
    nearest = (points - chosen[0]) ** 2
    while len(chosen) < count:
        chances = weights * nearest
        chosen.append(generator.choice(points, p=chances / chances.sum()))
        nearest = np.minimum(nearest, (points - chosen[-1]) ** 2)
    return np.sort(np.asarray(chosen))


def _lloyd(sums: _PrefixSums, centroids: np.ndarray) -> np.ndarray:
    """Borders of the clusters once Lloyd's iterations gain nothing more. A centroid that nothing is near to is
    dropped."""
    borders, least = np.zeros(1, np.int64), np.inf
    while True:
        between = np.searchsorted(sums.points, (centroids[1:] + centroids[:-1]) / 2)
        found = np.unique(np.concatenate([[0], between, [len(sums.points)]]))
        cost = float(sums.cost(found[:-1], found[1:]).sum())
        if cost >= least:
            return borders
        borders, least = found, cost
        centroids = sums.means(borders)


def _optimal_borders(sums: _PrefixSums, count: int) -> np.ndarray:
    """Borders of the best division into `count` parts.

    best[k][j] = min over i of best[k-1][i] + cost(i, j). The smallest best i grows with j, so each row is found by
    halving: the middle first, then both sides between the answers of their neighbours; all places of a level at once.
    """
    n = len(sums.points)
    best = np.concatenate([[np.inf], sums.cost(np.zeros(n, np.int64), np.arange(1, n + 1))])
    choices = np.zeros((count + 1, n + 1), np.int32)
    for parts in range(2, count + 1):
        choice = choices[parts]
        row = np.full(n + 1, np.inf)
        left, right = np.array([parts]), np.array([n])
        low, high = np.array([parts - 1]), np.array([n - 1])
        while len(left):
            middle = (left + right) // 2
            row[middle], choice[middle] = _best_last_border(sums, best, middle, low, np.minimum(high, middle - 1))
            found = choice[middle].astype(np.int64)
            left, right, low, high = (
                np.concatenate(halves)
                for halves in ((left, middle + 1), (middle - 1, right), (low, found), (found, high))
            )
            open_ = left <= right
            left, right, low, high = left[open_], right[open_], low[open_], high[open_]
        best = row
    borders = [n]
    for parts in range(count, 1, -1):
        borders.append(int(choices[parts][borders[-1]]))
    return np.array([0, *borders[::-1]])


def _best_last_border(
    sums: _PrefixSums, best: np.ndarray, ends: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each end, the best begin of the last part within low..high, and what the division then costs."""
    lengths = high - low + 1
    starts = np.cumsum(lengths) - lengths
    begins = np.arange(lengths.sum()) - np.repeat(starts - low, lengths)
    costs = best[begins] + sums.cost(begins, np.repeat(ends, lengths))
    least = np.minimum.reduceat(costs, starts)
    places = np.where(costs == np.repeat(least, lengths), np.arange(len(costs)), len(costs))
    return least, begins[np.minimum.reduceat(places, starts)]
