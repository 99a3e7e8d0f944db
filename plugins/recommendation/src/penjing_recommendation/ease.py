"""EASE in closed form, without its matrix where there are fewer users than items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

MOST_ITEMS = 20_000
"""More would take more than 1.6 GB a matrix; the least popular are left out then."""


def ease(matrix: Any, regularization: float) -> Callable[[Any], np.ndarray]:
    """Scores of EASE: histories times B, where B = I - P diag(1 / P_jj) with P = (X'X + lambda I)^-1.

    With fewer users than items P = (I - X'(lambda I + XX')^-1 X) / lambda (Woodbury), of which only the diagonal and
    products with histories are formed: the same numbers in less time and memory.

    Args:
        matrix: X, scipy CSR of shape (users, items), float32.
        regularization: lambda.

    Returns:
        A function of histories, CSR of shape (n, items or more), to float32 of shape (n, items).
    """
    if matrix.shape[0] < matrix.shape[1]:
        return _by_users(matrix, regularization)
    return _by_items(matrix, regularization)


def _by_items(matrix: Any, regularization: float) -> Callable[[Any], np.ndarray]:
    from scipy.linalg import lapack

    gram = (matrix.T @ matrix).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    factor, info = lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, info2 = lapack.spotri(factor, lower=1, overwrite_c=1)
    if info or info2:
        raise FloatingPointError("the Gram matrix is not positive definite")
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0.0
    items = weights.shape[0]
    return lambda histories: np.asarray(histories[:, :items] @ weights, np.float32)


def _by_users(matrix: Any, regularization: float) -> Callable[[Any], np.ndarray]:
    matrix = matrix.astype(np.float64)
    between = (matrix @ matrix.T).toarray()
    between[np.diag_indices_from(between)] += regularization
    inverse = np.linalg.inv(between)
    items = matrix.shape[1]
    # Diagonal of X' A X, from the rows of A X.
    diagonal = np.empty(items)
    for first in range(0, items, 1024):
        columns = matrix[:, first : first + 1024].toarray()
        diagonal[first : first + 1024] = np.einsum("ui,ui->i", columns, inverse @ columns)
    diagonal = (1.0 - diagonal) / regularization

    def scores(histories: Any) -> np.ndarray:
        rows = histories[:, :items].astype(np.float64)
        across = (rows @ matrix.T).toarray() @ inverse
        product = (rows.toarray() - (matrix.T @ across.T).T) / regularization
        return (rows.toarray() - product / diagonal).astype(np.float32)

    return scores
