"""What the documentation's pages hold: code blocks with their place, headings as the site links to them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted(CHECKOUT.glob("docs/**/*.md"))
"""Pages of the site; plugins' READMEs and the project's own are added to it when it is built."""
READMES = [
    *CHECKOUT.glob("*.md"),
    *CHECKOUT.glob("*/README.md"),
    *CHECKOUT.glob("plugins/*/README.md"),
    *CHECKOUT.glob("examples/*/README.md"),
]

_FENCE = re.compile(r"^( *)(`{3,})([a-z]*)([^\n`]*)\n(.*?)^\1\2$", re.DOTALL | re.MULTILINE)
"""Groups: indentation, backticks (four where the code has three), language, options such as title="...", code."""
_TITLE = re.compile(r'title="([^"]*)"')


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    language: str
    text: str
    title: str = ""
    """The path of a file, where the page says which one the block is."""

    @property
    def place(self) -> str:
        """Page and line, for messages and test names."""
        return f"{self.page.relative_to(CHECKOUT)}:{self.line}"


def blocks(language: str | None, pages: list[Path] = PAGES) -> list[Block]:
    """All blocks of a language, or of any, with a title or without, in the order of pages and lines."""
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if language in (None, match[3]):
                line = text.count("\n", 0, match.start()) + 1
                code = "\n".join(each.removeprefix(match[1]) for each in match[5].split("\n"))
                title = _TITLE.search(match[4])
                block = Block(page=page, line=line, language=match[3], text=code, title=title[1] if title else "")
                found.append(block)
    return found


def without_code(page: Path) -> str:
    """A page's text without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Fragments that a link to the page may have, as mkdocs makes them of headings."""
    from markdown.extensions.toc import slugify, unique

    used: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        unique(slugify(re.sub(r"[`*]", "", words), "-"), used)
    return used
