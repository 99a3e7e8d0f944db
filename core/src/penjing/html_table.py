"""Tables for notebooks: plain HTML, everything escaped, no scripts and no style from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_STYLE = (
    "<style>.penjing table{border-collapse:collapse}.penjing caption{text-align:left;font-weight:bold;padding:4px 0}"
    ".penjing th,.penjing td{text-align:left;padding:2px 10px;border-bottom:1px solid #8886}"
    ".penjing td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".penjing p{margin:4px 0}</style>"
)


def html_table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = ()
) -> str:
    """A table with a caption; a cell that is a number, or reads like one, stands on the right.

    Args:
        columns: Heads; empty where the first cell of each row is its head.
        rows: Cells of any type, shown as text; None is left empty.
        notes: Sentences below the table.
    """
    head = "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in columns) + "</tr>" if columns else ""
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows)
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    table = f"<table><caption>{html.escape(caption)}</caption>{head}{body}</table>"
    return f'<div class="penjing">{_STYLE}{table}{below}</div>'


def _row(row: Sequence[object]) -> str:
    texts = ["" if cell is None else str(cell) for cell in row]
    first, *rest = texts or [""]
    return f"<th>{html.escape(first)}</th>" + "".join(
        f'<td class="number">{html.escape(text)}</td>' if _is_number(text) else f"<td>{html.escape(text)}</td>"
        for text in rest
    )


def _is_number(text: str) -> bool:
    return text[:1].lstrip("+-").isdigit() or text[1:2].isdigit()
