"""Shapes in which zeros may come: N:M groups and blocks."""

from __future__ import annotations

import numpy as np

from penjing.compression.matrix_layout import InputAxes, as_lines, from_lines


def group_mask(scores: np.ndarray, axes: InputAxes, kept: int, group: int) -> np.ndarray:
    """The mask (True = kept) that leaves the `kept` highest of every `group` neighbours along the inputs.

    Groups begin at input 0; a shorter one at the end keeps as many. Ties go to the earlier input.

    Source: Zhou et al. 2021, "Learning N:M fine-grained structured sparse neural networks from scratch".

    Args:
        scores: Of any shape; the mask has the same.
        axes: The input axes.
    """
    lines = as_lines(scores, axes)
    groups = _in_groups(lines, group, -np.inf)
    order = np.argsort(-groups, axis=-1, kind="stable")
    mask = np.zeros(groups.shape, bool)
    np.put_along_axis(mask, order[..., :kept], True, axis=-1)
    flat = mask.reshape(*lines.shape[:-1], -1)[..., : lines.shape[-1]]
    return np.ascontiguousarray(from_lines(flat, scores.shape, axes))


def most_in_a_group(values: np.ndarray, axes: InputAxes, group: int) -> int:
    """The highest number of values other than zero in any group of neighbours along the inputs."""
    nonzero = as_lines(np.asarray(values) != 0, axes)
    return int(_in_groups(nonzero, group, False).sum(axis=-1).max(initial=0))


def _in_groups(lines: np.ndarray, group: int, filler: float | bool) -> np.ndarray:
    missing = -lines.shape[-1] % group
    padded = np.concatenate([lines, np.full((*lines.shape[:-1], missing), filler, lines.dtype)], axis=-1)
    return padded.reshape(*lines.shape[:-1], -1, group)


def block_numbers(shape: tuple[int, ...], axes: InputAxes, block: tuple[int, int]) -> np.ndarray:
    """The number of the block that each weight belongs to: int64 of the matrix's shape, from 0 without gaps.

    Blocks lie in the plane of inputs and outputs, at each tap of a convolution apart; those at the edge are smaller.

    Source: Gray et al. 2017, "GPU kernels for block-sparse weights", for the idea; Narang et al. 2017,
    "Block-sparse recurrent neural networks", for pruning them by magnitude.

    Args:
        axes: The input axes, joined into one. The last axis that is left is the output axis.
        block: (inputs, outputs).
    """
    lines = as_lines(np.zeros(shape, np.int8), axes)
    inputs, outputs = lines.shape[-1], lines.shape[-2]
    across, down = -(-inputs // block[0]), -(-outputs // block[1])
    plane = (np.arange(outputs) // block[1])[:, None] * across + np.arange(inputs) // block[0]
    planes = np.arange(int(np.prod(lines.shape[:-2]))).reshape(*lines.shape[:-2], 1, 1) * (across * down)
    return np.ascontiguousarray(from_lines(planes + plane, shape, axes))
