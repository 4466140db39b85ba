"""The change log that triggers keep: everything that is made in a database, and what reads it.

A *run* is one statement of an application that changed rows of a captured table: a row of `runs`, with its
transaction. The rows that it changed are in the table of their shape, `c<shape>`, each row image once: side
`N` is a new row, `O` an old one. Columns are of the types of the table, with its collations, so nothing is
converted and nothing can be cut.

What triggers do must not be noticed by those who write:

- No table of the log has an identity column: `@@IDENTITY` of an application would become ours.
- SET NOCOUNT, SET ROWCOUNT and the like end with the trigger. ROWCOUNT of the writer would cut our rows too.
- QUOTED_IDENTIFIER and ANSI_NULLS are those of who made the trigger. Nothing in it depends on the others:
  no value is converted, no method of a type is called, the log has no index on an expression.
- Triggers of others fire after ours: what they change in the table is noted after what they were fired by.
- MERGE fires the triggers of its actions in no order that is told, each when all is done. If it deletes a row
  and inserts one of the same key, the delete may be noted last: an old image tells whether its key is there.
- The log belongs to the owner of the tables, so nobody needs a right on it. EXECUTE AS would do as well, and
  would fail all writers of a database whose owner's login is gone.

A column that is dropped under a trigger fails every writer of the table, which no TRY can catch there. So
each shape has a view WITH SCHEMABINDING on its columns: the server refuses to alter or drop them, and the
table. TRUNCATE and switching a partition out fire no trigger: an empty table with a disabled foreign key to
the table makes the server refuse both. A disabled key is not looked at when rows are deleted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from replication_assets.core.schema import Column, TableId
from replication_assets.core.trigger_log import DELETE, INSERT, UPDATE
from replication_assets.errors import SourceNotReady
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.statements.catalog import object_id
from replication_assets.sources.sqlserver.statements.names import literal, quoted, relation
from replication_assets.sources.sqlserver.statements.values import select_from
from replication_assets.sources.sqlserver.types import NativeType

EVENTS = {INSERT: "INSERT", UPDATE: "UPDATE", DELETE: "DELETE"}
NEW, OLD = "N", "O"
FIXED_COLUMNS = 8
"""Columns of `ChangeLog.changes` before the images."""

MIN_ACTIVE = "SELECT CAST(MIN_ACTIVE_ROWVERSION() AS bigint)"
"""The least `rowversion` that a transaction drew which has not ended; where there is none, the next one."""

_BOOT = "(SELECT d.[create_date] FROM sys.databases AS d WHERE d.[database_id] = 2)"
BOOT = f"SELECT {_BOOT}"
"""When tempdb was made, at the server's start. Numbers of transactions begin anew there."""

NESTED = (
    "SELECT CAST(c.[value_in_use] AS int) FROM sys.configurations AS c WHERE c.[name] = N'nested triggers'"
)
DURABILITY = "SELECT d.[delayed_durability] FROM sys.databases AS d WHERE d.[database_id] = DB_ID()"
FLUSH = "EXEC sys.sp_flush_log"
LOCK_TIMEOUT = "SET LOCK_TIMEOUT 5000"
"""How long the exchange of triggers waits for transactions on the table: those that come meanwhile wait
behind it."""

_COLLATED = frozenset({"char", "varchar", "nchar", "nvarchar"})
_LOOSE = _COLLATED | {"datetimeoffset", "float", "real"}
"""Types of which values that are not the same compare as equal."""
_COLLATION = re.compile(r"[A-Za-z0-9_]{1,128}")


def position(commit: int) -> str:
    """A position as a `rowversion`."""
    return f"0x{commit:016x}"


def log_type(column: Column, collation: str | None) -> str:
    """The type of a column of the log that takes every value of `column` as it is.

    Raises:
        SourceNotReady: the catalog tells a collation that is none.
    """
    native = NativeType.parse(column.source_type)
    if native.base == "timestamp":
        return "binary(8)"
    if native.base not in _COLLATED or collation is None:
        return native.name
    if _COLLATION.fullmatch(collation) is None:
        raise SourceNotReady(f"column {column.name!r} has a collation of an unknown kind")
    return f"{native.name} COLLATE {collation}"


