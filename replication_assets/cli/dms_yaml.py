"""Declarations as the plain values that a YAML catalog has for them."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from replication_assets.components.declared_values import tag_of
from replication_assets.dms.python_text import given


def plain(declared: Any, hint: Any = None) -> Any:
    """`hint` is what the field that holds it is annotated with: one of several is named by its tag."""
    if dataclasses.is_dataclass(declared) and not isinstance(declared, type):
        hints = get_type_hints(type(declared))
        values = {field.name: plain(value, hints[field.name]) for field, value in given(declared)}
        return {tag_of(type(declared)): values} if _is_one_of_several(hint) else values
    if isinstance(declared, Mapping):
        return {name: plain(value, _inner(hint, -1)) for name, value in declared.items()}
    if isinstance(declared, tuple | list):
        return [plain(each, _inner(hint, 0)) for each in declared]
    return _text(declared) if isinstance(declared, str) else declared


def _text(value: str) -> str:
    """Dagster takes a text that reads as a Python value for that value: `9` would become a number."""
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    return repr(value)


def _is_one_of_several(hint: Any) -> bool:
    if get_origin(hint) not in (Union, UnionType):
        return False
    others = [part for part in get_args(hint) if part is not NoneType]
    return len(others) > 1


def _inner(hint: Any, at: int) -> Any:
    if get_origin(hint) in (Union, UnionType):
        found = [part for part in get_args(hint) if get_origin(part) in (tuple, Sequence, Mapping)]
        return _inner(found[0], at) if found else None
    parts = get_args(hint)
    return parts[at] if parts else None
