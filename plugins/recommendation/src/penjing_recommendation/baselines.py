"""What the model has to beat: popularity, item neighbours, EASE and matrix factorization.

All see whole histories, the model its newest items only. What each has to choose (regularization, neighbours) is chosen
by NDCG at ten on the validation part, as the model's settings are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import FittedBaseline, Splits
from penjing.errors import MissingExtraError
from penjing_recommendation.ease import MOST_ITEMS, ease
from penjing_recommendation.histories import Histories, training_matrix
from penjing_recommendation.metrics import ndcg
from penjing_recommendation.ranking import as_lists

LAMBDAS = (20.0, 50.0, 100.0, 250.0, 500.0)
NEIGHBOURS = (20, 100)
FACTORS = (32, 64)
VALIDATED = 1_000
"""Examples of the validation part that a choice is made on, the first, at most."""
BATCH = 256
Scores = Callable[[Any], np.ndarray]
"""Histories, CSR of shape (n, items), to scores of shape (n, items)."""


def fit_popularity(splits: Splits, seed: int) -> FittedBaseline:
    """The same for all: how often an item was taken in training."""
    counts = np.asarray(splits.extra["counts"], np.float32)
    return _fitted("popularity", splits, lambda histories: np.tile(counts, (histories.shape[0], 1)))


def fit_item_knn(splits: Splits, seed: int) -> FittedBaseline:
    """Sum of the cosine similarities to what was taken, each item having its nearest neighbours only (Deshpande and
    Karypis 2004, "Item-based top-N recommendation algorithms")."""
    matrix, said = training_matrix(splits, seed)
    similar = _cosines(matrix, max(NEIGHBOURS))
    choices = {count: _of_similarity(_nearest(similar, count)) for count in NEIGHBOURS}
    best = _best(choices, splits)
    return _fitted(f"item-kNN, {best} neighbours{said}", splits, choices[best])


def fit_ease(splits: Splits, seed: int) -> FittedBaseline:
    """EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data"), lambda chosen on validation."""
    matrix, said = training_matrix(splits, seed)
    items = min(matrix.shape[1], MOST_ITEMS)
    if items < matrix.shape[1]:
        said += f", of the {items:,} most popular of {matrix.shape[1]:,} items"
    choices = {value: ease(matrix[:, :items], value) for value in LAMBDAS[: 5 if items < 20_000 else 1]}
    best = _best(choices, splits)
    name = f"EASE, lambda {best:g}, a matrix of {items**2 * 4:,} bytes{said}"
    return _fitted(name, splits, choices[best])


def fit_als(splits: Splits, seed: int) -> FittedBaseline:
    """Alternating least squares on implicit feedback (Hu, Koren and Volinsky 2008), by the library `implicit`; users
    are folded in from their histories.

    Raises:
        MissingExtraError: `implicit` is not installed.
    """
    try:
        from implicit.als import AlternatingLeastSquares
    except ImportError as error:
        raise MissingExtraError(
            "the baseline of alternating least squares needs the library implicit",
            why=str(error),
            hint="pip install 'penjing-recommendation[als]'",
        ) from error
    import warnings

    matrix, said = training_matrix(splits, seed)
    choices: dict[int, Scores] = {}
    for factors in FACTORS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the threads of OpenBLAS
            model = AlternatingLeastSquares(
                factors=factors, regularization=0.05, alpha=5.0, iterations=15, num_threads=1, random_state=seed
            )
            model.fit(matrix, show_progress=False)
        choices[factors] = _of_factors(model)
    best = _best(choices, splits)
    return _fitted(f"implicit ALS, {best} factors{said}", splits, choices[best])


def _of_factors(model: Any) -> Scores:
    def scores(histories: Any) -> np.ndarray:
        users = model.recalculate_user(np.arange(histories.shape[0]), histories)
        return np.asarray(users @ np.asarray(model.item_factors).T)

    return scores


def _cosines(matrix: Any, most: int) -> Any:
    """Each item's nearest neighbours, CSR of shape (items, items), row by row; without itself."""
    from scipy import sparse

    norms = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
    unit = matrix @ sparse.diags(1.0 / np.maximum(norms, 1.0)).astype(np.float32)
    unit = unit.tocsc()
    blocks = []
    for first in range(0, unit.shape[1], 512):
        block = (unit[:, first : first + 512].T @ unit).tolil()
        width = block.shape[0]
        block[np.arange(width), np.arange(first, first + width)] = 0
        blocks.append(_nearest(block.tocsr(), most))
    return sparse.vstack(blocks).tocsr()


def _nearest(similar: Any, count: int) -> Any:
    """The largest values of each row alone."""
    similar = similar.tocsr(copy=True)
    similar.eliminate_zeros()
    row = np.repeat(np.arange(similar.shape[0]), np.diff(similar.indptr))
    order = np.lexsort((similar.indices, -similar.data, row))
    place = np.arange(len(order)) - similar.indptr[:-1][row[order]]
    similar.data[order[place >= count]] = 0
    similar.eliminate_zeros()
    return similar


def _of_similarity(nearest: Any) -> Scores:
    across = nearest.T.tocsr()
    return lambda histories: np.asarray((histories @ across).todense())


def _best(choices: dict[Any, Scores], splits: Splits) -> Any:
    if len(choices) == 1:
        return next(iter(choices))
    x, y = splits.validation.x[:VALIDATED], splits.validation.y[:VALIDATED]
    found = {name: ndcg(y, _fitted("", splits, scores).predict(x)) for name, scores in choices.items()}
    return max(found, key=lambda name: found[name])


def _fitted(name: str, splits: Splits, scores: Scores) -> FittedBaseline:
    histories, count, items = Histories(splits), int(splits.extra["list"]), len(splits.extra["counts"])

    def predict(x: Any) -> np.ndarray:
        rows = histories.of(x)
        made = []
        for first in range(0, rows.shape[0], BATCH):
            found = np.asarray(scores(rows[first : first + BATCH]), np.float32)
            if found.shape[1] < items:  # those that were left out come last
                found = np.pad(found, ((0, 0), (0, items - found.shape[1])), constant_values=-np.inf)
            made.append(as_lists(found, count))
        return np.nan_to_num(np.concatenate(made), neginf=-1e30)

    return FittedBaseline(name=name, predict=predict)
