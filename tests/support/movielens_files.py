"""MovieLens' layouts in miniature."""

from __future__ import annotations

from pathlib import Path

RATINGS = [  # user, item, rating, second
    (7, 10, 4.0, 100),
    (7, 20, 3.5, 300),
    (7, 30, 1.0, 200),
    (9, 10, 5.0, 50),
    (9, 40, 2.0, 60),
    (9, 20, 3.0, 60),
]
"""Not in the order of time; 40 and 20 are of the same second."""
TITLES = {10: "Ten (1990)", 20: "Zwölf, or Twenty (1991)", 30: "Thirty (1992)", 40: "Forty (1993)"}


def write_movielens(folder: Path, layout: str) -> Path:
    """RATINGS and TITLES as MovieLens writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    if layout == "100k":
        lines = [f"{u}\t{i}\t{int(r)}\t{t}\n" for u, i, r, t in RATINGS]
        (folder / "u.data").write_text("".join(lines))
        titles = [f"{i}|{title}|01-Jan-1990||http://x|0|1\n" for i, title in TITLES.items()]
        (folder / "u.item").write_text("".join(titles), encoding="latin-1")
    elif layout == "1M":
        (folder / "ratings.dat").write_text("".join(f"{u}::{i}::{int(r)}::{t}\n" for u, i, r, t in RATINGS))
        titles = [f"{i}::{title}::Drama|War\n" for i, title in TITLES.items()]
        (folder / "movies.dat").write_text("".join(titles), encoding="latin-1")
    else:
        lines = [f"{u},{i},{r},{t}\n" for u, i, r, t in RATINGS]
        (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "".join(lines))
        titles = [f'{i},"{title}",Drama\n' for i, title in TITLES.items()]
        (folder / "movies.csv").write_text("movieId,title,genres\n" + "".join(titles), encoding="utf-8")
    return folder
