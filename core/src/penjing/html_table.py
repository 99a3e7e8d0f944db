"""Tables for notebooks: plain HTML, everything escaped, no scripts and no style from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_STYLE = (
    "<style>.penjing{overflow-x:auto}.penjing table{border-collapse:collapse;width:auto;margin:0}"
    ".penjing caption{text-align:left;font-weight:bold;padding:4px 0}"
    ".penjing th,.penjing td{text-align:left;vertical-align:top;padding:2px 14px 2px 0;border-bottom:1px solid #8886}"
    ".penjing th{font-weight:600}.penjing tr>th:first-child{font-weight:normal}"
    ".penjing tr.head>th:first-child{font-weight:600}"
    ".penjing .number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".penjing p{margin:4px 0}</style>"
)


def html_table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = ()
) -> str:
    """A table with a caption. Below a head, a column whose cells all read like numbers stands on the right, with its
    head; without heads each row says one thing, and all stand on the left.

    Args:
        columns: Heads; empty where the first cell of each row is its head.
        rows: Cells of any type, shown as text; None is left empty.
        notes: Sentences below the table.
    """
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    width = len(columns) or max(map(len, texts), default=0)
    numbers = [False] * width
    if columns:
        numbers = [bool(place) and _are_numbers(row[place] for row in texts) for place in range(width)]
    head = f'<tr class="head">{_row(columns, numbers, "th")}</tr>' if columns else ""
    body = "".join(f"<tr>{_row(row, numbers, 'td')}</tr>" for row in texts)
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    table = f"<table><caption>{html.escape(caption)}</caption>{head}{body}</table>"
    return f'<div class="penjing">{_STYLE}{table}{below}</div>'


def _row(cells: Sequence[str], numbers: Sequence[bool], tag: str) -> str:
    tags = ["th", *[tag] * (len(cells) - 1)]
    kinds = [' class="number"' if is_number else "" for is_number in numbers]
    parts = zip(tags, kinds, cells, strict=True)
    return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for tag, kind, cell in parts)


def _are_numbers(cells: Iterable[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(cell in _UNKNOWN or cell.lstrip("+-")[:1].isdigit() for cell in filled)


_UNKNOWN = ("not measured", "not defined")
"""What stands where a figure would."""
