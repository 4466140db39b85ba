"""What a YAML file may hold, as a JSON schema: for editors, and for `dg check yaml`.

Made from the annotations that `declared_values` reads by, and so never behind them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from replication_assets.components.declared_values import choices, is_required, short_field, tag_of

_TEMPLATE = {"type": "string", "pattern": r"\{\{.*\}\}"}
"""Dagster renders templates before the values are read: they may stand for anything."""

_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"anyOf": [{"type": "integer"}, _TEMPLATE]},
    float: {"anyOf": [{"type": "number"}, _TEMPLATE]},
    bool: {"anyOf": [{"type": "boolean"}, _TEMPLATE]},
    NoneType: {"type": "null"},
    dt.date: {"type": "string", "format": "date"},
}


def json_schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """What `read` takes for an annotation; declarations go to
    `definitions`, since they may hold themselves."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return {"anyOf": _choice_schemas(hint, definitions)}
    if dataclasses.is_dataclass(hint):
        return _declaration_schema(hint, definitions)
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (tuple, Sequence):
        return {"type": "array", "items": json_schema(parts[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": json_schema(parts[1], definitions)}
    return _SCALARS[hint]


def _choice_schemas(hint: Any, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    declared, others = choices(hint)
    found = [json_schema(other, definitions) for other in others]
    if NoneType in get_args(hint):
        found.append({"type": "null"})
    if len(declared) == 1 and not others:
        found.append(json_schema(declared[0], definitions))
    for each in declared if len(declared) + len(others) > 1 else ():
        found.append(
            {
                "type": "object",
                "properties": {tag_of(each): json_schema(each, definitions)},
                "required": [tag_of(each)],
                "additionalProperties": False,
            }
        )
    return found


def _declaration_schema(declared: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = declared.__name__
    reference = {"$ref": f"#/$defs/{name}"}
    if name in definitions:
        return reference
    definitions[name] = {}
    hints = get_type_hints(declared)
    fields = [each for each in dataclasses.fields(declared) if each.init]
    whole = {
        "type": "object",
        "properties": {each.name: json_schema(hints[each.name], definitions) for each in fields},
        "required": [each.name for each in fields if is_required(each)],
        "additionalProperties": False,
    }
    first = short_field(declared)
    description = " ".join((declared.__doc__ or "").split())
    forms = [whole] if first is None else [whole, json_schema(hints[first], definitions)]
    definitions[name] = {"anyOf": forms, "description": description}
    return reference
