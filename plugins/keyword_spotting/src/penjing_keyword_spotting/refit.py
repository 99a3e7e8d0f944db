"""A last training on nearly all clips, after everything has been chosen on validation and measured on test."""

from __future__ import annotations

import hashlib

import numpy as np


def join_training(parts: np.ndarray, groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Move speakers of validation and test into training.

    Args:
        parts: Part of each clip, str of shape (n,).
        groups: What must stay together, speakers or clips; str of shape (n,).
        share: How many of them move, 0 to 1; at least one of each part stays, since a run needs all three.

    Returns:
        The new parts. Who moves is decided by a hash of seed and name, not by any order.
    """
    moved = parts.copy()
    for part in ("validation", "test"):
        members = sorted(
            {str(group) for group in groups[parts == part]},
            key=lambda name: hashlib.sha256(f"{seed}/refit/{name}".encode()).hexdigest(),
        )
        going = members[: min(round(share * len(members)), max(len(members) - 1, 0))]
        moved[(parts == part) & np.isin(groups, going)] = "train"
    return moved
