"""Declarations from the plain values of a YAML file, led by the annotations of the declarations.

    mapping            a declaration, field by field
    one scalar, list   a declaration whose first field it is: `shop.public.orders` for a `Table`
    {name: value}      where several declarations may stand: `{by_width: 1000000}`, `{env: PASSWORD}`
    name               one of several that needs nothing to be said: `keep`, `one_time`

Nothing is written twice: a field that a declaration gains can be used in YAML at once. All problems
are told, each with the path of what it speaks of; values are never shown, since one may be a
password in the wrong place.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from replication_assets.declared_types import describe, holds

Path: TypeAlias = tuple[str | int, ...]

_TAGS = {
    "EnvVar": "env",
    "SsmParameter": "ssm",
    "DeltaProjection": "delta",
    "DynamoDbProjection": "dynamodb",
    "SqlProjection": "sql",
    "PythonHook": "python",
    "WebhookHook": "webhook",
    "CloudWatch": "cloudwatch",
    "SqlHook": "sql",
    "PostgresTarget": "postgres",
    "PostgresSourceConfig": "postgres",
    "SqliteSourceConfig": "sqlite",
    "MySqlSourceConfig": "mysql",
    "SqlServerSourceConfig": "sqlserver",
    "OracleSourceConfig": "oracle",
    "KafkaSourceConfig": "kafka",
    "KafkaProjection": "kafka",
    "KinesisProjection": "kinesis",
    "LandedSourceConfig": "landed",
    "MySqlTarget": "mysql",
    "SqliteTarget": "sqlite",
    "SqlServerTarget": "sqlserver",
    "OracleTarget": "oracle",
    # `null` is no text in YAML.
    "Null": "set_null",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ValueProblem:
    """What is wrong with the value at a path, with its fix."""

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.what}" if self.path else self.what


_UNTAGGED = frozenset({"PostgresSourceConfig", "KafkaProjection"})
"""What a mapping declares where it is not said which of several it is."""


class _Wrong:
    """Stands for a value that could not be read; its problem is noted."""


WRONG = _Wrong()


def dotted(path: Path) -> str:
    """A path as people write it: `tables[2].id_ranges`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def tag_of(declared: type) -> str:
    """What a declaration is called where several may stand."""
    name = declared.__name__
    return _TAGS.get(name) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def read(value: object, hint: Any, problems: list[ValueProblem], path: Path = ()) -> Any:
    """What the value declares; `WRONG` where it does not, and the reasons in `problems`."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _read_choice(value, hint, problems, path)
    if dataclasses.is_dataclass(hint):
        return _read_declaration(value, hint, problems, path)
    if origin in (tuple, Sequence) and isinstance(value, list | tuple):
        found = [read(each, parts[0], problems, (*path, number)) for number, each in enumerate(value)]
        return WRONG if any(each is WRONG for each in found) else tuple(found)
    if origin is Mapping and isinstance(value, Mapping):
        pairs = {name: read(part, parts[1], problems, (*path, str(name))) for name, part in value.items()}
        return WRONG if any(part is WRONG for part in pairs.values()) else pairs
    if hint is dt.date and isinstance(value, str):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    if origin not in (tuple, Sequence, Mapping) and holds(value, hint):
        return value
    return _refuse(problems, path, f"is {_kind(value)}. Fix: {describe(hint)}")


def choices(hint: Any) -> tuple[list[Any], list[Any]]:
    """The declarations and the other types of a union, None apart."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    declared = [part for part in parts if dataclasses.is_dataclass(part)]
    return declared, [part for part in parts if part not in declared]


def bare_tags(declared: Sequence[Any]) -> tuple[str, ...]:
    """What the declarations are called that need nothing to be said."""
    return tuple(tag_of(each) for each in declared if not any(map(is_required, dataclasses.fields(each))))


def untagged(declared: Sequence[Any]) -> Any | None:
    """The one that a mapping declares without saying so; None if each must be named."""
    return next((each for each in declared if each.__name__ in _UNTAGGED), None)


def _read_choice(value: object, hint: Any, problems: list[ValueProblem], path: Path) -> Any:
    declared, others = choices(hint)
    if value is None and NoneType in get_args(hint):
        return None
    for other in others:
        tried: list[ValueProblem] = []
        found = read(value, other, tried, path)
        if found is not WRONG:
            return found
        # A list or a mapping is told what is wrong inside of it.
        if not declared and isinstance(value, list | Mapping) and tried[0].path != path:
            problems += tried
            return WRONG
    if len(declared) == 1 and not others:
        return read(value, declared[0], problems, path)
    by_tag = {tag_of(each): each for each in declared}
    bare = bare_tags(declared)
    if isinstance(value, Mapping) and len(value) == 1 and (tag := str(next(iter(value)))) in by_tag:
        inner = value[next(iter(value))]
        return read({} if inner is None and tag in bare else inner, by_tag[tag], problems, (*path, tag))
    if isinstance(value, str) and value in bare:
        return by_tag[value]()
    usual = untagged(declared)
    if usual is not None and isinstance(value, Mapping):
        return read(value, usual, problems, path)
    if not declared:
        return _refuse(problems, path, f"is {_kind(value)}. Fix: {describe(hint)}")
    forms = [tag if tag in bare else f"{{{tag}: ...}}" for tag in by_tag] + [
        describe(other) for other in others
    ]
    return _refuse(problems, path, f"is none of what may stand here. Fix: {' or '.join(forms)}")


def _read_declaration(value: object, declared: Any, problems: list[ValueProblem], path: Path) -> Any:
    fields = {each.name: each for each in dataclasses.fields(declared) if each.init}
    hints = get_type_hints(declared)
    if not isinstance(value, Mapping):
        return _read_short(value, declared, fields, hints, problems, path)
    given: dict[str, Any] = {}
    for name, part in value.items():
        if name not in fields:
            near = get_close_matches(str(name), fields, n=1)
            known = f"did you mean {near[0]}?" if near else f"one of {', '.join(fields)}"
            _refuse(problems, (*path, str(name)), f"there is no such key. Fix: {known}")
            given[str(name)] = WRONG
        else:
            given[name] = read(part, hints[name], problems, (*path, name))
    missing = [name for name, field in fields.items() if name not in given and is_required(field)]
    if missing:
        return _refuse(problems, path, f"{', '.join(missing)} is missing. Fix: give {missing[0]}: ...")
    if any(part is WRONG for part in given.values()):
        return WRONG
    return declared(**given)


def _read_short(
    value: object,
    declared: Any,
    fields: Mapping[str, Any],
    hints: Mapping[str, Any],
    problems: list[ValueProblem],
    path: Path,
) -> Any:
    """A value that stands for the first field, where the others have defaults."""
    first = short_field(declared)
    if first is None or value is None:
        return _refuse(problems, path, f"is {_kind(value)}. Fix: {_mapping_of(fields)}")
    found = read(value, hints[first], problems, path)
    return WRONG if found is WRONG else declared(**{first: found})


def _mapping_of(fields: Mapping[str, Any]) -> str:
    return f"a mapping of {', '.join(fields)}" if fields else "nothing, or an empty mapping"


def short_field(declared: Any) -> str | None:
    """The first field, if a declaration needs no other."""
    fields = [each for each in dataclasses.fields(declared) if each.init]
    return None if not fields or any(is_required(each) for each in fields[1:]) else fields[0].name


def is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _refuse(problems: list[ValueProblem], path: Path, what: str) -> _Wrong:
    problems.append(ValueProblem(path, what))
    return WRONG


_KINDS: dict[type, str] = {
    NoneType: "empty",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "something else")
