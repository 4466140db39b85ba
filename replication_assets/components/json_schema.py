"""What a YAML file may hold, as a JSON schema: for editors, and for `dg check yaml`.

Made from the annotations that `declared_values` reads by, and so never behind them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from replication_assets.components.declared_values import (
    bare_tags,
    choices,
    is_required,
    short_field,
    tag_of,
    untagged,
)
from replication_assets.secret_references import EnvVar

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
        return _choice_schema(hint, definitions)
    if dataclasses.is_dataclass(hint):
        return _declaration_schema(hint, definitions)
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (tuple, Sequence):
        return {"type": "array", "items": json_schema(parts[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": json_schema(parts[1], definitions)}
    return _SCALARS[hint]


def _choice_schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    declared, others = choices(hint)
    optional = [{"type": "null"}] if NoneType in get_args(hint) else []
    if len(declared) == 1 and not others:
        return _if_mapping(
            json_schema(declared[0], definitions), [*optional, _short(declared[0], definitions)]
        )
    rest = [json_schema(other, definitions) for other in others]
    if not declared:
        return {"anyOf": [*rest, *optional]}
    bare = bare_tags(declared)
    inner = {tag_of(each): json_schema(each, definitions) for each in declared}
    one_of_them = {
        "type": "object",
        "properties": {tag: _or_nothing(each) if tag in bare else each for tag, each in inner.items()},
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
    usual = untagged(declared)
    if usual is not None:
        named = {"type": "object", "maxProperties": 1, "anyOf": [{"required": [tag]} for tag in inner]}
        one_of_them = {"if": named, "then": one_of_them, "else": json_schema(usual, definitions)}
    rest += [{"enum": list(bare)}] if bare else []
    # A validator quotes what it refuses, and text in the place of a reference is a password:
    # it is refused when the file is loaded, unquoted.
    return _if_mapping(one_of_them, [True] if EnvVar in declared else [*rest, *optional])


def _or_nothing(schema: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"type": "null"}, "then": True, "else": schema}


def _if_mapping(then: Any, other: list[Any]) -> dict[str, Any]:
    """Unlike `anyOf`, this lets a validator say what is wrong inside of a mapping."""
    forms = [each for each in other if each is not None]
    return {"if": {"type": "object"}, "then": then, "else": {"anyOf": forms} if forms else {"type": "object"}}


def _short(declared: Any, definitions: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a declaration's short form, if it has one."""
    first = short_field(declared)
    return None if first is None else json_schema(get_type_hints(declared)[first], definitions)


def definition_name(declared: Any) -> str:
    """With its module: an `Email` is a channel of the watch, and a rule of a mask."""
    return f"{declared.__module__.rpartition('.')[2]}.{declared.__name__}"


def _declaration_schema(declared: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = definition_name(declared)
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
    description = " ".join((declared.__doc__ or "").split())
    forms = _if_mapping(whole, [_short(declared, definitions)])
    definitions[name] = {**forms, "description": description}
    return reference
