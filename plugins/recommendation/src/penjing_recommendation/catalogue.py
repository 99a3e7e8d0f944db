"""The items that a model knows: their numbers, names, titles and how often they were taken in training."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from penjing.errors import DataError

FILE = "items.csv"
"""Name of the catalogue's file in a bundle."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Items by number. Number 0 stands for no item; the most often taken item has number 1."""

    items: Sequence[str]
    """What the data calls item 1, 2, ..."""
    titles: Sequence[str]
    counts: np.ndarray
    """int64 of shape (items,): interactions in training."""
    numbers: Mapping[str, int] = field(init=False)
    """Number by name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {name: number for number, name in enumerate(self.items, start=1)})

    def __len__(self) -> int:
        return len(self.items)

    def to_csv(self) -> bytes:
        """item, title, count; in the order of the numbers, UTF-8."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["item", "title", "interactions"])
        writer.writerows(zip(self.items, self.titles, self.counts.tolist(), strict=True))
        return stream.getvalue().encode()

    @classmethod
    def from_csv(cls, content: bytes) -> Catalogue:
        """The inverse of `to_csv`.

        Raises:
            DataError: The file is damaged.
        """
        try:
            rows = list(csv.reader(io.StringIO(content.decode())))
            items, titles, counts = zip(*rows[1:], strict=True)
            return cls(items=items, titles=titles, counts=np.array(counts, np.int64))
        except (ValueError, UnicodeDecodeError, csv.Error) as error:
            raise DataError("the bundle's list of items is damaged", where=FILE, why=str(error)) from error


def catalogue_of(items: Sequence[str], titles: Mapping[str, str], counts: np.ndarray) -> tuple[Catalogue, np.ndarray]:
    """The catalogue of what was taken in training, the most often taken first; equal counts keep their order.

    Args:
        items: Names.
        titles: Title by name; a name without one is its own title.
        counts: int64 of shape (items,): interactions in training.

    Returns:
        The catalogue, and the number of each of `items`, int32; 0 where it was not taken in training.
    """
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    numbers = np.zeros(len(items), np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    names = [items[index] for index in order]
    made = Catalogue(items=names, titles=[titles.get(name, name) for name in names], counts=counts[order])
    return made, numbers
