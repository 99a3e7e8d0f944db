"""The lines of a TOML file's keys, for messages: tomllib gives no positions."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_\-]+))\s*(?:=|\.)""")
_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_\-]+))\s*(?:\.|$)""")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each table and key: ("domains", "leaks", "data") -> 7. Lists of tables are not followed."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _HEADER.match(line):
            table = tuple(a or b or c for a, b, c in _PART.findall(match[1]))
            lines.setdefault(table, number)
        elif match := _KEY.match(line):
            lines.setdefault((*table, match[1] or match[2] or match[3]), number)
    return lines
