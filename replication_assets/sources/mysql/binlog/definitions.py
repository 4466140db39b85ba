"""What a definition statement (DDL) does to captured tables, read from its text.

The log has no other word of rows that an ALTER TABLE changes in place, of a table that another one
takes the place of, or of a partition that goes with its rows. What is not known to leave rows as they
are asks for a reload: a needless load costs time, a missing one leaves wrong rows.

Changes of columns as such are told when the next row shows them (`shapes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from replication_assets.sources.mysql.binlog.events import Query
from replication_assets.sources.mysql.binlog.statements import Named, Token, meant, table_at


@dataclass(frozen=True, slots=True)
class Effect:
    """What a statement does to a table. `reason`: why rows changed unseen; empty if it was emptied."""

    table: Named
    reason: str

    @property
    def empties(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True)
class DatabaseDropped:
    name: str


def effects(query: Query) -> Iterator[Effect | DatabaseDropped]:
    """Effects on tables, whosever they are."""
    found = meant(query)
    verb, words = found[0].text.upper(), found[1:]
    if verb == "TRUNCATE":
        yield from _truncate(words, query.database)
    elif verb == "DROP":
        yield from _drop(words, query.database)
    elif verb == "RENAME":
        yield from _rename(words, query.database)
    elif verb == "CREATE":
        yield from _create(words, query.database)
    elif verb == "ALTER":
        yield from _alter(words, query.database)
    else:
        raise ValueError(f"{verb} is no definition")


def _skip(words: list[Token], *optional: str) -> int:
    """Number of leading words of these, in any order."""
    at = 0
    while at < len(words) and words[at].is_word(*optional):
        at += 1
    return at


def _truncate(words: list[Token], database: str) -> Iterator[Effect]:
    named = table_at(words, _skip(words[:1], "TABLE"), database)
    if named is not None:
        yield Effect(named[0], "")


def _drop(words: list[Token], database: str) -> Iterator[Effect | DatabaseDropped]:
    if not words:
        return
    if words[0].is_word("DATABASE", "SCHEMA"):
        at = 1 + _skip(words[1:], "IF", "EXISTS")
        if at < len(words):
            yield DatabaseDropped(words[at].name)
    elif words[0].is_word("TABLE", "TABLES"):
        at = 1 + _skip(words[1:], "IF", "EXISTS")
        for table in _listed(words, at, database):
            yield Effect(table, "the table was dropped")


def _listed(words: list[Token], at: int, database: str) -> Iterator[Named]:
    while (named := table_at(words, at, database)) is not None:
        yield named[0]
        if named[1] >= len(words) or words[named[1]].text != ",":
            return
        at = named[1] + 1


def _rename(words: list[Token], database: str) -> Iterator[Effect]:
    if not words or not words[0].is_word("TABLE", "TABLES"):
        return
    at = 1 + _skip(words[1:], "IF", "EXISTS")
    while (old := table_at(words, at, database)) is not None:
        at = old[1]
        while at < len(words) and not words[at].is_word("TO"):
            at += 1
        new = table_at(words, at + 1, database)
        if new is None:
            return
        yield from _renamed(old[0], new[0])
        at = new[1] + 1


def _renamed(old: Named, new: Named) -> Iterator[Effect]:
    yield Effect(old, f"the table was renamed to {new.schema}.{new.name}")
    yield Effect(new, f"the table was replaced by what was called {old.schema}.{old.name}")


def _create(words: list[Token], database: str) -> Iterator[Effect]:
    at = _skip(words, "OR", "REPLACE")
    if at >= len(words) or not words[at].is_word("TABLE"):
        return
    if len(words) > at + 1 and words[at + 1].is_word("IF"):
        # Of a table that is there it does nothing; one that was dropped has been told.
        return
    named = table_at(words, at + 1, database)
    if named is not None:
        yield Effect(named[0], "the table was created anew")


# --- ALTER TABLE ----------------------------------------------------------------------------

_OPTIONS = frozenset(
    {"AUTO_INCREMENT", "COMMENT", "ROW_FORMAT", "DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "ALGORITHM"}
    | {"LOCK", "FORCE", "STATS_PERSISTENT", "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "KEY_BLOCK_SIZE"}
    | {"COMPRESSION", "ENCRYPTION", "ENCRYPTED", "ENCRYPTION_KEY_ID", "PAGE_COMPRESSED", "AVG_ROW_LENGTH"}
    | {"PAGE_COMPRESSION_LEVEL", "MAX_ROWS", "MIN_ROWS", "CHECKSUM", "PACK_KEYS", "ORDER", "ENABLE"}
    | {"DISABLE", "WITH", "WITHOUT", "NOWAIT", "WAIT", "TABLESPACE", "DATA", "INDEX", "CONNECTION"}
    | {"ANALYZE", "CHECK", "OPTIMIZE", "REBUILD", "REPAIR", "COALESCE", "REORGANIZE", "PARTITION", "REMOVE"}
    | {"SECONDARY_LOAD", "SECONDARY_UNLOAD", "SECONDARY_ENGINE", "DELAY_KEY_WRITE", "UPGRADE"}
)
"""First words of clauses that leave rows as they are."""
_INDEXES = ("INDEX", "KEY", "UNIQUE", "FULLTEXT", "SPATIAL")
_CONSTRAINTS = ("CONSTRAINT", "FOREIGN", "CHECK")
_ENGINES = frozenset({"INNODB", "ROCKSDB"})
_KEY_CHANGED = "the key changed"


def _alter(words: list[Token], database: str) -> Iterator[Effect]:
    at = _skip(words, "ONLINE", "OFFLINE", "IGNORE")
    if at >= len(words) or not words[at].is_word("TABLE"):
        return
    at += 1 + _skip(words[at + 1 :], "IF", "EXISTS")
    named = table_at(words, at, database)
    if named is None:
        return
    table, at = named
    added: set[str] = set()
    dropped: set[str] = set()
    reasons: list[str] = []
    for clause in _clauses(words[at:]):
        new_name = _new_name(clause, table.schema)
        if new_name is not None:
            yield from _renamed(table, new_name)
            continue
        reason = _reason(clause, added, dropped)
        if reason:
            reasons.append(reason)
    reasons += [f"column {name} was dropped and added again" for name in sorted(added & dropped)]
    if reasons:
        yield Effect(table, "; ".join(dict.fromkeys(reasons)))


def _clauses(words: list[Token]) -> Iterator[list[Token]]:
    """Parts between the commas that are in no parentheses."""
    clause: list[Token] = []
    depth = 0
    for word in words:
        depth += (word.text == "(") - (word.text == ")") if word.kind == "sign" else 0
        if word.kind == "sign" and word.text == "," and not depth:
            yield clause
            clause = []
        else:
            clause.append(word)
    if clause:
        yield clause


def _new_name(clause: list[Token], database: str) -> Named | None:
    if not clause or not clause[0].is_word("RENAME"):
        return None
    if len(clause) > 1 and clause[1].is_word("COLUMN", "INDEX", "KEY"):
        return None
    at = 2 if len(clause) > 1 and (clause[1].is_word("TO", "AS") or clause[1].text == "=") else 1
    named = table_at(clause, at, database)
    return named[0] if named is not None else None


def _reason(clause: list[Token], added: set[str], dropped: set[str]) -> str:
    """Why rows may have changed; empty if they have not."""
    first = clause[0].text.upper() if clause and clause[0].kind == "word" else ""
    second = clause[1] if len(clause) > 1 else Token("sign", "")
    if first == "ADD":
        return _added(clause[1:], added)
    if first == "DROP":
        return _dropped(clause[1:], dropped)
    if first == "ALTER" or (first == "RENAME" and second.is_word("INDEX", "KEY")):
        return ""
    if first in ("MODIFY", "CHANGE", "RENAME"):
        at = 1 + _skip(clause[1:], "COLUMN", "IF", "EXISTS")
        column = clause[at].name if at < len(clause) else ""
        return f"column {column} was renamed" if first == "RENAME" else f"column {column} was changed"
    if first == "ENGINE":
        engine = clause[-1].text.strip("'\"").upper()
        return "" if engine in _ENGINES else "its engine was changed to one without transactions"
    if first == "CONVERT" and second.is_word("TO"):
        return "its character set was converted"
    if first in ("TRUNCATE", "EXCHANGE", "DISCARD", "IMPORT", "CONVERT"):
        return f"rows came or went with a partition ({first} PARTITION)"
    return "" if first in _OPTIONS else "it was altered in a way that is not known to leave its rows alone"


def _added(clause: list[Token], added: set[str]) -> str:
    if not clause:
        return ""
    if any(word.is_word("PRIMARY") for word in clause):
        return _KEY_CHANGED
    if clause[0].is_word(*_CONSTRAINTS):
        return _foreign_key(clause)
    if clause[0].is_word(*_INDEXES, "PARTITION"):
        return ""
    if clause[0].is_word("SYSTEM", "PERIOD"):
        return "it was given system versioning"
    at = _skip(clause[:1], "COLUMN")
    at += _skip(clause[at:], "IF", "NOT", "EXISTS")
    definitions = [clause[at:]]
    if at < len(clause) and clause[at].text == "(":
        definitions = list(_clauses(clause[at + 1 : -1]))
    reasons = []
    for definition in definitions:
        if not definition:
            continue
        added.add(definition[0].name)
        if _is_filled(definition[1:]):
            name = definition[0].name
            reasons.append(f"column {name} was added with a value for the rows that were there")
    return "; ".join(reasons)


def _is_filled(definition: list[Token]) -> bool:
    """Whether rows that were there got a value: NOT NULL means zero or an empty text where there is no
    default, and a TIMESTAMP may be NOT NULL without saying so."""
    for at, word in enumerate(definition):
        if word.is_word("DEFAULT"):
            follows = definition[at + 1] if at + 1 < len(definition) else Token("sign", "")
            if not follows.is_word("NULL"):
                return True
        if word.is_word("NOT", "TIMESTAMP", "SERIAL", "AUTO_INCREMENT", "AS", "GENERATED", "REFERENCES"):
            return True
    return False


def _foreign_key(clause: list[Token]) -> str:
    for at, word in enumerate(clause[:-1]):
        if word.is_word("ON") and clause[at + 1].is_word("DELETE", "UPDATE"):
            rule = clause[at + 2] if at + 2 < len(clause) else word
            if rule.is_word("CASCADE", "SET"):
                return "from here on a foreign key changes rows of it, which the log does not tell"
    return ""


def _dropped(clause: list[Token], dropped: set[str]) -> str:
    if not clause:
        return ""
    if clause[0].is_word("PRIMARY"):
        return _KEY_CHANGED
    if clause[0].is_word("PARTITION"):
        return "a partition was dropped with its rows"
    if clause[0].is_word("SYSTEM", "PERIOD"):
        return "its system versioning was dropped"
    if clause[0].is_word("INDEX", "KEY", *_CONSTRAINTS):
        return ""
    at = _skip(clause[:1], "COLUMN")
    at += _skip(clause[at:], "IF", "EXISTS")
    if at < len(clause):
        dropped.add(clause[at].name)
    return ""
