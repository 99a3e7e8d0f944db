"""Kernels as products of smaller ones, in numpy.

A kernel has the shape (*window, inputs, outputs): (inputs, outputs) for Dense, (k, ...) for Conv1D, (kh, kw, ...) for
Conv2D. A grouped convolution has one such kernel for each group, all of them taken apart at the same ranks; arrays here
have the groups on a first axis of their own: (groups, *window, inputs of a group, outputs of a group).

- SVD. The first window axis stays with the inputs, the second goes with the outputs: a (kh x 1) convolution to r
  channels, then a (1 x kw) one. Source: Jaderberg et al. 2014, "Speeding up convolutional neural networks with low rank
  expansions", scheme 2. For Dense and 1 x 1 windows this is the SVD of the matrix.
- Tucker-2. A 1 x 1 convolution to r1 channels, one with the window from r1 to r2, a 1 x 1 convolution to the outputs.
  Source: Kim et al. 2016, "Compression of deep convolutional neural networks for fast and low power mobile
  applications". Ranks are cut in the bases of the higher-order SVD, then both bases are improved in turn (HOOI, De
  Lathauwer et al. 2000).
"""

from __future__ import annotations

from typing import Any

import numpy as np

HOOI_ROUNDS = 8


def split_groups(kernel: np.ndarray, groups: int) -> np.ndarray:
    """(*window, inputs of a group, outputs) -> (groups, *window, inputs of a group, outputs of a group), float64."""
    parts = kernel.astype(np.float64).reshape(*kernel.shape[:-1], groups, -1)
    return np.moveaxis(parts, -2, 0)


def join_groups(parts: np.ndarray) -> np.ndarray:
    """The inverse of `split_groups`, float32."""
    joined = np.moveaxis(parts, 0, -2)
    return joined.reshape(*joined.shape[:-2], -1).astype(np.float32)


def as_matrices(parts: np.ndarray) -> np.ndarray:
    """One matrix for each group: rows are (first window axis, inputs), columns (second window axis, outputs)."""
    groups, *window, inputs, outputs = parts.shape
    height = window[0] if window else 1
    width = window[1] if len(window) == 2 else 1
    tensor = parts.reshape(groups, height, width, inputs, outputs)
    return tensor.transpose(0, 1, 3, 2, 4).reshape(groups, height * inputs, width * outputs)


def svd_energies(parts: np.ndarray) -> np.ndarray:
    """Squared weights that each further rank adds, over all groups: shape (largest rank,), descending, with the sum of
    all squared weights as their sum."""
    return (np.linalg.svd(as_matrices(parts), compute_uv=False) ** 2).sum(axis=0)


def svd_factors(parts: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernels (with groups) of the two layers. Both get the roots of the singular values, so that neither has much
    larger weights than the other: that is kinder to training and to quantization."""
    groups, *window, inputs, outputs = parts.shape
    left, values, right = np.linalg.svd(as_matrices(parts), full_matrices=False)
    roots = np.sqrt(values[:, :rank])
    first = left[:, :, :rank] * roots[:, None, :]
    second = roots[:, :, None] * right[:, :rank]
    if not window:
        return first, second
    height, width = window[0], window[1] if len(window) == 2 else 1
    first = first.reshape(groups, height, inputs, rank)
    second = second.reshape(groups, rank, width, outputs).transpose(0, 2, 1, 3)
    if len(window) == 1:
        return first, second
    return first[:, :, None], second[:, None]


def tucker_energies(parts: np.ndarray) -> np.ndarray:
    """Squared weights kept at the ranks (r1, r2), over all groups: entry [r1 - 1, r2 - 1]. Exact for the bases of the
    higher-order SVD; improving them afterwards keeps more."""
    total: Any = 0.0
    for tensor in parts:
        inputs, outputs = _bases(tensor)
        core = np.einsum("...io,ia,ob->...ab", tensor, inputs, outputs)
        total = total + (core**2).sum(axis=tuple(range(core.ndim - 2)))
    return np.cumsum(np.cumsum(total, axis=0), axis=1)


def tucker_factors(parts: np.ndarray, first_rank: int, second_rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(inputs, core, outputs) with groups: shapes (groups, inputs, r1), (groups, *window, r1, r2), (groups, r2,
    outputs). At r1 = inputs (r2 = outputs) the basis is the identity, so that its layer can be left out."""
    made = [_tucker(tensor, first_rank, second_rank) for tensor in parts]
    first, core, second = (np.stack(arrays) for arrays in zip(*made, strict=True))
    return first, core, second


def _tucker(tensor: np.ndarray, first_rank: int, second_rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inputs, outputs = (basis[:, :rank] for basis, rank in zip(_bases(tensor), (first_rank, second_rank), strict=True))
    whole_inputs, whole_outputs = first_rank == tensor.shape[-2], second_rank == tensor.shape[-1]
    if whole_inputs:
        inputs = np.eye(first_rank)
    if whole_outputs:
        outputs = np.eye(second_rank)
    for _ in range(HOOI_ROUNDS):
        if not whole_inputs:
            inputs = _leading(np.einsum("...io,ob->...ib", tensor, outputs), -2, first_rank)
        if not whole_outputs:
            outputs = _leading(np.einsum("...io,ia->...ao", tensor, inputs), -1, second_rank)
    core = np.einsum("...io,ia,ob->...ab", tensor, inputs, outputs)
    return inputs, core, outputs.T


def _bases(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal bases of inputs and outputs, by descending singular values."""
    return _leading(tensor, -2, None), _leading(tensor, -1, None)


def _leading(tensor: np.ndarray, axis: int, rank: int | None) -> np.ndarray:
    """Left singular vectors of a tensor unfolded along an axis."""
    unfolded = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
    vectors = np.linalg.svd(unfolded, full_matrices=False)[0]
    return vectors if rank is None else vectors[:, :rank]
