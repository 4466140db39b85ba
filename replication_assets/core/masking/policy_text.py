"""A masking policy as text to declare it by: Python, or YAML as the component reads it.

YAML is written by hand: every text in JSON's quotes, which YAML has too, so that no value is taken for
another (`no`, `1e3`, `null`). A rule's tag is its class's name in small letters, as in
`components.declared_values`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeAlias

from replication_assets.core.masking.policy import ColumnPolicy, MaskingPolicy, Namespace, TablePolicy

Reasons: TypeAlias = Mapping[tuple[str, str], str]
"""Why a column has its class and rule, by table and column: comments in the text."""

_NONE: Reasons = {}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_TAGS = {"Null": "set_null"}  # `null` is no text in YAML
_WORDS_OF_YAML = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def as_python(policy: MaskingPolicy, reasons: Reasons = _NONE) -> str:
    """The policy as an expression, with an import of what it uses."""
    names = ["ColumnPolicy", "MaskingPolicy", *(["Namespace"] if policy.namespaces else []), "TablePolicy"]
    lines = [f"from replication_assets import {', '.join(names)}, masks"]
    lines += ["", "policy = MaskingPolicy(", f"    {policy.name!r},", f"    version={policy.version!r},"]
    if policy.namespaces:
        lines += ["    namespaces=[", *(f"        {_call(each)}," for each in policy.namespaces), "    ],"]
    lines.append("    tables=[")
    for table in policy.tables:
        lines += ["        TablePolicy(", f"            {table.table!r},", "            columns={"]
        for name, column in table.columns.items():
            lines += _comment(reasons.get((table.table, name)), 16)
            lines.append(f"                {name!r}: {_call(column)},")
        lines += ["            },", *_rest(table, 12), "        ),"]
    return "\n".join([*lines, "    ],", ")", ""])


def as_yaml(policy: MaskingPolicy, reasons: Reasons = _NONE) -> str:
    """The policy as an entry of `policies`."""
    lines = ["policies:", f"  - name: {_quoted(policy.name)}", f"    version: {_quoted(policy.version)}"]
    if policy.namespaces:
        lines += ["    namespaces:", *(f"      - {_flow(each)}" for each in policy.namespaces)]
    lines.append("    tables:")
    for table in policy.tables:
        lines.append(f"      - table: {_quoted(table.table)}")
        others = {each.name: getattr(table, each.name) for each in _given(table)}
        lines += [f"        {name}: {_flow(value)}" for name, value in others.items() if name not in _OWN]
        lines.append("        columns:")
        for name, column in table.columns.items():
            lines += _comment(reasons.get((table.table, name)), 10)
            lines.append(f"          {_key(name)}: {_flow(column)}")
    return "\n".join([*lines, ""])


_OWN = ("table", "columns")


def _rest(table: TablePolicy, indent: int) -> Iterator[str]:
    for each in _given(table):
        if each.name not in _OWN:
            yield f"{' ' * indent}{each.name}={_value(getattr(table, each.name))},"


def _call(value: Any) -> str:
    """A declaration as Python makes it: what is given, the first field without its name."""
    given = _given(value)
    arguments = [
        _value(getattr(value, each.name))
        if _is_positional(value, each)
        else f"{each.name}={_value(getattr(value, each.name))}"
        for each in given
    ]
    where = "" if isinstance(value, ColumnPolicy | Namespace) else "masks."
    return f"{where}{type(value).__name__}({', '.join(arguments)})"


def _is_positional(value: Any, field: Field[Any]) -> bool:
    """Required fields; and a column's rule, which is what one reads it for."""
    return _is_required(field) or (isinstance(value, ColumnPolicy) and field.name == "mask")


def _value(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return _call(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {_value(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return repr(value)


def _flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, ColumnPolicy | Namespace):
        return _fields(value)
    if is_dataclass(value) and not isinstance(value, type):
        return "{" + f"{_key(_tag(type(value)))}: {_fields(value)}" + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)}: {_flow(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(part) for part in value) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _fields(value: Any) -> str:
    pairs = [f"{_key(each.name)}: {_flow(getattr(value, each.name))}" for each in _given(value)]
    return "{" + ", ".join(pairs) + "}"


def _given(value: Any) -> Sequence[Field[Any]]:
    """The fields that are not at their default."""
    return [
        each for each in fields(value) if _is_required(each) or getattr(value, each.name) != _default(each)
    ]


def _default(field: Field[Any]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _tag(kind: type) -> str:
    name = kind.__name__
    return _TAGS.get(name) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _key(name: str) -> str:
    plain = _PLAIN.fullmatch(name) is not None and name.lower() not in _WORDS_OF_YAML
    return name if plain else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str | None, indent: int) -> list[str]:
    return [] if not text else [f"{' ' * indent}# {' '.join(text.split())}"]
