"""Type checks of declarations: what is declared wrongly is listed, not raised one by one.

Reads the annotations of a frozen dataclass and compares what its fields hold: unions,
literals, tuples, mappings and classes, as far as declarations use them. Messages name
fields, types and valid words; of the value they show at most a short word where one of a
few was expected.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def type_problems(declared: object, *, skip: Collection[str] = ()) -> Iterator[str]:
    """One line for each field that does not hold what it is annotated with, with its fix.

    A field that holds another declaration is checked for its class only.
    """
    assert dataclasses.is_dataclass(declared)
    hints = get_type_hints(type(declared))
    for field in dataclasses.fields(declared):
        value, hint = getattr(declared, field.name), hints[field.name]
        if field.name not in skip and not holds(value, hint):
            yield f"{field.name} is {_shown(value, hint)}. Fix: {describe(hint)}"


def holds(value: object, hint: Any) -> bool:
    """Whether `value` is of the annotated type; a bool is no number, an int is a float."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(holds(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in parts)
    if origin in (tuple, Sequence):
        return isinstance(value, tuple) and all(holds(each, parts[0]) for each in value)
    if origin is Mapping:
        pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
        return all(holds(name, parts[0]) and holds(part, parts[1]) for name, part in pairs)
    if hint in (int, float):
        return type(value) is int or (hint is float and type(value) is float)
    if hint is dt.date:
        return type(value) is dt.date
    return isinstance(value, hint)


def describe(hint: Any) -> str:
    """The annotated type in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(describe(part) for part in parts)
    if origin is Literal:
        return "one of " + ", ".join(repr(word) for word in parts)
    if origin in (tuple, Sequence):
        return f"a list of {describe(parts[0])}"
    if origin is Mapping:
        return f"a mapping of {describe(parts[0])} to {describe(parts[1])}"
    return "None" if hint is NoneType else str(getattr(hint, "__name__", hint))


def _shown(value: object, hint: Any) -> str:
    if get_origin(hint) is Literal and isinstance(value, str):
        return repr(value[:30])
    return (
        f"of type {type(value).__name__}" if not isinstance(value, tuple | Mapping) else "of other contents"
    )
