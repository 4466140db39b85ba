"""Statements in the binary log: what kind each is, and which tables it names.

Rows are logged as rows. What is logged as a statement frames transactions, changes definitions, or
changes rows in a way that only the server could repeat: the last is refused. Kinds that are not
known are refused as well. No text of a statement is ever told: it may hold values.

This is a lexer, not a parser: words, quoted names, strings, numbers, signs, without comments. What
stands in `/*! ... */` and `/*M! ... */` is code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from replication_assets.sources.mysql.binlog.events import Query

_STRINGS = {
    # By whether a backslash escapes.
    True: r"[nN]?'(?:[^'\\]|''|\\.)*'|[nN]?\"(?:[^\"\\]|\"\"|\\.)*\"",
    False: r"[nN]?'(?:[^']|'')*'|[nN]?\"(?:[^\"]|\"\")*\"",
}
_TOKEN = {
    escapes: re.compile(
        r"(?P<space>\s+|--\s[^\n]*(?:\n|$)|\#[^\n]*(?:\n|$)|/\*M?!\d*|/\*(?!M?!).*?\*/|\*/)"
        r"|`(?P<quoted>(?:[^`]|``)*)`"
        rf"|(?P<string>{strings})"
        r"|(?P<word>[\w$@]+)"
        r"|(?P<sign>.)",
        re.DOTALL,
    )
    for escapes, strings in _STRINGS.items()
}


class Kind(Enum):
    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    ROLLBACK_TO = auto()
    SAVEPOINT = auto()
    XA_START = auto()
    XA_OTHER = auto()
    DEFINITION = auto()
    """Creates, alters, drops, renames or empties something."""
    HARMLESS = auto()
    """Changes neither rows nor tables."""
    ROWS = auto()
    """Changes rows, or may."""


_DEFINITIONS = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"})
_HARMLESS = frozenset(
    {"GRANT", "REVOKE", "SET", "FLUSH", "ANALYZE", "OPTIMIZE", "REPAIR", "CHECK", "INSTALL", "UNINSTALL"}
    | {"RESET", "PURGE", "USE", "CACHE", "KILL", "BACKUP", "LOCK", "UNLOCK"}
)
_ROW_STATEMENTS = frozenset(
    {
        "INSERT",
        "UPDATE",
        "DELETE",
        "REPLACE",
        "LOAD",
        "CALL",
        "WITH",
        "SELECT",
        "DO",
        "IMPORT",
        "EXECUTE",
        "ANALYZE",
    }
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is `word`, `quoted` (a name in backticks), `string` or `sign`."""

    kind: str
    text: str

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words

    @property
    def is_name(self) -> bool:
        # With ANSI_QUOTES, names stand in double quotes.
        return self.kind in ("word", "quoted") or self.text.startswith('"')

    @property
    def name(self) -> str:
        if self.kind == "string":
            return self.text[1:-1].replace('""', '"')
        return self.text


def tokens(query: Query, most: int | None = None) -> list[Token]:
    """Up to `most` tokens of a statement."""
    found: list[Token] = []
    for match in _TOKEN[query.escapes].finditer(query.statement):
        kind = match.lastgroup or "space"
        if kind == "space":
            continue
        text = match[kind].replace("``", "`") if kind == "quoted" else match[kind]
        found.append(Token(kind, text))
        if most is not None and len(found) >= most:
            break
    return found


def meant(query: Query, most: int | None = None) -> list[Token]:
    """Up to `most` tokens of what a statement does: MariaDB logs `SET STATEMENT ... FOR` before it."""
    first = tokens(query, 2)
    if len(first) < 2 or not (first[0].is_word("SET") and first[1].is_word("STATEMENT")):
        return tokens(query, most)
    found = tokens(query)
    at = next((number for number, token in enumerate(found) if token.is_word("FOR")), len(found))
    return found[at + 1 :][:most]


def kind_of(query: Query) -> Kind:
    """The kind of a statement, by its first words."""
    first = meant(query, 3)
    words = [token.text.upper() if token.kind == "word" else "" for token in first] + ["", "", ""]
    verb, second = words[0], words[1]
    if verb == "XA":
        return Kind.XA_START if second in ("START", "BEGIN") else Kind.XA_OTHER
    if verb == "ROLLBACK":
        return Kind.ROLLBACK_TO if "TO" in words[1:3] else Kind.ROLLBACK
    if verb in ("SAVEPOINT", "RELEASE"):
        return Kind.SAVEPOINT
    if verb in ("BEGIN", "COMMIT"):
        return Kind[verb]
    if verb == "START" and second == "TRANSACTION":
        return Kind.BEGIN
    if verb in _DEFINITIONS:
        return Kind.DEFINITION
    if verb == "ANALYZE" and second not in ("TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"):
        # MariaDB's ANALYZE executes the statement that it explains.
        return Kind.ROWS
    if verb in _HARMLESS or not tokens(query, 1):
        return Kind.HARMLESS
    return Kind.ROWS


def verb_of(query: Query) -> str:
    """The first word, if it is one of those that are known: fit to be told."""
    first = meant(query, 1)
    word = first[0].text.upper() if first and first[0].kind == "word" else ""
    return word if word in _ROW_STATEMENTS else "of an unknown kind"


@dataclass(frozen=True, slots=True)
class Named:
    """A table as a statement names it."""

    schema: str
    name: str


def table_at(found: list[Token], at: int, database: str) -> tuple[Named, int] | None:
    """The table named from token `at` on, and the token after; None if there is no name."""
    if at >= len(found) or not found[at].is_name:
        return None
    if at + 2 < len(found) and found[at + 1].text == "." and found[at + 2].is_name:
        return Named(found[at].name, found[at + 2].name), at + 3
    return Named(database, found[at].name), at + 1


def emptied_whole(query: Query) -> Named | None:
    """The table of `DELETE FROM t` without a condition, which a server logs for a MEMORY table that
    was empty after a restart; None for every other statement."""
    found = meant(query, 8)
    if len(found) < 3 or not found[0].is_word("DELETE") or not found[1].is_word("FROM"):
        return None
    named = table_at(found, 2, query.database)
    return named[0] if named is not None and named[1] == len(found) else None
