"""The SQL of the change log in a database file: its tables, and the triggers that write it.

All of it is named `_replication_<source>_...`. One table holds the changes of all captured tables,
old and new row as they are, each value in its own storage class; the columns `o0, n0, o1, n1 ...`
have no type, so nothing is converted. Ids rise by one number for each change (`core.trigger_log`):
SQLite has one writer at a time, so they are the order of commits too.

`INSERT OR REPLACE` removes rows without telling the delete triggers. Where a unique key could make
it do so, a BEFORE trigger notes the rows that may be displaced, and the AFTER trigger writes a
delete for those that are gone. A note that came to nothing (OR IGNORE, an upsert) is forgotten by
the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.core.trigger_log import ANCHOR, DELETE, INSERT, NOISE_BITS, SHAPED, UPDATE
from replication_assets.sources.sqlite.quoting import identifier, literal

MOST_COLUMNS = 980
"""Of one table: the log holds each of them twice, and SQLite allows 2000 in a table."""

_NOISE = (1 << (NOISE_BITS - 1)) - 1
"""Half of the room, so that the position behind an id is below the next number."""

_FIRST = f"(1 << {NOISE_BITS}) | (random() & {_NOISE})"
"""The id of a log's first anchor."""

_NOW = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000"
"""Microseconds since 1970, by the millisecond: SQLite's clock is no finer."""


@dataclass(frozen=True, slots=True)
class LogNames:
    """What belongs to one source in a database file, unquoted."""

    prefix: str

    @classmethod
    def of(cls, source: str) -> LogNames:
        return cls(f"_replication_{source}")

    @property
    def log(self) -> str:
        return f"{self.prefix}_log"

    @property
    def shapes(self) -> str:
        return f"{self.prefix}_shapes"

    @property
    def state(self) -> str:
        return f"{self.prefix}_state"

    @property
    def displaced(self) -> str:
        return f"{self.prefix}_displaced"

    @property
    def tables(self) -> tuple[str, ...]:
        return (self.log, self.shapes, self.state, self.displaced)

    def trigger(self, shape: int, what: str) -> str:
        return f"{self.prefix}_{shape}_{what}"


@dataclass(frozen=True, slots=True)
class UniqueSet:
    """Columns of which no two rows have the same values, with the collation that compares each."""

    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TriggeredTable:
    """What triggers of a table must know. `identity` are columns that name one row: the rowid, or the
    primary key of a table without one. `unique` is empty where no row can be displaced unseen."""

    shape: int
    name: str
    columns: tuple[str, ...]
    identity: tuple[str, ...]
    unique: tuple[UniqueSet, ...]
    append_only: bool


def create_tables(names: LogNames) -> tuple[str, ...]:
    """Statements that make the log, empty, if it is not there."""
    state = f"{identifier(names.state)} (token TEXT, acknowledged INTEGER, seen INTEGER)"
    shapes = (
        f"{identifier(names.shapes)} (shape INTEGER PRIMARY KEY, name TEXT, body TEXT,"
        " triggers TEXT, live INTEGER, confirmed INTEGER)"
    )
    log = f"{identifier(names.log)} (id INTEGER PRIMARY KEY, shape INTEGER, op TEXT, at INTEGER, note TEXT)"
    displaced = f"{identifier(names.displaced)} (row)"
    return tuple(f"CREATE TABLE IF NOT EXISTS {each}" for each in (state, shapes, log, displaced))


def add_columns(names: LogNames, present: int, wanted: int) -> tuple[str, ...]:
    """Statements that widen the log from images of `present` columns to `wanted`."""
    return tuple(
        statement
        for number in range(present, wanted)
        for statement in (
            f"ALTER TABLE {identifier(names.log)} ADD COLUMN o{number}",
            f"ALTER TABLE {identifier(names.log)} ADD COLUMN n{number}",
            f"ALTER TABLE {identifier(names.displaced)} ADD COLUMN o{number}",
        )
    )


def add_anchor(names: LogNames) -> str:
    return f"INSERT INTO {identifier(names.log)} (id, op, at) SELECT {_FIRST}, '{ANCHOR}', {_NOW}"


def add_shape_change(names: LogNames) -> str:
    """Parameters: the shape from here on, and the body of `core.trigger_log.ShapeChange`."""
    return (
        f"INSERT INTO {identifier(names.log)} (id, shape, op, at, note)"
        f" SELECT {_next(names)}, ?, '{SHAPED}', {_NOW}, ?"
    )


