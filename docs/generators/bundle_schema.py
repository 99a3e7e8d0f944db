"""The JSON schema of bundle.json, and its fields as tables."""

from __future__ import annotations

import json

from pydantic import BaseModel
from source_docs import cell

from penjing.bundle.manifest import Manifest


def schema() -> str:
    """The schema, as a file."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bundle.json of penjing, schema version 1",
        **{key: value for key, value in Manifest.model_json_schema(mode="serialization").items() if key != "title"},
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def tables() -> str:
    """A table of fields for the manifest and each model in it."""
    return "\n\n".join(_table(model) for model in _models(Manifest))


def _models(model: type[BaseModel], seen: tuple[type[BaseModel], ...] = ()) -> tuple[type[BaseModel], ...]:
    """The model and those that it holds, each once."""
    seen = (*seen, model)
    for field in model.model_fields.values():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
                seen = _models(kind, seen)
    return seen


def _table(model: type[BaseModel]) -> str:
    title = "bundle.json" if model is Manifest else model.__name__
    text = " ".join((model.__doc__ or "").split())
    rows = [f"### {title}", "", text, "", "| field | type | must be there | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        needed = "yes" if field.is_required() else ""
        rows.append(f"| `{name}` | {_kind(field.annotation)} | {needed} | {cell(field.description or '')} |")
    return "\n".join(rows)


def _kind(annotation: object) -> str:
    """The type as JSON knows it, with links to the tables below."""
    arguments = getattr(annotation, "__args__", ())
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    origin = getattr(annotation, "__origin__", None)
    if origin is list:
        return "list of " + _kind(arguments[0]).replace("whole number", "whole numbers")
    if origin is dict:
        return f"object, {_kind(arguments[1])} by name"
    if type(None) in arguments:
        return " or ".join(_kind(kind) for kind in arguments if kind is not type(None)) + " or null"
    if arguments and not isinstance(arguments[0], type):
        return ", ".join(f"`{json.dumps(value)}`" for value in arguments)
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, "any JSON value")  # type: ignore[arg-type]