def image_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns as `c<shape>` calls them."""
    return tuple(replace(column, name=f"c{place}") for place, column in enumerate(columns))


def lock_table(table: TableId) -> str:
    """Hold off writers until the transaction ends."""
    return f"SELECT TOP (1) 1 AS [one] FROM {relation(table)} WITH (TABLOCKX, HOLDLOCK)"


def owner(table: TableId) -> str:
    return f"SELECT USER_NAME(CAST(OBJECTPROPERTY({object_id(table)}, N'OwnerId') AS int))"


def standing_triggers(table: TableId) -> str:
    """Each trigger on the table, by event: whether it is disabled, and whether it is the first to fire."""
    return (
        "SELECT t.[name], e.[type_desc], t.[is_disabled], e.[is_first] FROM sys.triggers AS t"
        " JOIN sys.trigger_events AS e ON e.[object_id] = t.[object_id]"
        f" WHERE t.[parent_id] = {object_id(table)} AND t.[is_instead_of_trigger] = 0"
    )


class ChangeLog:
    """Names and statements of the log of one source."""

    def __init__(self, source: str) -> None:
        self.books = Books(source)
        self.schema = self.books.schema
        self.runs, self.marks = quoted(self.schema, "runs"), quoted(self.schema, "marks")

    def images(self, shape: int) -> str:
        return quoted(self.schema, f"c{shape}")

    def binding(self, shape: int) -> str:
        return quoted(self.schema, f"v{shape}")

    def guard(self, shape: int) -> str:
        return quoted(self.schema, f"g{shape}")

    def trigger(self, shape: int, op: str) -> str:
        """Unquoted; triggers live in the schema of their table."""
        return f"{self.schema}_{shape}_{op.lower()}"

    # --- what is made -----------------------------------------------------------------------

    def create_schema(self) -> str:
        return f"CREATE SCHEMA {quoted(self.schema)} AUTHORIZATION [dbo]"

    def exist(self) -> str:
        return f"SELECT OBJECT_ID({literal(self.runs)}), OBJECT_ID({literal(self.marks)})"

    def create_runs(self) -> tuple[str, ...]:
        kept = (
            "[shape] int NOT NULL, [op] char(1) NOT NULL, [images] bigint NOT NULL, [tx] bigint NOT NULL,"
            " [boot] datetime NOT NULL, [at] datetime2(6) NOT NULL"
        )
        return (
            f"CREATE TABLE {self.runs} ([rv] rowversion NOT NULL, {kept}, PRIMARY KEY ([rv]))",
            _never_whole(self.runs),
        )

    def create_marks(self) -> str:
        """Draws a position within a transaction that changes no row."""
        return f"CREATE TABLE {self.marks} ([rv] rowversion NOT NULL, [shape] int NOT NULL)"

    def mark(self, shape: int) -> str:
        drawn = "CAST(inserted.[rv] AS bigint) AS [rv]"
        return f"INSERT INTO {self.marks} ([shape]) OUTPUT {drawn} VALUES ({shape})"

    def create_shape(
        self,
        table: TableId,
        shape: int,
        columns: Sequence[Column],
        key: Sequence[str],
        collations: Mapping[str, str],
    ) -> tuple[str, ...]:
        """Where images go, and what keeps the table as its triggers know it. Before the triggers."""
        types = {column.name: log_type(column, collations.get(column.name)) for column in columns}
        kept = ", ".join(f"[c{place}] {types[column.name]} NULL" for place, column in enumerate(columns))
        keyed = ", ".join(f"[k{place}] {types[name]} NOT NULL" for place, name in enumerate(key))
        own = ", ".join(f"[k{place}]" for place in range(len(key)))
        theirs, names = (", ".join(quoted(name) for name in each) for each in (key, types))
        images, constraint = self.images(shape), quoted(f"g{shape}_of")
        refers = f"CONSTRAINT {constraint} FOREIGN KEY ({own}) REFERENCES {relation(table)} ({theirs})"
        place = "[run] binary(8) NOT NULL, [side] char(1) NOT NULL, [stays] bit NOT NULL"
        return (
            f"CREATE TABLE {images} ({place}, {kept})",
            f"CREATE CLUSTERED INDEX [run] ON {images} ([run])",
            _never_whole(images),
            f"CREATE VIEW {self.binding(shape)} WITH SCHEMABINDING AS SELECT {names} FROM {relation(table)}",
            f"CREATE TABLE {self.guard(shape)} ({keyed}, {refers}, CHECK (1 = 0))",
            f"ALTER TABLE {self.guard(shape)} NOCHECK CONSTRAINT {constraint}",
        )

    def create_triggers(
        self, table: TableId, shape: int, columns: Sequence[Column], key: Sequence[str], ops: Sequence[str]
    ) -> tuple[str, ...]:
        """Each with what makes it the first to fire: what other triggers change comes after it."""
        found: list[str] = []
        for op in ops:
            name = quoted(table.schema, self.trigger(shape, op))
            body = "; ".join(self.trigger_body(table, shape, op, columns, key))
            order = f"@triggername = {literal(name)}, @order = N'First', @stmttype = N'{EVENTS[op]}'"
            found += (
                f"CREATE TRIGGER {name} ON {relation(table)} AFTER {EVENTS[op]} AS BEGIN {body}; END",
                f"EXEC sys.sp_settriggerorder {order}",
            )
        return tuple(found)

    def trigger_body(
        self, table: TableId, shape: int, op: str, columns: Sequence[Column], key: Sequence[str]
    ) -> tuple[str, ...]:
        """Statements of a trigger. A statement that changed no row leaves nothing."""
        same = " AND ".join(_same(column) for column in columns if column.name in key)
        stays = f"CASE WHEN EXISTS (SELECT 1 FROM {relation(table)} AS b WHERE {same}) THEN 1 ELSE 0 END"
        old, new = ((OLD, "deleted", stays), (NEW, "inserted", "0"))
        sides = {INSERT: (new,), UPDATE: (old, new), DELETE: (old,)}[op]
        run = (
            f"INSERT INTO {self.runs} ([shape], [op], [images], [tx], [boot], [at])"
            f" OUTPUT inserted.[rv] INTO @run SELECT {shape}, '{op}', COUNT_BIG(*), CURRENT_TRANSACTION_ID(),"
            f" COALESCE({_BOOT}, CAST(0 AS datetime)), SYSUTCDATETIME() FROM {sides[0][1]}"
            " HAVING COUNT_BIG(*) > 0"
        )
        return (
            "SET NOCOUNT ON",
            "SET ROWCOUNT 0",
            "DECLARE @run TABLE ([rv] binary(8) NOT NULL)",
            run,
            *(self._copied(shape, side, rows, stays, columns) for side, rows, stays in sides),
        )

    def _copied(self, shape: int, side: str, rows: str, stays: str, columns: Sequence[Column]) -> str:
        places = ", ".join(f"[c{place}]" for place in range(len(columns)))
        values = ", ".join(_logged(column) for column in columns)
        return (
            f"INSERT INTO {self.images(shape)} ([run], [side], [stays], {places})"
            f" SELECT m.[rv], '{side}', {stays}, {values} FROM {rows} AS r CROSS JOIN @run AS m"
        )

    # --- what is removed --------------------------------------------------------------------

    def drop_capture(self, table: TableId, shape: int) -> tuple[str, ...]:
        """Triggers first: a log that is gone while they write to it fails writers."""
        return (
            *(
                f"DROP TRIGGER IF EXISTS {quoted(table.schema, self.trigger(shape, op))}"
                for op in (INSERT, UPDATE, DELETE)
            ),
            f"DROP VIEW IF EXISTS {self.binding(shape)}",
            f"DROP TABLE IF EXISTS {self.guard(shape)}",
        )

    def drop_images(self, shape: int) -> str:
        return f"DROP TABLE IF EXISTS {self.images(shape)}"

    def drop(self) -> tuple[str, ...]:
        return (
            f"DROP TABLE IF EXISTS {self.runs}",
            f"DROP TABLE IF EXISTS {self.marks}",
            *self.books.drop(),
        )

    # --- what is read -----------------------------------------------------------------------

    def guards_stand(self, shape: int) -> str:
        return (
            f"SELECT OBJECT_ID({literal(self.images(shape))}), OBJECT_ID({literal(self.binding(shape))}),"
            f" OBJECT_ID({literal(self.guard(shape))})"
        )

    def _ended(self, after: int, upto: int) -> str:
        """Transactions whose position is in `(after, upto]`."""
        last = "MAX(CAST(e.[rv] AS bigint))"
        return (
            f"(SELECT e.[tx], e.[boot], {last} AS [last] FROM {self.runs} AS e GROUP BY e.[tx], e.[boot]"
            f" HAVING {last} > {after} AND {last} <= {upto})"
        )

    def window(self, after: int, upto: int, most: int) -> str:
        """How many of the next transactions there are, `most` at the most, and the last one's position."""
        return (
            f"SELECT COUNT(*), MAX(w.[last]) FROM (SELECT TOP ({most}) t.[last]"
            f" FROM {self._ended(after, upto)} AS t ORDER BY t.[last]) AS w"
        )

    def changes(
        self, shape: int, columns: Sequence[Column], key: Sequence[str], *, after: int, upto: int
    ) -> str:
        """Row images in the order of their transactions, runs and keys, the old one of a key first."""
        kept = image_columns(columns)
        names = [column.name for column in columns]
        keys = [f"c.[c{names.index(name)}]" for name in key]
        listed = select_from(kept, ["c"] * len(kept))
        return (
            "SELECT t.[last] AS [commit], CAST(r.[rv] AS bigint) AS [run], r.[op], r.[images], c.[side],"
            f" c.[stays], r.[tx], r.[at], {listed} FROM {self.runs} AS r"
            f" JOIN {self._ended(after, upto)} AS t ON t.[tx] = r.[tx] AND t.[boot] = r.[boot]"
            f" JOIN {self.images(shape)} AS c ON c.[run] = r.[rv] WHERE r.[shape] = {shape}"
            f" ORDER BY {', '.join(['t.[last]', 'r.[rv]', *keys, 'c.[side] DESC'])}"
        )

    def waiting(self, acknowledged: int) -> str:
        """Row images behind what was acknowledged; those of open transactions are passed by."""
        return (
            f"SELECT COALESCE(SUM(r.[images]), 0) FROM {self.runs} AS r WITH (READPAST)"
            f" WHERE r.[rv] > {position(acknowledged)}"
        )

    def space(self) -> str:
        return (
            "SELECT SUM(CAST(a.[used_pages] AS bigint)) * 8192 FROM sys.objects AS o"
            " JOIN sys.partitions AS p ON p.[object_id] = o.[object_id]"
            " JOIN sys.allocation_units AS a ON a.[container_id] = p.[partition_id]"
            f" WHERE o.[schema_id] = SCHEMA_ID({literal(self.schema)})"
        )

    # --- trimming ---------------------------------------------------------------------------

    def first_kept(self, acknowledged: int) -> str:
        """The first run of a transaction that stands behind what was acknowledged; NULL if there is none."""
        return (
            f"SELECT MIN(t.[first]) FROM (SELECT MIN(CAST(e.[rv] AS bigint)) AS [first] FROM {self.runs} AS e"
            f" GROUP BY e.[tx], e.[boot] HAVING MAX(CAST(e.[rv] AS bigint)) > {acknowledged}) AS t"
        )

    def trim_images(self, shape: int, before: int, most: int) -> str:
        """Tells how many were deleted."""
        return _deleted(self.images(shape), "run", before, most)

    def trim_runs(self, before: int, most: int) -> str:
        return _deleted(self.runs, "rv", before, most)


def _never_whole(name: str) -> str:
    """Deleting many rows must not lock the whole table: writers would wait."""
    return f"ALTER TABLE {name} SET (LOCK_ESCALATION = DISABLE)"


def _logged(column: Column) -> str:
    """A value as the log takes it. XML of a schema becomes XML of none, which is not done unasked."""
    name = quoted("r", column.name)
    return f"CAST({name} AS xml)" if NativeType.parse(column.source_type).base == "xml" else name


def _same(column: Column) -> str:
    """Whether a key column of two rows is the same to the last bit; an index serves the plain comparison."""
    one, other = quoted("b", column.name), quoted("r", column.name)
    if NativeType.parse(column.source_type).base not in _LOOSE:
        return f"{one} = {other}"
    return f"{one} = {other} AND CAST({one} AS varbinary(8000)) = CAST({other} AS varbinary(8000))"


def _deleted(name: str, column: str, before: int, most: int) -> str:
    return (
        f"DELETE TOP ({most}) FROM {name} WITH (ROWLOCK) WHERE [{column}] < {position(before)};"
        " SELECT @@ROWCOUNT AS [deleted]"
    )
