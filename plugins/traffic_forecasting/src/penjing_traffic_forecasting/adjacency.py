"""Who is whose neighbour: a matrix from a CSV, or road distances turned into one by a Gaussian kernel."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from penjing.errors import DataError

THRESHOLD = 0.1
"""Weights below it become 0, as in DCRNN (Li et al. 2018)."""


def read_adjacency(path: Path, sensors: Sequence[str], *, threshold: float = THRESHOLD) -> tuple[np.ndarray, str]:
    """Read either form: a square matrix, or rows of from, to, distance.

    Returns:
        float32 of shape (sensors, sensors), and what was done, in words.

    Raises:
        DataError: The matrix has another size than there are sensors, or a cell is wrong.
    """
    rows = _rows(path)
    if not rows:
        raise DataError("the file is empty", where=path.name)
    if is_distances(rows[0]):
        return distances_to_adjacency(rows, path.name, sensors, threshold=threshold)
    return _matrix(rows, path.name, sensors), f"{path.name} says who is whose neighbour"


def is_distances(header: Sequence[str]) -> bool:
    """Whether the first row is that of a list of distances: from, to and a third."""
    names = [name.strip().lower() for name in header]
    return len(names) == 3 and names[0] in ("from", "source") and names[1] in ("to", "target")


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [cells for cells in csv.reader(file) if any(cell.strip() for cell in cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("the file cannot be read", where=str(path), why=str(error)) from error


def _matrix(rows: list[list[str]], file: str, sensors: Sequence[str]) -> np.ndarray:
    count = len(sensors)
    first = 1
    # Names around a matrix are those of the sensors; else a matrix of one sensor more would be cut in silence.
    names = [_name(cell) for cell in rows[0]]
    if names[-count:] == list(sensors) and len(names) in (count, count + 1):
        rows, first = rows[1:], 2
    if [_name(cells[0]) for cells in rows] == list(sensors):
        rows = [cells[1:] for cells in rows]
    if len(rows) != count:
        raise DataError(
            f"the adjacency has {len(rows):,} rows, and there are {count:,} sensors",
            where=file,
            hint="one row and one column per sensor, in the order of the table's columns",
        )
    made = np.empty((count, count), np.float32)
    for number, cells in enumerate(rows):
        if len(cells) != count:
            raise DataError(
                f"a row of the adjacency has {len(cells):,} cells, and there are {count:,} sensors",
                where=f"{file}, row {number + first:,}",
            )
        for column, cell in enumerate(cells):
            try:
                made[number, column] = float(cell)
            except ValueError as error:
                raise DataError(
                    "a weight is no number",
                    where=f"{file}, row {number + first:,}, column {column + 1:,}",
                    why=f"the cell holds '{cell[:60]}'",
                ) from error
    wrong = np.argwhere(~(np.isfinite(made) & (made >= 0)))
    if len(wrong):
        row, column = map(int, wrong[0])
        raise DataError(
            f"a weight is {made[row, column]:g}",
            where=f"{file}, row {row + first:,}, column {column + 1:,}",
            why="weights say how near two sensors are: finite, from 0",
        )
    return made


def distances_to_adjacency(
    rows: list[list[str]], file: str, sensors: Sequence[str], *, threshold: float = THRESHOLD
) -> tuple[np.ndarray, str]:
    """Weights exp(-(distance / s)^2), s the standard deviation of the distances between known sensors, 0 below the
    threshold; a sensor is its own neighbour with weight 1.

    A file of all pairs has distances from near to far; one of neighbours alone (PEMS04, PEMS08) may have distances that
    hardly differ, of which that s leaves few or none. Where it leaves less than a quarter, s is their root mean square.

    Source: Shuman et al. 2013, "The emerging field of signal processing on graphs"; Li et al. 2018, DCRNN.

    Args:
        rows: Cells, the header first: from, to, distance. Sensors are named, or numbered from 0 where the table
            numbers its sensors.

    Raises:
        DataError: A row is wrong, or no row is of two known sensors.
    """
    position = {sensor: number for number, sensor in enumerate(sensors)}
    pairs, lengths, unknown = [], [], 0
    for number, cells in enumerate(rows[1:], start=1):
        where = f"{file}, row {number:,}"
        if len(cells) != 3:
            raise DataError(f"a row has {len(cells)} cells instead of from, to and distance", where=where)
        ends = [_name(cell) for cell in cells[:2]]
        try:
            length = float(cells[2])
        except ValueError as error:
            raise DataError("a distance is no number", where=where, why=f"the cell holds '{cells[2][:60]}'") from error
        if not np.isfinite(length) or length < 0:
            raise DataError(f"a distance is {length:g}", where=where, why="distances are finite, from 0")
        if any(end not in position for end in ends):
            unknown += 1
            continue
        pairs.append((position[ends[0]], position[ends[1]]))
        lengths.append(length)
    if not pairs:
        raise DataError(
            "no row is of two sensors of the table",
            where=file,
            why=f"the table has {', '.join(sensors[:3])}, the file {', '.join(rows[1] if rows[1:] else [])}",
        )
    length = np.array(lengths)
    spread = _spread(length, threshold)
    weight = np.exp(-np.square(length / spread)) if spread > 0 else np.ones(len(length))
    made = np.eye(len(sensors), dtype=np.float32)
    for (start, end), value in zip(pairs, weight, strict=True):
        if value >= threshold and start != end:
            made[start, end] = value
    kept = int((weight >= threshold).sum())
    said = f"{file}: {len(pairs):,} distances became weights, exp(-(d / {spread:.4g})^2), 0 below {threshold:g}"
    said += f": {kept:,} left"
    if unknown:
        said += f"; {unknown:,} rows are of sensors that are not in the table and were left out"
    return made, said


def _spread(length: np.ndarray, threshold: float) -> float:
    spread = float(length.std())
    reach = spread * np.sqrt(-np.log(threshold))
    others = length[length > 0]
    if len(others) and np.mean(others <= reach) < 0.25:
        return float(np.sqrt(np.mean(np.square(others))))
    return spread


def _name(cell: str) -> str:
    """A sensor's name; '717447.0' is 717447."""
    text = cell.strip()
    return text[:-2] if text.endswith(".0") else text


def neighbours(adjacency: np.ndarray, count: int) -> np.ndarray:
    """The strongest neighbours of each sensor besides itself.

    Args:
        adjacency: Shape (sensors, sensors); above 0 for neighbours.
        count: How many.

    Returns:
        Their numbers, int32 of shape (sensors, count), the strongest first. A sensor with fewer of them has those again
        from the first on, so that a mean over them is nearly that of those there are; one with none has itself.
    """
    weights = np.array(adjacency, np.float64)
    np.fill_diagonal(weights, 0.0)
    order = np.argsort(-weights, axis=1, kind="stable")
    made = np.empty((len(weights), count), np.int32)
    for sensor, row in enumerate(order):
        near = row[: int(np.count_nonzero(weights[sensor] > 0))]
        made[sensor] = np.resize(near[:count] if len(near) else [sensor], count)
    return made
