"""The reference of the contract, from `penjing.contract`."""

from __future__ import annotations

import dataclasses
import inspect

from source_docs import cell, classes, code, constant_docstring, fields, one_line

from penjing import contract

INTRODUCTION = f"""# Contract

What a plugin hands to penjing, and penjing to a plugin: `penjing.contract` (version {contract.CONTRACT_VERSION}).
All are frozen dataclasses with keyword-only fields; a field without a default must be given. Code is named by import
strings, `"package.module:function"`, and imported when it is first needed. Arrays are numpy arrays, models are
`keras.Model`; both are typed `Any`, so that a plugin that declares itself imports nothing heavy.
"""


def page() -> str:
    """The page."""
    version = f"## Its version\n\n{constant_docstring(contract, 'CONTRACT_VERSION')}\n"
    return "\n".join([INTRODUCTION, version, *(_section(kind) for kind in classes(contract))])


def _section(kind: type) -> str:
    text = inspect.cleandoc(kind.__doc__ or "") if _has_own_docstring(kind) else ""
    lines = [f"## {kind.__name__}", "", text, ""] if text else [f"## {kind.__name__}", ""]
    if dataclasses.is_dataclass(kind):
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{each.name}` | {code(each.kind)} | {code(each.default)} | {cell(each.text)} |" for each in fields(kind)
        ]
    else:
        lines += ["| method | meaning |", "|---|---|"]
        lines += [f"| {code(signature)} | {cell(text)} |" for signature, text in _methods(kind)]
    return "\n".join(lines) + "\n"


def _has_own_docstring(kind: type) -> bool:
    """Whether somebody wrote it: `dataclass` makes one of the signature."""
    return bool(kind.__doc__) and not (kind.__doc__ or "").startswith(f"{kind.__name__}(")


def _methods(kind: type) -> list[tuple[str, str]]:
    found = []
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            found.append((name, one_line(member.__doc__)))
        elif isinstance(member, classmethod) or inspect.isfunction(member):
            function = member.__func__ if isinstance(member, classmethod) else member
            arguments = [each for each in inspect.signature(function).parameters if each not in ("self", "cls")]
            found.append((f"{name}({', '.join(arguments)})", one_line(function.__doc__)))
    return found
