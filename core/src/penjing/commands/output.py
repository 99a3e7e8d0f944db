"""What commands print: tables for people, one JSON document for programs, errors in four lines."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

from penjing.errors import PenjingError

if TYPE_CHECKING:
    from rich.console import Console

_documents: list[TextIO] = []
"""Where documents go while stdout is kept for them."""


@contextlib.contextmanager
def stdout_for_documents() -> Iterator[None]:
    """Under --json: whatever else is printed, by a plugin or a library, goes to stderr."""
    _documents.append(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _documents.pop()


def print_json(document: Any) -> None:
    """The one document on stdout. Figures that JSON does not know (NaN, infinity) become null."""
    text = json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    print(text, file=_documents[-1] if _documents else sys.stdout, flush=True)


def print_row(row: Mapping[str, Any], as_json: bool) -> None:
    """One row of what has no end, on a line of its own, at once: a JSON object, or values with two spaces between."""
    plain = _plain(row)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False) if as_json else "  ".join(map(str, plain.values()))
    print(text, file=_documents[-1] if _documents else sys.stdout, flush=True)


def _plain(value: Any) -> Any:
    """JSON values of what plugins hand over, numpy's numbers and arrays among them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_plain(inner) for inner in value]
    return str(value)


def stdout_console(width: int) -> Console:
    """Where tables for people go: as wide as the terminal, or the given width where stdout is none."""
    from rich.console import Console

    class StdoutConsole(Console):
        def on_broken_pipe(self) -> None:
            # Called while the error is handled; rich would end with 1, which says that a check failed.
            raise

    return StdoutConsole() if sys.stdout.isatty() else StdoutConsole(width=width)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """A table on stdout; long words are not cut where stdout is no terminal."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    stdout_console(160).print(table)


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
