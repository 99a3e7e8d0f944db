"""Which files hold what: MovieLens' layouts, and any table of user, item, time and rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penjing.errors import DataError, did_you_mean

ROLES = ("user", "item", "time", "rating")
OPTIONS = {f"{role}_column": "" for role in ROLES}
"""Options of `[data]` that name columns; empty where a usual name is looked for."""
KNOWN: Mapping[str, tuple[str, ...]] = {
    "user": ("userid", "user_id", "user", "uid", "customer_id", "customerid", "visitorid", "visitor_id", "reviewerid"),
    "item": ("movieid", "movie_id", "itemid", "item_id", "item", "iid", "product_id", "productid", "asin", "track_id"),
    "time": ("timestamp", "time", "datetime", "date", "ts", "event_time", "created_at", "unixreviewtime"),
    "rating": ("rating", "score", "stars", "overall", "count", "plays", "weight"),
}
_TEXT = {".csv": ",", ".tsv": "\t", ".txt": ","}
_PARQUET = (".parquet", ".pq")
_PACKED = (".gz", ".bz2", ".xz")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Files of interactions and how to read them."""

    name: str
    files: tuple[Path, ...]
    separator: str = ","
    """Of columns in text; empty for Parquet."""
    encoding: str = "utf-8-sig"
    names: tuple[str, ...] = ()
    """Columns of files without a header."""
    titles: Path | None = None
    titles_encoding: str = "utf-8-sig"


def find_layout(path: Path) -> Layout:
    """The layout of a file or folder.

    MovieLens 100k is u.data with u.item beside it; 1M (and 10M) ratings.dat with movies.dat; latest, latest-small, 20M
    and 25M ratings.csv with movies.csv.

    Raises:
        DataError: There is no such file, or nothing in it that can be read.
    """
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path))
    if path.is_dir():
        return _of_folder(path)
    return _of_file(path)


def _of_folder(folder: Path) -> Layout:
    for name in ("u.data", "ratings.dat", "ratings.csv", "ratings.csv.gz", "ratings.parquet"):
        if (folder / name).is_file():
            return _of_file(folder / name)
    tables = sorted(file for file in folder.iterdir() if file.is_file() and _is_table(file))
    kinds = {_separator(file) for file in tables}
    if not tables:
        deeper = [child for child in sorted(folder.iterdir()) if child.is_dir()]
        if len(deeper) == 1:  # an archive unpacked into a folder of its own
            return _of_folder(deeper[0])
        raise DataError(
            "the folder holds no interactions",
            where=str(folder),
            why="there is no u.data, ratings.dat, ratings.csv, other CSV or Parquet file in it",
            hint="give MovieLens' folder, or a table of user, item and time; unpack archives first",
        )
    if len(kinds) > 1:
        raise DataError(
            "the folder holds tables of different kinds",
            where=str(folder),
            why=", ".join(file.name for file in tables[:6]),
            hint="give one file, or a folder of files of one kind",
        )
    return Layout(name="table", files=tuple(tables), separator=_separator(tables[0]))


def _of_file(path: Path) -> Layout:
    if path.name == "u.data":
        return Layout(
            name="MovieLens 100k",
            files=(path,),
            separator="\t",
            encoding="latin-1",
            names=("user_id", "item_id", "rating", "timestamp"),
            titles=_beside(path, "u.item"),
            titles_encoding="latin-1",
        )
    if path.name == "ratings.dat":
        return Layout(
            name="MovieLens 1M",
            files=(path,),
            separator="::",
            encoding="latin-1",
            names=("UserID", "MovieID", "Rating", "Timestamp"),
            titles=_beside(path, "movies.dat"),
            titles_encoding="latin-1",
        )
    if not _is_table(path):
        raise DataError(
            "this is no table that can be read",
            where=str(path),
            why="a pickle can run any code when it is read" if path.suffix in (".pkl", ".pickle") else None,
            hint="give u.data, ratings.dat, a CSV (also .gz, .bz2, .xz), TSV or Parquet file; unpack .zip first",
        )
    titles = _beside(path, "movies.csv") if path.name.startswith("ratings.") else None
    name = "MovieLens latest" if titles else "table"
    return Layout(name=name, files=(path,), separator=_separator(path), titles=titles)


def _beside(path: Path, name: str) -> Path | None:
    other = path.with_name(name)
    return other if other.is_file() else None


def _separator(path: Path) -> str:
    suffix = Path(path.stem).suffix if path.suffix.lower() in _PACKED else path.suffix
    return _TEXT.get(suffix.lower(), "")


def _is_table(path: Path) -> bool:
    return bool(_separator(path)) or path.suffix.lower() in _PARQUET


def find_columns(header: Sequence[str], options: Mapping[str, object], where: str) -> dict[str, str]:
    """The column of each role; rating only where there is one.

    Args:
        header: The file's columns.
        options: Those of `OPTIONS`.

    Raises:
        DataError: A column is missing.
    """
    lower = {name.strip().lower(): name for name in reversed(list(header))}
    found = {}
    for role in ROLES:
        given = str(options.get(f"{role}_column") or "")
        if given:
            if given not in header:
                raise DataError(
                    f"there is no column '{given}' for the {role}",
                    where=f"{where}, header",
                    hint=did_you_mean(given, header),
                )
            found[role] = given
            continue
        known = next((lower[name] for name in KNOWN[role] if name in lower), None)
        if known is not None:
            found[role] = known
        elif role != "rating":
            raise DataError(
                f"no column says which {role}" if role != "time" else "no column says when",
                where=f"{where}, header",
                why="it has " + ", ".join(map(repr, list(header)[:8])),
                hint=f'name it: {role}_column = "..." in the recipe\'s [data]',
            )
    return found
