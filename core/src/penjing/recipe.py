"""Recipes: what to train and which steps to take, as one TOML file that drives the API and the command line alike.

```toml
name = "default"
summary = "Train, distil, quantize to int8."

[data]            # options of the domain's load_data
[model]           # options of the domain's build_model
[augment]         # options of the domain's augment
[reference]       # training settings of the reference: epochs, batch_size, learning_rate, ...
[teacher]         # options of the domain's build_teacher

[[steps]]
technique = "quantize"
mode = "int8"
```

This module knows the form of a recipe, not the techniques: `penjing.compression.plan` checks names and settings.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penjing.errors import RecipeError, UsageError, did_you_mean

TABLES = ("data", "model", "augment", "reference", "teacher")
_TOP_LEVEL = ("name", "summary", *TABLES, "steps")

_TABLE_HEADER = re.compile(r"^\s*\[\s*([A-Za-z0-9_.\-]+)\s*\]\s*(?:#.*)?$")
_STEP_HEADER = re.compile(r"^\s*\[\[\s*([A-Za-z0-9_.\-]+)\s*\]\]\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_\-]+))\s*(?:=|\.)""")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One technique with its settings, not yet checked against the technique's settings model."""

    technique: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An ordered list of steps and the tables that go with them."""

    name: str
    summary: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    augment: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] = field(default_factory=dict)
    teacher: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    source: str | None = None
    """The file it was read from, for error messages."""
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict, repr=False, compare=False)
    """Line of each key in the file: ("steps", 0, "epochs") -> 12."""

    @classmethod
    def from_toml(cls, text: str, source: str | None = None) -> Recipe:
        """Read a recipe.

        Raises:
            RecipeError: The text is no TOML, or a key is unknown or of the wrong type; `where` is file and line.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError("the recipe is not valid TOML", where=source or "recipe", why=str(error)) from error
        lines = _key_lines(text)
        place = _Place(source, lines)
        for key in document:
            if key not in _TOP_LEVEL:
                raise RecipeError(
                    f"unknown key '{key}' in the recipe",
                    where=place(key),
                    hint=did_you_mean(key, _TOP_LEVEL),
                )
        for key in TABLES:
            if not isinstance(document.get(key, {}), dict):
                raise RecipeError(f"'{key}' must be a table: [{key}]", where=place(key))
        for key in ("name", "summary"):
            if not isinstance(document.get(key, ""), str):
                raise RecipeError(f"'{key}' must be a text", where=place(key))
        steps = document.get("steps", [])
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise RecipeError("steps must be tables: [[steps]]", where=place("steps"))
        parsed = []
        for index, step in enumerate(steps):
            technique = step.get("technique")
            if not isinstance(technique, str):
                raise RecipeError(
                    f"step {index + 1} names no technique",
                    where=place("steps", index),
                    hint='add a line: technique = "quantize"',
                )
            settings = {key: value for key, value in step.items() if key != "technique"}
            parsed.append(Step(technique=technique, settings=settings))
        name = document.get("name") or (Path(source).stem if source else "recipe")
        tables = {key: document.get(key, {}) for key in TABLES}
        return cls(
            name=name,
            summary=document.get("summary", ""),
            steps=tuple(parsed),
            source=source,
            lines=lines,
            **tables,
        )

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe file.

        Raises:
            RecipeError: The file is missing, unreadable or no recipe.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(
                "the recipe cannot be read",
                where=str(path),
                why=str(error),
                hint="check the path, or give a recipe's name: of the domain's, or one that penjing recipes lists",
            ) from error
        return cls.from_toml(text, source=str(path))

    def to_toml(self) -> str:
        """The recipe as TOML; `from_toml` of it gives an equal recipe but for `source`."""
        import tomli_w

        document: dict[str, Any] = {"name": self.name}
        if self.summary:
            document["summary"] = self.summary
        for key in TABLES:
            if getattr(self, key):
                document[key] = dict(getattr(self, key))
        document["steps"] = [{"technique": step.technique, **dict(step.settings)} for step in self.steps]
        return tomli_w.dumps(document)

    def where(self, *key: str | int) -> str:
        """File and line of a key, or of the nearest table around it."""
        return _Place(self.source, self.lines)(*key)

    def with_overrides(self, overrides: Sequence[str]) -> Recipe:
        """A copy with some values changed: "reference.epochs=5", "steps.1.sparsity=0.5" (steps count from 1).

        Values are TOML; what is no TOML is taken as a text.

        Raises:
            UsageError: An override is not of the form key=value or names no place in the recipe.
        """
        recipe = self
        for override in overrides:
            recipe = recipe._with_override(override)
        return recipe

    def _with_override(self, override: str) -> Recipe:
        key, separator, text = override.partition("=")
        parts = [part.strip() for part in key.strip().split(".")]
        if not separator or len(parts) < 2:
            raise UsageError(
                f"cannot read the override '{override}'",
                hint="write table.key=value, for example reference.epochs=5 or steps.1.sparsity=0.5",
            )
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        if parts[0] == "steps":
            if len(parts) < 3 or not parts[1].isdigit() or not 1 <= int(parts[1]) <= len(self.steps):
                raise UsageError(
                    f"the override '{override}' names no step",
                    why=f"the recipe has {len(self.steps)} steps, counted from 1",
                    hint="write steps.1.key=value",
                )
            index = int(parts[1]) - 1
            settings = _with_value(self.steps[index].settings, parts[2:], value)
            changed = replace(self.steps[index], settings=settings)
            return replace(self, steps=(*self.steps[:index], changed, *self.steps[index + 1 :]))
        if parts[0] not in TABLES:
            raise UsageError(
                f"the override '{override}' names no table of the recipe",
                hint=did_you_mean(parts[0], [*TABLES, "steps"]),
            )
        table = _with_value(getattr(self, parts[0]), parts[1:], value)
        changes: dict[str, Any] = {parts[0]: table}
        return replace(self, **changes)


def _with_value(table: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of a table with one value changed, nested tables opened."""
    if len(path) == 1:
        return {**table, path[0]: value}
    inner = table.get(path[0], {})
    return {**table, path[0]: _with_value(inner if isinstance(inner, Mapping) else {}, path[1:], value)}


@dataclass(frozen=True)
class _Place:
    source: str | None
    lines: Mapping[tuple[str | int, ...], int]

    def __call__(self, *key: str | int) -> str:
        name = self.source or "recipe"
        for length in range(len(key), 0, -1):
            line = self.lines.get(tuple(key[:length]))
            if line is not None:
                return f"{name}, line {line}"
        return name


def _key_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Lines of tables and keys. tomllib gives no positions, and only plain keys need them here."""
    lines: dict[tuple[str | int, ...], int] = {}
    prefix: tuple[str | int, ...] = ()
    steps = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _STEP_HEADER.match(line):
            parts = match[1].split(".")
            if parts[0] == "steps" and len(parts) > 1 and steps:
                # [[steps.losses]] is a list of tables inside the step above it.
                prefix = ("steps", steps - 1, *parts[1:])
                lines.setdefault(prefix, number)
                continue
            prefix = (match[1], steps)
            steps += 1
            lines.setdefault((match[1],), number)
            lines[prefix] = number
        elif match := _TABLE_HEADER.match(line):
            parts = match[1].split(".")
            # [steps.teacher] belongs to the step above it.
            prefix = ("steps", steps - 1, *parts[1:]) if parts[0] == "steps" and steps else tuple(parts)
            lines[prefix] = number
        elif match := _KEY.match(line):
            lines.setdefault((*prefix, match[1] or match[2] or match[3]), number)
    return lines
