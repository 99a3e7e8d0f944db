"""Every setting of every technique, from their pydantic models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from source_docs import cell, code

from penjing.compression.catalogue import TECHNIQUES
from penjing.compression.settings.training import TrainingSettings
from penjing.host import PluginHost

INTRODUCTION = """# Settings

The keys that a step may have in a [recipe](../recipes.md), besides `technique`. A key that is not here is refused, with
the nearest one that is; so is a value out of range. Where a setting is a table of its own, its keys follow below.
"""

TRAINING = """## Training

The keys of the recipe's `[reference]` table, and of every step that trains. Steps have defaults of their own, which
their tables give.
"""


def page() -> str:
    """The page."""
    parts = [INTRODUCTION, TRAINING + "\n" + _table(TrainingSettings)]
    parts.extend(_section(technique.name, technique.summary, technique.settings) for technique in TECHNIQUES)
    return "\n".join(parts)


def _section(name: str, summary: str, settings: str) -> str:
    host = PluginHost.from_modules({})
    model = host.resolve(settings, host.techniques[name].source)
    lines = [f"## {name}", "", f"{summary} [More](../techniques/{name}.md)", ""]
    own = _table(model, leave_out=TrainingSettings if issubclass(model, TrainingSettings) else None)
    lines.append(own)
    if issubclass(model, TrainingSettings) and model is not TrainingSettings:
        lines.append("The other keys are those of any [training](#training).\n")
    for key, title, inner in _inner_models(model):
        base = TrainingSettings if issubclass(inner, TrainingSettings) else None
        lines.append(f"### {name}: {title}\n\n{key}\n\n{_table(inner, leave_out=base)}")
        if base is not None:
            lines.append("The other keys are those of any [training](#training).\n")
    return "\n".join(lines)


def _table(model: type[BaseModel], leave_out: type[BaseModel] | None = None) -> str:
    """The model's settings; those of `leave_out` only where their defaults differ."""
    schema = model.model_json_schema()
    common = leave_out.model_json_schema()["properties"] if leave_out else {}
    rows = ["| setting | value | default | meaning |", "|---|---|---|---|"]
    for name, about in schema["properties"].items():
        if name in common and about.get("default") == common[name].get("default"):
            continue
        default = _toml(about["default"]) if "default" in about and not _is_nested(about, schema) else ""
        rows.append(f"| `{name}` | {_value(about, schema)} | {code(default)} | {cell(about.get('description', ''))} |")
    return "\n".join(rows) + "\n"


def _inner_models(model: type[BaseModel]) -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Tables inside a step: (sentence, title, model)."""
    from typing import Annotated, get_args, get_origin

    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield f"The table `{name}`: {field.description}.", name, annotation
        for part in get_args(annotation):
            if get_origin(part) is Annotated:
                part = get_args(part)[0]
            for kind in get_args(part):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    value = _kind_of(kind)
                    yield f'An entry of `{name}` with `kind = "{value}"`.', f"{name}, {value}", kind


def _kind_of(model: type[BaseModel]) -> str:
    return str(model.model_json_schema()["properties"]["kind"]["const"])


def _is_nested(about: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    return "$ref" in about or "$ref" in json.dumps(about.get("items", {})) or "oneOf" in about.get("items", {})


def _value(about: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    if "anyOf" in about:
        options = [each for each in about["anyOf"] if each.get("type") != "null"]
        return " or ".join(_value(option, schema) for option in options)
    if "$ref" in about:
        return "a table, see below"
    if "const" in about:
        return f"`{_toml(about['const'])}`"
    if "enum" in about:
        return ", ".join(f"`{_toml(value)}`" for value in about["enum"])
    kind = about.get("type")
    if kind == "array":
        return _array(about, schema)
    if kind == "object":
        inner = about.get("additionalProperties")
        return "table" if inner in (None, True) else f"table: pattern = {_value(inner, schema)}"
    if kind == "string":
        return f"text like `{about['pattern'].strip('^$')}`" if "pattern" in about else "text"
    if kind == "boolean":
        return "`true`, `false`"
    if kind in ("integer", "number"):
        return {"integer": "whole number", "number": "number"}[kind] + _range(about)
    return "any"


def _array(about: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "prefixItems" in about:
        return "[" + ", ".join(_value(item, schema) for item in about["prefixItems"]) + "]"
    items = about.get("items", {})
    if "oneOf" in items or "discriminator" in items:
        return "list of tables, see below"
    return f"list of {_value(items, schema)}"


def _range(about: Mapping[str, Any]) -> str:
    words = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
    parts = [f"{word} {about[key]:g}" for key, word in words.items() if key in about]
    return " " + " ".join(parts) if parts else ""


def _toml(value: Any) -> str:
    """As a recipe spells it; empty for what is not given, and for empty lists and tables."""
    if value is None or value in ([], {}):
        return ""
    return json.dumps(value)
