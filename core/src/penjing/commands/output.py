"""What commands print: tables for people, one JSON document for programs, errors in four lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from penjing.errors import PenjingError


def print_json(document: Any) -> None:
    """The one document on stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """A table on stdout; long words are not cut where stdout is no terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)


def print_error(error: PenjingError, *, as_json: bool) -> None:
    """The error on stderr, and as the one document on stdout under --json."""
    if as_json:
        print_json(
            {
                "error": {
                    "kind": type(error).__name__,
                    "what": error.what,
                    "where": error.where,
                    "why": error.why,
                    "hint": error.hint,
                }
            }
        )
    print(f"error: {error}", file=sys.stderr)
