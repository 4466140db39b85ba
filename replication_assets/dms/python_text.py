"""Declarations as Python that makes them: what is not said has its default."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

_WIDTH = 100


def as_python(declared: object, indent: int = 0) -> str:
    """An expression; broken over lines where it is wide, further ones indented by `indent`."""
    if dataclasses.is_dataclass(declared) and not isinstance(declared, type):
        parts = list(_arguments(declared, indent))
        return _bracketed(f"{type(declared).__name__}(", parts, ")", indent)
    if isinstance(declared, tuple | list):
        return _bracketed("[", [as_python(each, indent + 4) for each in declared], "]", indent)
    if isinstance(declared, Mapping):
        pairs = [f"{_literal(name)}: {as_python(value, indent + 4)}" for name, value in declared.items()]
        return _bracketed("{", pairs, "}", indent)
    return _literal(declared)


def _literal(value: object) -> str:
    plain = isinstance(value, str) and value.isprintable() and '"' not in value and "\\" not in value
    return f'"{value}"' if plain else repr(value)


def given(declared: object) -> Iterator[tuple[dataclasses.Field[object], object]]:
    """Fields that differ from their default."""
    for field in dataclasses.fields(declared):  # type: ignore[arg-type]
        value = getattr(declared, field.name)
        if field.default_factory is not dataclasses.MISSING:
            default: object = field.default_factory()
        else:
            default = field.default
        if value != default:
            yield field, value


def names_in(declared: object) -> set[str]:
    """Names of the declarations that the expression uses."""
    if dataclasses.is_dataclass(declared) and not isinstance(declared, type):
        inner = [names_in(value) for _, value in given(declared)]
        return {type(declared).__name__}.union(*inner)
    if isinstance(declared, tuple | list):
        return set().union(*(names_in(each) for each in declared))
    if isinstance(declared, Mapping):
        return set().union(*(names_in(each) for each in declared.values()))
    return set()


def _arguments(declared: object, indent: int) -> Iterator[str]:
    positional = True
    for field, value in given(declared):
        first = dataclasses.fields(declared)[0].name == field.name  # type: ignore[arg-type]
        text = as_python(value, indent + 4)
        yield text if positional and first and not field.kw_only else f"{field.name}={text}"
        positional = False


def _bracketed(opening: str, parts: list[str], closing: str, indent: int) -> str:
    line = opening + ", ".join(parts) + closing
    if len(line) + indent <= _WIDTH and "\n" not in line:
        return line
    inner = "".join(f"{' ' * (indent + 4)}{part},\n" for part in parts)
    return f"{opening}\n{inner}{' ' * indent}{closing}"
