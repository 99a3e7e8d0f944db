"""What a reader of the tutorial does: removes files, writes files, changes lines of files, in the order of the page."""

from __future__ import annotations

import re
from pathlib import Path

from written_pages import CHECKOUT, Block, blocks

PAGE = CHECKOUT / "docs/plugins/tutorial.md"


def follow(folder: Path, until: str | None = None) -> None:
    """Do to a plugin's folder what the page says.

    Args:
        folder: What `penjing plugins new` has written.
        until: A command: what stands below the block that shows it is not done. None does all.
    """
    for block in blocks(None, [PAGE]):
        if block.language == "console":
            for removed in re.findall(r"^\$ rm (\S+)$", block.text, re.MULTILINE):
                (folder / removed).unlink()
            if until is not None and f"$ {until}\n" in block.text:
                return
        elif block.language == "diff":
            _change(folder / block.title, block)
        elif block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    assert until is None, f"the page does not show: {until}"


def _change(path: Path, block: Block) -> None:
    """Lines with '-' become lines with '+'; lines with ' ' say where; '@@' stands between two changes of a file."""
    text = path.read_text(encoding="utf-8")
    for change in block.text.split("@@\n"):
        lines = change.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in marks) for marks in (" -", " +"))
        assert text.count(old) == 1, f"{block.place}: this does not stand once in {block.title}:\n{old}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
