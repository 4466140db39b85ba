"""What trigger capture makes on a server: one database, and three triggers for each table.

A change is one row of the table `c<shape>` that its triggers write, with the old and the new value of
every column in columns of the same types: nothing is converted, so nothing can be changed. Only what would
take room in the row (long VARCHAR) or needs a list of members (ENUM, SET) becomes LONGTEXT of the same
character set.

A table can be altered under its triggers, and the server then fails whoever writes to it, since they name
a column that is gone or has values that no longer fit. Ours catch that, and leave a row of kind `MISSED` in
`marks` instead: no statement of an application fails, and a load is asked for.

The id of a change is `UUID_SHORT() << 1`, without the part that is the server's number: the time at which
the server was started, and a counter that all sessions share. It is drawn when the trigger runs, while the
row is locked: of two changes of one row the later one has the greater id. AUTO_INCREMENT would not do, of
which a statement may reserve several at once and use them later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableId
from replication_assets.core.trigger_log import DELETE, INSERT, UPDATE
from replication_assets.sources.mysql.connection import literal, quoted
from replication_assets.sources.mysql.types import NativeType

MARK = "change log of replication_assets"
"""The comment of the table `state`: a database of this name without it was made by somebody else."""

MISSED = "X"
"""A row of `marks`: a change was made that the triggers of a table could not write."""

TRIGGER_MODE = "STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_BACKSLASH_ESCAPES"
"""Triggers run under the SQL mode of who made them. Strict, so that no value is cut to fit; dates of any
kind, since the table has them already."""

NEXT_ID = "((UUID_SHORT() & 72057594037927935) << 1)"
"""The lowest bit is left to the position right behind an id."""

_UNFIT = "1054, 1264, 1265, 1292, 1366, 1406"
"""A column that is gone, and the ways in which a value can be too large for its column or none of it."""

MOST_COLUMNS = 500
"""Of one table: a row of the log holds each of them twice, and InnoDB allows 1017 columns."""

_SHORT = 255
_TEXTS = frozenset({"varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
_BLOBS = frozenset({"varbinary", "tinyblob", "blob", "mediumblob", "longblob"})


@dataclass(frozen=True, slots=True)
class LogNames:
    """What belongs to one source on a server. Qualified names are quoted."""

    database: str

    @classmethod
    def of(cls, source: str) -> LogNames:
        """Raises ValueError if the server would refuse the names."""
        if len(source) > 45:
            raise ValueError(f"source name {source!r} is too long")
        return cls(f"ra_{source}")

    @property
    def marks(self) -> str:
        return quoted(self.database, "marks")

    @property
    def shapes(self) -> str:
        return quoted(self.database, "shapes")

    @property
    def state(self) -> str:
        return quoted(self.database, "state")

    def changes(self, shape: int) -> str:
        return quoted(self.database, f"c{shape}")

    def trigger(self, shape: int, op: str) -> str:
        """Unquoted; triggers live in the database of their table."""
        return f"{self.database}_{shape}_{op.lower()}"


@dataclass(frozen=True, slots=True)
class TextColumn:
    """Character set and collation of a column; of columns without one both are empty."""

    charset: str
    collation: str


def create(names: LogNames) -> tuple[str, ...]:
    """Statements that make the log, empty. `state` comes last: without a row of it there is no log."""
    place = "conn BIGINT UNSIGNED NOT NULL, id BIGINT NOT NULL"
    end = "ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    marks = "op CHAR(1) NOT NULL, shape INT NULL, at DATETIME(6) NOT NULL, note LONGTEXT NULL"
    shapes = (
        "shape INT NOT NULL PRIMARY KEY, name TEXT NOT NULL, body LONGTEXT NOT NULL, numbers TEXT NOT NULL,"
        " append_only BOOLEAN NOT NULL, live BOOLEAN NOT NULL, confirmed BOOLEAN NOT NULL"
    )
    state = "token CHAR(16) NOT NULL PRIMARY KEY, acknowledged BIGINT NOT NULL"
    return (
        f"CREATE DATABASE IF NOT EXISTS {quoted(names.database)} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        f"CREATE TABLE IF NOT EXISTS {names.marks} ({place}, {marks}, PRIMARY KEY (conn, id)) {end}",
        f"CREATE TABLE IF NOT EXISTS {names.shapes} ({shapes}) {end}",
        f"CREATE TABLE IF NOT EXISTS {names.state} ({state}) {end} COMMENT = {literal(MARK)}",
    )


def create_changes(
    names: LogNames, shape: int, columns: Sequence[Column], texts: Mapping[str, TextColumn]
) -> str:
    """The table that the triggers of a shape write to."""
    images = (
        f"{side}{place} {log_type(column, texts.get(column.name))} NULL DEFAULT NULL"
        for place, column in enumerate(columns)
        for side in "on"
    )
    return (
        f"CREATE TABLE {names.changes(shape)} (conn BIGINT UNSIGNED NOT NULL, id BIGINT NOT NULL,"
        f" op CHAR(1) NOT NULL, at DATETIME(6) NOT NULL, {', '.join(images)}, PRIMARY KEY (conn, id))"
        " ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    )


def log_type(column: Column, text: TextColumn | None) -> str:
    """The type of a column of the log that takes every value of `column` and shows it as it does."""
    native = NativeType.parse(column.source_type)
    long = native.length is None or native.length > _SHORT
    if native.base in _BLOBS:
        return "longblob" if long else native.name
    if text is None or not text.charset:
        return native.name
    kind = native.name
    if native.base in _TEXTS and (native.base != "varchar" or long):
        kind = "longtext"
    return f"{kind} CHARACTER SET {text.charset} COLLATE {text.collation}"


def add_mark(names: LogNames, op: str, *, note: str, shape: int | None = None) -> str:
    """A row that is no change: a fence, or what tells of a shape."""
    number = "NULL" if shape is None else str(shape)
    return (
        f"INSERT INTO {names.marks} (conn, id, op, shape, at, note) VALUES"
        f" (CONNECTION_ID(), @ra_id := {NEXT_ID}, '{op}', {number}, UTC_TIMESTAMP(6), {literal(note)})"
    )


LAST_ID = "SELECT CAST(@ra_id AS SIGNED)"
"""The id of the mark that the session left last."""


def triggers(
    names: LogNames, table: TableId, shape: int, columns: Sequence[str], *, append_only: bool
) -> dict[str, str]:
    """CREATE statements by the triggers' names."""
    wanted = {INSERT: "INSERT"} if append_only else {INSERT: "INSERT", UPDATE: "UPDATE", DELETE: "DELETE"}
    rows = quoted(table.schema, table.name)
    found = {}
    for op, event in wanted.items():
        name = names.trigger(shape, op)
        found[name] = (
            f"CREATE TRIGGER {quoted(table.schema, name)} AFTER {event} ON {rows} FOR EACH ROW BEGIN"
            f" DECLARE EXIT HANDLER FOR {_UNFIT} {_missed(names, shape)};"
            f" {_change(names, shape, op, columns)}; END"
        )
    return found


