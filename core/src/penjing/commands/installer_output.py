"""Why pip or uv could not do something, out of the many lines that they print."""

from __future__ import annotations

import re
from collections.abc import Iterator

_EMPTY_PHRASES = ("error: subprocess-exited-with-error", "error: metadata-generation-failed")
"""pip says these where a build fails; what failed stands in the build's own output above."""
_CAUSE = re.compile(r"\s+(?:cause|caused by):\s+(.*)", re.IGNORECASE)
"""uv's, below its line of the error."""
_TREE = re.compile(r"\s*(?:×|[├╰]─▶)\s+(.*)")
"""uv's as it was drawn before its version 0.10; pip draws with other arrows."""


def failure_reason(output: str) -> str:
    """The reason in one line.

    pip: its lines "ERROR: ...", and of a build that failed the last line of that build's output. uv: its line
    "error: ..." with the causes below, which say more than it does. Where there is none of these, the last line.
    """
    lines = output.splitlines()
    reasons = list(dict.fromkeys(_reasons(lines)))
    said = [line.strip() for line in lines if line.strip()]
    return "; ".join(reasons or said[-1:])


def _reasons(lines: list[str]) -> Iterator[str]:
    number, has_tree = 0, any("▶" in line for line in lines)
    while number < len(lines):
        line, text = lines[number], lines[number].strip()
        number += 1
        if text == "[end of output]":
            yield _before(lines, number - 1)
        elif text.lower().startswith("error") and text not in _EMPTY_PHRASES:
            yield text
        elif match := _CAUSE.fullmatch(line):
            yield match[1].strip()
        elif has_tree and (match := _TREE.fullmatch(line)):
            # It is broken into lines of the terminal's width, indented alike.
            whole = [match[1].strip()]
            while number < len(lines) and re.match(r"\s{6,}\S", lines[number]):
                whole.append(lines[number].strip())
                number += 1
            yield " ".join(whole).rstrip(":")


def _before(lines: list[str], end: int) -> str:
    return next((line.strip() for line in reversed(lines[:end]) if line.strip()), "")
