"""SQL that comes with a structure: names, types and expressions, let through only if they are one.

A structure was read from a source's catalog and stored since; what is built from it must stay what
it is. An expression with a comment, a semicolon, a dollar or an unpaired bracket or quote is no
expression. What calls functions or operators outside `pg_catalog` is not carried: the copy does not
have them, or has others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Qualified: TypeAlias = tuple[str, str]

_TOKEN = re.compile(
    r"""(?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
      |(?P<quoted>"(?:[^"]|"")+")
      |(?P<word>(?![eE]')[^\W\d][\w$]*)
      |(?P<number>\d[\w.]*)
      |(?P<space>\s+)
      |(?P<comment>--|/\*)
      |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = "([", ")]"
_BY_NAME = frozenset({"regclass", "regproc", "regprocedure", "nextval", "currval", "setval", "lastval"})
"""Refer to objects by texts, which would go on naming those of the source."""


@dataclass(frozen=True, slots=True)
class Translation:
    """SQL of the target, or why there is none."""

    sql: str | None
    why: str = ""


def identifier(name: str) -> str:
    """Quoted always: no name is a keyword, and none folds."""
    if not name or "\x00" in name:
        raise ValueError("an empty name, or one with a NUL")
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    return f"{identifier(schema)}.{identifier(name)}"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def translated(expression: str, types: Mapping[Qualified, Qualified]) -> Translation:
    """The expression with types of the source replaced by those of the copy."""
    tokens = [(match.lastgroup or "other", match.group()) for match in _TOKEN.finditer(expression)]
    problem = _malformed(tokens)
    if problem is not None:
        return Translation(None, problem)
    parts: list[str] = []
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        if kind == "word" and text.lower() in _BY_NAME:
            return Translation(None, f"uses {text.lower()}")
        pair = _pair(tokens, at)
        if pair is None and _of_other_schema(tokens, at):
            return Translation(None, f"uses an operator of {text}")
        if pair is None:
            parts.append(text)
            at += 1
            continue
        called = tokens[at + 3][1] if at + 3 < len(tokens) else ""
        if pair in types:
            parts.append(qualified(*types[pair]))
        elif pair[0] != "pg_catalog" and called == "(":
            return Translation(None, f"uses {pair[0]}.{pair[1]}")
        else:
            parts.append("".join(each for _, each in tokens[at : at + 3]))
        at += 3
    return Translation("".join(parts))


def _malformed(tokens: list[tuple[str, str]]) -> str | None:
    open_: list[str] = []
    for kind, text in tokens:
        if kind == "comment" or (kind == "other" and text in ";$'\"\\\x00eE"):
            return "is no expression"
        if kind != "other":
            continue
        if text in _OPENING:
            open_.append(_CLOSING[_OPENING.index(text)])
        elif (text in _CLOSING and (not open_ or open_.pop() != text)) or (text == "," and not open_):
            return "is no expression"
    return "is no expression" if open_ or not tokens else None


def _pair(tokens: list[tuple[str, str]], at: int) -> Qualified | None:
    """`schema.name` beginning here."""
    three = tokens[at : at + 3]
    if len(three) < 3 or three[1][1] != "." or not all(three[i][0] in ("word", "quoted") for i in (0, 2)):
        return None
    return (plain(three[0][1]), plain(three[2][1])) if at == 0 or tokens[at - 1][1] != "." else None


def _of_other_schema(tokens: list[tuple[str, str]], at: int) -> bool:
    """`OPERATOR(schema.+)`, where a name stands before the dot and none after it."""
    if tokens[at][0] not in ("word", "quoted") or at + 1 >= len(tokens) or tokens[at + 1][1] != ".":
        return False
    return plain(tokens[at][1]) != "pg_catalog"


def plain(name: str) -> str:
    """An identifier as the catalog holds it, from how it is written."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


_INDEX = re.compile(
    r'CREATE (?P<unique>UNIQUE )?INDEX (?:[^\s"]+|"(?:[^"]|"")+") ON (?:ONLY )?'
    r'(?:(?:[^\s".]+|"(?:[^"]|"")+")\.)?(?:[^\s".]+|"(?:[^"]|"")+") USING (?P<rest>[a-z]\w* \(.*)',
    re.DOTALL,
)


def index_statement(
    definition: str, name: str, table: Qualified, types: Mapping[Qualified, Qualified]
) -> Translation:
    """`CREATE INDEX` for another table, from what `pg_get_indexdef` printed."""
    found = _INDEX.fullmatch(definition.strip())
    if found is None:
        return Translation(None, "is no index definition of PostgreSQL")
    rest = translated(found["rest"], types)
    if rest.sql is None:
        return rest
    kind = "UNIQUE INDEX" if found["unique"] else "INDEX"
    return Translation(f"CREATE {kind} {identifier(name)} ON {qualified(*table)} USING {rest.sql}")


_NAME = r'(?:[a-z_][a-z0-9_]*|"(?:[^"\x00]|"")+")'
_TYPE = re.compile(
    rf"(?P<base>double precision|character varying|bit varying|{_NAME}(?:\.{_NAME})?"
    r"|interval(?: (?:year|month|day|hour|minute|second)(?: to (?:month|hour|minute|second))?)?)"
    r"(?P<size>\(\d+(?:,-?\d+)?\))?(?P<zone> with(?:out)? time zone)?(?P<array>(?:\[\])*)"
)


@dataclass(frozen=True, slots=True)
class TypeText:
    """A type as `format_type` prints it, taken apart. `name` is None for one of `pg_catalog`."""

    text: str
    name: Qualified | None
    array: str


def type_text(text: str) -> TypeText | None:
    """None if it is not spelled as a type is."""
    found = _TYPE.fullmatch(text)
    if found is None:
        return None
    parts = re.fullmatch(rf"({_NAME})\.({_NAME})", found["base"])
    name = (plain(parts[1]), plain(parts[2])) if parts is not None else None
    return TypeText(text, None if name and name[0] == "pg_catalog" else name, found["array"])
