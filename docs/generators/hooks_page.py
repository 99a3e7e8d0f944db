"""The reference of hooks, from `penjing.hookspecs`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from source_docs import code

from penjing import contract, hookspecs

INTRODUCTION = """# Hooks

A plugin is a module named by an entry point of the group `penjing`. It marks functions with `penjing.hookimpl`; their
names are the hooks' names, and each takes those of the hook's arguments that it wants, by name and without defaults.
What hooks return is described in [the contract](contract.md). How a plugin is written, checked and published:
[the tutorial](../plugins/tutorial.md).

- Each plugin is called apart. What one raises is reported with its distribution, version and stage, and harms no other.
- Hooks that return contributions may be generators. A contribution of a wrong kind is named and left out.
- Order does not matter: penjing sorts, and of two plugins that claim one name neither gets it.
"""


def hooks() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Name and function of every hook, in the order of the source."""
    for name, function in vars(hookspecs).items():
        if name.startswith("penjing_") and inspect.isfunction(function):
            yield name, function


def page() -> str:
    """The page."""
    parts = [INTRODUCTION, _overview()]
    parts.extend(_section(name, function) for name, function in hooks())
    return "\n".join(parts)


def _overview() -> str:
    rows = ["| hook | returns | arguments |", "|---|---|---|"]
    for name, function in hooks():
        signature = inspect.signature(function)
        arguments = ", ".join(f"`{argument}`" for argument in signature.parameters)
        rows.append(f"| [`{name}`](#{name}) | {_kind(signature.return_annotation)} | {arguments} |")
    return "\n".join(rows) + "\n"


def _section(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    text, _, example = inspect.cleandoc(function.__doc__ or "").partition("Example:")
    lines = [f"## {name}", "", text.strip(), ""]
    if signature.parameters:
        lines += ["| argument | type |", "|---|---|"]
        lines += [f"| `{argument}` | {_kind(each.annotation)} |" for argument, each in signature.parameters.items()]
        lines.append("")
    lines += [f"Returns {_kind(signature.return_annotation)}." + _first_result(function), "", inspect.cleandoc(example)]
    return "\n".join(lines) + "\n"


def _first_result(function: Callable[..., Any]) -> str:
    options = getattr(function, f"{hookspecs.PROJECT}_spec", {})
    return " The first plugin that returns something decides." if options.get("firstresult") else ""


def _kind(annotation: str) -> str:
    """A type, with links to the classes of the contract."""
    if annotation == "None":
        return "nothing"
    names = [name for name in re.findall(r"[A-Z]\w+", annotation) if _is_of_contract(name)]
    links = [f"[{name}](contract.md#{name.lower()})" for name in names]
    return code(annotation) + (f" ({', '.join(links)})" if links else "")


def _is_of_contract(name: str) -> bool:
    return getattr(getattr(contract, name, None), "__module__", None) == contract.__name__
