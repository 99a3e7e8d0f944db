"""Which files follow from the code, and with which text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import bundle_schema
import checks_page
import commands_page
import contract_page
import hooks_page
import recipe_tables
import settings_page
import workspace_plugins

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent

WHOLE: dict[str, Callable[[], str]] = {
    "reference/hooks.md": hooks_page.page,
    "reference/contract.md": contract_page.page,
    "reference/commands.md": commands_page.page,
    "reference/settings.md": settings_page.page,
    "reference/bundle.schema.json": bundle_schema.schema,
}
"""Files that are generated from their first line to their last."""
if checks_page.is_there():
    WHOLE["reference/checks.md"] = checks_page.page

BLOCKS: Mapping[str, Callable[[], str]] = {
    "bundle fields": bundle_schema.tables,
    "shipped recipes": recipe_tables.shipped,
    "techniques": recipe_tables.techniques,
    "order of steps": recipe_tables.orders,
    "limits": recipe_tables.limits,
    "verbs": commands_page.verbs,
    "plugins": workspace_plugins.table,
}
"""Tables inside pages that are written by hand, between `<!-- generated: NAME -->` and `<!-- end -->`."""

BLOCK = re.compile(r"(<!-- generated: ([a-z ]+) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)
NOTE = "<!-- Written by `python docs/generators` from the code: change it there. -->\n"


def generated_pages() -> dict[Path, str]:
    """The text of every generated file and of every page with a generated table.

    Raises:
        KeyError: A page names a table that there is none of.
    """
    texts = {DOCS / name: make() if name.endswith(".json") else NOTE + make() for name, make in WHOLE.items()}
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        if path in texts:
            continue
        text = path.read_text(encoding="utf-8")
        if BLOCK.search(text):
            texts[path] = BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]().strip()}\n\n{match[3]}", text)
    return texts