def drop_triggers(names: LogNames, schema: str, shape: int) -> tuple[str, ...]:
    return tuple(
        f"DROP TRIGGER IF EXISTS {quoted(schema, names.trigger(shape, op))}"
        for op in (INSERT, UPDATE, DELETE)
    )


def _change(names: LogNames, shape: int, op: str, columns: Sequence[str]) -> str:
    sides = {INSERT: [("n", "NEW")], UPDATE: [("o", "OLD"), ("n", "NEW")], DELETE: [("o", "OLD")]}[op]
    places = [f"{side}{place}" for side, _ in sides for place in range(len(columns))]
    values = [f"{row}.{quoted(name)}" for _, row in sides for name in columns]
    return (
        f"INSERT INTO {names.changes(shape)} (conn, id, op, at, {', '.join(places)}) VALUES"
        f" (CONNECTION_ID(), {NEXT_ID}, '{op}', UTC_TIMESTAMP(6), {', '.join(values)})"
    )


def _missed(names: LogNames, shape: int) -> str:
    return (
        f"INSERT INTO {names.marks} (conn, id, op, shape, at) VALUES"
        f" (CONNECTION_ID(), {NEXT_ID}, '{MISSED}', {shape}, UTC_TIMESTAMP(6))"
    )


def every_id(names: LogNames, shapes: Iterable[int], condition: str = "TRUE") -> str:
    """A query for `conn` and `id` of all rows of the log that a condition takes."""
    tables = [names.marks, *(names.changes(shape) for shape in shapes)]
    return " UNION ALL ".join(f"SELECT conn, id FROM {table} WHERE {condition}" for table in tables)


def newest_ids(names: LogNames, shapes: Iterable[int]) -> str:
    """A query for the greatest id that each session wrote."""
    tables = [names.marks, *(names.changes(shape) for shape in shapes)]
    each = " UNION ALL ".join(f"SELECT conn, MAX(id) AS id FROM {table} GROUP BY conn" for table in tables)
    return f"SELECT conn, MAX(id) FROM ({each}) AS every GROUP BY conn"
