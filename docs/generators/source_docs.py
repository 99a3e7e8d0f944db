"""What the source says of classes and their fields: docstrings below attributes, defaults, types."""

from __future__ import annotations

import ast
import dataclasses
import html
import inspect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Field:
    """A field of a dataclass."""

    name: str
    kind: str
    """Its annotation, as the source spells it."""
    default: str
    """As Python spells it; empty where the field must be given."""
    text: str
    """The docstring below it, on one line."""


def classes(module: ModuleType) -> Iterator[type]:
    """The module's own public classes, in the order of the source."""
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield getattr(module, node.name)


def fields(kind: type) -> list[Field]:
    """The fields of a dataclass with the docstrings below them."""
    texts = _attribute_docstrings(kind)
    return [
        Field(name=each.name, kind=str(each.type), default=_default(each), text=texts.get(each.name, ""))
        for each in dataclasses.fields(kind)
    ]


def one_line(text: str | None) -> str:
    """A docstring without its line breaks."""
    return " ".join(inspect.cleandoc(text or "").split())


def cell(text: str) -> str:
    """Text that may stand in a table's cell."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(code(part[1:-1]) if part[:1] == "`" else part.replace("|", "\\|") for part in parts)


def code(text: str) -> str:
    """Code in a table's cell; nothing where there is none.

    The site shows a backslash that stands before a bar within backticks, and elsewhere a bar without one ends the cell:
    a type with a bar is written in HTML.
    """
    if "|" in text:
        return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>"
    return f"`{text}`" if text else ""


def constant_docstring(module: ModuleType, name: str) -> str:
    """The docstring below a constant of a module, with its paragraphs."""
    return inspect.cleandoc(_docstrings(ast.parse(inspect.getsource(module)).body).get(name, ""))


def _attribute_docstrings(kind: type) -> dict[str, str]:
    (node,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    return {name: one_line(text) for name, text in _docstrings(node.body).items()}


def _docstrings(body: list[ast.stmt]) -> dict[str, str]:
    """Texts that stand right below assignments, by the name that is assigned to."""
    texts = {}
    for statement, following in itertools.pairwise(body):
        target = statement.target if isinstance(statement, ast.AnnAssign) else None
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
        if not isinstance(target, ast.Name):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            texts[target.id] = str(following.value.value)
    return texts


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return ""