def triggers(names: LogNames, table: TriggeredTable) -> dict[str, str]:
    """CREATE statements by the triggers' names."""
    on, unique = f"ON {identifier(table.name)}", table.unique
    found = {
        "insert": f"AFTER INSERT {on} BEGIN {_displaced(names, table)}{_change(names, table, INSERT)} END"
    }
    if not table.append_only:
        body = f"{_displaced(names, table)}{_change(names, table, UPDATE)}"
        found["update"] = f"AFTER UPDATE {on} BEGIN {body} END"
        found["delete"] = f"AFTER DELETE {on} BEGIN {_change(names, table, DELETE)} END"
    if unique:
        found["inserting"] = f"BEFORE INSERT {on} BEGIN {_note(names, table, updating=False)} END"
        found["updating"] = f"BEFORE UPDATE {on} BEGIN {_note(names, table, updating=True)} END"
    return {
        (name := names.trigger(table.shape, what)): f"CREATE TRIGGER {identifier(name)} {rest}"
        for what, rest in found.items()
    }


def _change(names: LogNames, table: TriggeredTable, op: str) -> str:
    images = (
        [("n", "NEW")] if op == INSERT else [("o", "OLD")] if op == DELETE else [("o", "OLD"), ("n", "NEW")]
    )
    columns = [f"{side}{number}" for side, _ in images for number in range(len(table.columns))]
    values = [f"{image}.{identifier(name)}" for _, image in images for name in table.columns]
    return (
        f"INSERT INTO {identifier(names.log)} (id, shape, op, at, {', '.join(columns)})"
        f" VALUES ({_next(names)}, {table.shape}, '{op}', {_NOW}, {', '.join(values)});"
    )


def _note(names: LogNames, table: TriggeredTable, *, updating: bool) -> str:
    """Rows that share a unique key with the new one, and may have to make place for it."""
    clashes = [
        "(" + " AND ".join(
            f"t.{identifier(name)} = NEW.{identifier(name)} COLLATE {identifier(collation)}"
            for name, collation in each.columns
        ) + ")"
        for each in table.unique
    ]  # fmt: skip
    apart = ""
    if updating:
        same = " AND ".join(f"t.{identifier(name)} IS OLD.{identifier(name)}" for name in table.identity)
        apart = f" AND NOT ({same})"
    columns, row = _images(table, "o"), f"t.{identifier(table.identity[0])}"
    values = ", ".join(f"t.{identifier(name)}" for name in table.columns)
    # One SELECT for each key, so that each is found by its index.
    chosen = " UNION ".join(
        f"SELECT {row}, {values} FROM {identifier(table.name)} AS t WHERE {clash}{apart}" for clash in clashes
    )
    displaced = identifier(names.displaced)
    return f"DELETE FROM {displaced}; INSERT INTO {displaced} (row, {columns}) {chosen};"


def _displaced(names: LogNames, table: TriggeredTable) -> str:
    """A delete for each noted row that is there no more, or whose place the new row took."""
    if not table.unique:
        return ""
    places = {name: f"o{number}" for number, name in enumerate(table.columns)}
    stored = [(name, f"d.{places[name]}" if name in places else "d.row") for name in table.identity]
    taken = " AND ".join(f"{value} IS NEW.{identifier(name)}" for name, value in stored)
    there = " AND ".join(f"t.{identifier(name)} = {value}" for name, value in stored)
    columns = _images(table, "o")
    log = identifier(names.log)
    number = f"(SELECT max(id) FROM {log}) >> {NOISE_BITS}"
    own = f"((({number}) + row_number() OVER ()) << {NOISE_BITS}) | (random() & {_NOISE})"
    return (
        f"INSERT INTO {log} (id, shape, op, at, {columns})"
        f" SELECT {own}, {table.shape}, '{DELETE}', {_NOW}, {columns} FROM {identifier(names.displaced)} AS d"
        f" WHERE ({taken}) OR NOT EXISTS (SELECT 1 FROM {identifier(table.name)} AS t WHERE {there});"
        f" DELETE FROM {identifier(names.displaced)};"
    )


def _images(table: TriggeredTable, side: str) -> str:
    return ", ".join(f"{side}{number}" for number in range(len(table.columns)))


def _next(names: LogNames) -> str:
    """The next change id. In a log that somebody emptied it is NULL, and SQLite's own 1: the log's
    anchor is gone, and whoever reads it says so."""
    number = f"((SELECT max(id) FROM {identifier(names.log)}) >> {NOISE_BITS}) + 1"
    return f"(({number}) << {NOISE_BITS}) | (random() & {_NOISE})"


def find_objects(names: LogNames) -> str:
    """A query for all that belongs to the source: type and name."""
    pattern = literal(names.prefix.replace("\\", "\\\\").replace("_", "\\_") + "\\_%")
    return (
        "SELECT type, name FROM main.sqlite_master WHERE type IN ('table', 'trigger')"
        f" AND name LIKE {pattern} ESCAPE '\\' ORDER BY type DESC, name"
    )
