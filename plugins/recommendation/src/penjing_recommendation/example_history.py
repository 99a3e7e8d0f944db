"""A history that `predict` can be tried on: of the built-in sample."""

from __future__ import annotations

from pathlib import Path

from penjing_datasets.interaction_simulation import simulate_interactions

ITEMS = 10


def write_example(folder: Path, seed: int) -> list[str]:
    """What one simulated user took last, an item id a line, the newest last; the file's path."""
    made = simulate_interactions(users=20, items=200, seed=seed)
    taken = made.item[made.user == made.user[0]][-ITEMS:]
    path = folder / "history.txt"
    path.write_text("\n".join(str(int(item) + 1) for item in taken), encoding="utf-8")
    return [str(path)]
